"""The command: its arguments, and what it prints and writes."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.arguments import numbers
from benchmarks.audio import soundscapes
from benchmarks.environment import environment
from benchmarks.figures import check_writable_json, write_json
from benchmarks.throughput.report import report
from benchmarks.throughput.sweep import Effort, measure
from runtime.cores import usable_cores
from runtime.session import choose_device

BATCH_SIZES, QUICK_BATCH_SIZES = (1, 2, 4, 8, 16, 32), (1, 2)
ROUNDS, QUICK_ROUNDS = 5, 3
SLICE_S, QUICK_SLICE_S = 1.0, 0.3
SOUNDSCAPES, QUICK_SOUNDSCAPES = 20, 6
"""Minutes of sound that it makes itself, for each of the most workers."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `perch-bench throughput` takes."""
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


def run(args: argparse.Namespace) -> int:
    """Measures, prints and writes; returns the exit code."""
    check_writable_json(args.json)
    device = choose_device(args.device)
    effort = Effort(
        workers=args.workers or tuple(sorted({1, usable_cores()})),
        batch_sizes=args.batch_sizes or (QUICK_BATCH_SIZES if args.quick else BATCH_SIZES),
        rounds=args.rounds[-1] if args.rounds else QUICK_ROUNDS if args.quick else ROUNDS,
        slice_s=QUICK_SLICE_S if args.quick else SLICE_S,
    )
    count = (QUICK_SOUNDSCAPES if args.quick else SOUNDSCAPES) * max(effort.workers)
    with soundscapes(args.soundscapes, count) as recordings:
        found = measure(args.artifact, recordings, device, effort, args.floor)
    about = {
        "artifact_sha256": found.artifact.artifact_sha256,
        "model_family": found.artifact.family,
        "floor": "own" if found.own_floor else str(args.floor),
        "device": device,
        "recordings": len(recordings),
        "rounds": effort.rounds,
    }
    figures = {"environment": environment(), **about, **found.as_json()}
    print("\n".join(f"{name:<16} {value}" for name, value in about.items()))
    print(f"\n{report(found)}")
    write_json(args.json, "throughput", figures)
    return 0
