"""How fast a converted file is on this machine: sweeps workers, threads and batch, and says where the time goes.

The fastest setup that fits into memory is kept as this machine's profile, which runs use that are not told otherwise.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from benchmarks.measuring.arguments import numbers
from benchmarks.measuring.audio import soundscapes
from benchmarks.measuring.environment import Others, environment
from benchmarks.measuring.figures import check_writable_figures, write_json
from benchmarks.measuring.memory import available, size
from benchmarks.measuring.timing import noise
from benchmarks.throughput.crew import measured_outputs
from benchmarks.throughput.measurements import Configuration, Measurements
from benchmarks.throughput.parts import measure_parts
from benchmarks.throughput.report import METHOD, report
from benchmarks.throughput.setups import BATCH_SIZES, batch_sizes_of, crews_of
from benchmarks.throughput.sweep import Bench, Effort, sweep
from runtime.audio.paths import find_recordings
from runtime.cores import usable_cores
from runtime.errors import InputError, OutputError
from runtime.files import Files, check_outputs
from runtime.model.identity import read_true_artifact
from runtime.model.profile import VARIABLE, Setup, write_profile
from runtime.model.session import choose_device

DEFAULT = Effort(rounds=None, least_rounds=3, sweep_s=180.0, slice_s=1.0, part_rounds=3, parts_s=150.0, whole_s=8.0)
QUICK = Effort(rounds=None, least_rounds=2, sweep_s=30.0, slice_s=0.5, part_rounds=1, parts_s=0.0, whole_s=3.0)
TOO_BUSY = 0.5
"""Above this share of the processors that others took, what was fastest is no more than chance."""
SOUNDSCAPES, QUICK_SOUNDSCAPES = 20, 6
"""Minutes of sound that it makes itself, for each core."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `perch-bench throughput` takes."""
    parser.add_argument(
        "files", type=Path, nargs="+", metavar="FILE.onnx", help="made by perch-convert; several are compared"
    )
    parser.add_argument(
        "--workers", type=numbers, metavar="N,N", help="processes (default: 1, and what uses all cores)"
    )
    parser.add_argument("--threads", type=numbers, metavar="N,N", help="threads of each (default: likewise)")
    parser.add_argument(
        "--batch-sizes", type=numbers, metavar="N,N", help=f"(default: {','.join(map(str, BATCH_SIZES))})"
    )
    parser.add_argument(
        "--memory",
        type=size,
        metavar="SIZE",
        help="most that a run may take: 4GB (default: 0.9 of what is free)",
    )
    parser.add_argument("--rounds", type=numbers, metavar="N", help="of the sweep (default: 3 to 7, as time allows)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1 (default: cpu)")
    parser.add_argument(
        "--soundscapes", type=Path, metavar="FOLDER", help="recordings (default: synthetic, 32 kHz OGG of a minute)"
    )
    parser.add_argument(
        "--floor", type=Path, metavar="FILE.onnx", help="whose backbone is the floor (default: FILE's own)"
    )
    parser.add_argument("--no-profile", action="store_true", help="do not keep the best as this machine's profile")
    parser.add_argument("--quick", action="store_true", help="less of all, with more noise: under two minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a file, too")


def run(args: argparse.Namespace) -> int:
    """Measures, prints and writes; returns the exit code."""
    writes = {"--json": args.json, "this machine's profile": None if args.no_profile else os.environ.get(VARIABLE)}
    reads: dict[str, Files] = {
        "FILE.onnx": args.files,
        "--floor": args.floor,
        "--soundscapes": lambda: find_recordings(args.soundscapes).paths if args.soundscapes is not None else (),
    }
    check_outputs(writes, reads)
    check_writable_figures({"--json": args.json}, {})
    device, cores = choose_device(args.device), usable_cores()
    if args.floor is not None:
        read_true_artifact(args.floor)
    files = [_tried(path, args, device) for path in dict.fromkeys(args.files)]
    effort = QUICK if args.quick else DEFAULT
    if args.rounds:
        effort = Effort(**{**vars(effort), "rounds": args.rounds[-1]})
    bound = args.memory if args.memory is not None else available()
    others = Others()
    with soundscapes(args.soundscapes, (QUICK_SOUNDSCAPES if args.quick else SOUNDSCAPES) * cores) as recordings:
        bench = Bench(tuple(recordings), device, bound, effort)
        sweep(files, bench)
        for found in files:
            measure_parts(found, bench, args.floor)
    trust = noise([values for found in files for values in found.values()] or [[1.0]], others.share())
    here = environment()
    print(f"{here['processor']}, {cores} cores, {here['memory_gib']} GiB; {device}; {len(recordings)} recordings")
    print(f"{METHOD}\n\n{report(files, device)}\n")
    print("\n".join(_conclusion(files, device, bound, trust, args.no_profile)))
    figures = {
        "environment": here,
        "device": device,
        "recordings": len(recordings),
        "memory_bound_bytes": bound,
        "effort": vars(effort),
        "method": " ".join(METHOD.split()),
        "floor": "own" if args.floor is None else str(args.floor),
        "files": [found.as_json() for found in files],
        "noise": trust,
    }
    write_json(args.json, "throughput", figures)
    return 0


def _tried(path: Path, args: argparse.Namespace, device: str) -> Measurements:
    """A file and the setups that it is tried with."""
    artifact = read_true_artifact(path)
    sizes = batch_sizes_of(artifact, device, args.quick, args.batch_sizes)
    crews = crews_of(usable_cores(), device, args.workers, args.threads)
    tried = [Configuration(Setup(workers, threads, each)) for workers, threads in crews for each in sizes]
    return Measurements(path, artifact, measured_outputs(artifact), tried)


def _conclusion(
    files: list[Measurements], device: str, bound: int | None, trust: dict[str, Any], no_profile: bool
) -> list[str]:
    """The best of each file, kept as its profile, and how far to trust that."""
    lines = []
    within = "memory is not bounded" if bound is None else f"within {bound / 10**9:.2f} GB"
    for found in files:
        best = found.best
        lines.append(f"Fastest, {within}: {best.setup}, {best.rate:.2f} windows/s ({found.path.name})")
        try:
            if (trust["others"] or 0.0) > TOO_BUSY:
                lines.append("  not kept for runs to use: others had most of the processors")
            elif not no_profile:
                kept = write_profile(found.artifact.artifact_sha256, device, best.setup, best.rate)
                lines.append(f"  kept in {kept}: runs on {device} take it unless they are told otherwise")
        except (InputError, OutputError) as error:
            lines.append(f"  not kept for runs to use: {error}")
    lines.append(
        f"Greatest over least of the rounds: {trust['spread']:.2f} (median), {trust['worst_spread']:.2f} (worst)"
    )
    return lines + ([] if trust["noisy"] is None else [trust["noisy"][0].upper() + trust["noisy"][1:]])
