"""`perch-bench`: what a converted file costs on this machine."""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnxruntime

from benchmarks.report import report
from benchmarks.speed import processor
from benchmarks.throughput import Effort, measure
from convert.synthetic import write_soundscapes
from runtime.cores import usable_cores
from runtime.errors import InputError, PerchError
from runtime.files import check_writable, replacing
from runtime.paths import find_recordings
from runtime.session import check_install, choose_device

BATCH_SIZES, QUICK_BATCH_SIZES = (1, 2, 4, 8, 16, 32), (1, 2)
ROUNDS, QUICK_ROUNDS = 5, 3
SLICE_S, QUICK_SLICE_S = 1.0, 0.3
SOUNDSCAPES, QUICK_SOUNDSCAPES = 20, 6
"""Minutes of sound that it makes itself, for each of the most workers."""


def numbers(text: str) -> tuple[int, ...]:
    """`1,2,4`, each once and in order."""
    try:
        found = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        found = (0,)
    if found[0] < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers from 1 on; write 1,2,4")
    return found


def parse_args(args: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="perch-bench", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_throughput(commands.add_parser("throughput", help="windows a second, stage by stage and from files to rows"))
    return parser.parse_args(args)


def _add_throughput(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=throughput)
    parser.add_argument("artifact", type=Path, metavar="FILE.onnx", help="made by perch-convert")
    parser.add_argument(
        "--floor", type=Path, metavar="FILE.onnx", help="whose backbone is the floor (default: FILE's own)"
    )
    parser.add_argument(
        "--soundscapes", type=Path, metavar="FOLDER", help="recordings (default: synthetic, 32 kHz OGG)"
    )
    parser.add_argument("--workers", type=numbers, metavar="N,N", help="processes (default: 1 and one a physical core)")
    parser.add_argument(
        "--batch-sizes", type=numbers, metavar="N,N", help=f"(default: {','.join(map(str, BATCH_SIZES))})"
    )
    parser.add_argument("--rounds", type=numbers, metavar="N", help=f"in which all take turns (default: {ROUNDS})")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1 (default: cpu)")
    parser.add_argument("--quick", action="store_true", help="less of all, with more noise: under two minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a file, too")


def throughput(args: argparse.Namespace) -> None:
    """Measures and prints."""
    if args.json is not None:
        check_writable(args.json)
    device = choose_device(args.device)
    effort = Effort(
        workers=args.workers or tuple(sorted({1, usable_cores()})),
        batch_sizes=args.batch_sizes or (QUICK_BATCH_SIZES if args.quick else BATCH_SIZES),
        rounds=args.rounds[-1] if args.rounds else QUICK_ROUNDS if args.quick else ROUNDS,
        slice_s=QUICK_SLICE_S if args.quick else SLICE_S,
    )
    count = (QUICK_SOUNDSCAPES if args.quick else SOUNDSCAPES) * max(effort.workers)
    with _recordings(args.soundscapes, count) as recordings:
        found = measure(args.artifact, recordings, device, effort, args.floor)
    about = {
        "artifact_sha256": found.artifact.artifact_sha256,
        "model_family": found.artifact.family,
        "floor": "own" if found.own_floor else str(args.floor),
        "device": device,
        "processor": processor(),
        "cores": usable_cores(),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
        "recordings": len(recordings),
        "rounds": effort.rounds,
    }
    print("\n".join(f"{name:<16} {value}" for name, value in about.items()))
    print(f"\n{report(found)}")
    if args.json is not None:
        _write_json(args.json, {**about, **found.as_json()})


@contextlib.contextmanager
def _recordings(folder: Path | None, count: int) -> Iterator[list[Path]]:
    if folder is not None:
        found = find_recordings([folder]).paths
        if not found:
            raise InputError(f"no recordings in {folder} (WAV, FLAC, OGG, MP3 or Opus)")
        yield list(found)
        return
    with tempfile.TemporaryDirectory() as made:
        paths = [Path(made, f"{i:03d}.ogg") for i in range(count)]
        write_soundscapes(paths)
        yield paths


def _write_json(path: Path, figures: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(figures, indent=1) + "\n")


def main(args: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parsed = parse_args(args)
    try:
        check_install()
        parsed.run(parsed)
    except PerchError as error:
        print(f"perch-bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("perch-bench: interrupted", file=sys.stderr)
        return 130
    return 0
