"""How fast is a converted file on this machine? Times it with different numbers of workers, threads and windows per
batch, ranks these setups, and breaks the time of the best one down by stage.

The fastest setup that fits into memory is kept as this machine's profile: perch-run then uses it unless it is told
otherwise.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measuring.arguments import memory_size, number, numbers
from benchmarks.measuring.figures import check_writable_figures, write_json
from benchmarks.throughput.setups import BATCH_SIZES, batch_sizes_of, layouts_of
from runtime.audio.paths import find_recordings
from runtime.cores import usable_cores
from runtime.errors import InputError, OutputError, counted
from runtime.files import Files, check_outputs
from runtime.model.identity import read_true_artifact
from runtime.model.profile import VARIABLE, Setup, write_profile
from runtime.model.session import choose_device

if TYPE_CHECKING:
    from benchmarks.throughput.figures import FileFigures

TOO_BUSY = 0.5
"""If other programs took more than this share of the processors, which setup was fastest is down to chance."""
SOUNDSCAPES, QUICK_SOUNDSCAPES = 20, 6
"""Synthetic soundscapes of a minute, for each core."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `perch-bench throughput`."""
    parser.add_argument(
        "files", type=Path, nargs="+", metavar="FILE.onnx", help="files that perch-convert made; several are compared"
    )
    parser.add_argument(
        "--workers",
        type=numbers,
        metavar="N,N",
        help="numbers of processes to try (default: 1, all cores, and their halves in between)",
    )
    parser.add_argument(
        "--threads",
        type=numbers,
        metavar="N,N",
        help="numbers of threads in each process to try (default: what uses all cores, and 1 with 1 worker)",
    )
    parser.add_argument(
        "--batch-sizes",
        type=numbers,
        metavar="N,N",
        help=f"numbers of windows in a batch to try (default: {','.join(map(str, BATCH_SIZES))})",
    )
    parser.add_argument(
        "--memory",
        type=memory_size,
        metavar="SIZE",
        help="the most memory that a run may use, such as 4GB (default: 90%% of what is free)",
    )
    parser.add_argument(
        "--rounds", type=number, metavar="N", help="how often each setup is timed (default: 3 to 7, as time allows)"
    )
    parser.add_argument("--device", default="cpu", help="where to compute: cpu, cuda or cuda:1 (default: cpu)")
    parser.add_argument(
        "--soundscapes",
        type=Path,
        metavar="FOLDER",
        help="recordings to score (default: synthetic OGG files of one minute at 32 kHz)",
    )
    parser.add_argument(
        "--floor",
        type=Path,
        metavar="FILE.onnx",
        help="the file whose backbone is the floor, of which times are also given as multiples (default: each file "
        "itself)",
    )
    parser.add_argument(
        "--no-profile", action="store_true", help="do not save the fastest setup as this machine's profile"
    )
    parser.add_argument("--quick", action="store_true", help="fewer setups and rounds: under two minutes, but noisier")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures to this file")


def run(args: argparse.Namespace) -> int:
    """Measures, prints and writes; returns the exit code."""
    _check_files(args)
    from benchmarks.measuring.audio import soundscapes
    from benchmarks.measuring.environment import OtherLoad, environment
    from benchmarks.measuring.memory import available_memory
    from benchmarks.measuring.timing import noise
    from benchmarks.throughput import sweep
    from benchmarks.throughput.breakdown import measure_breakdowns
    from benchmarks.throughput.report import METHOD, report

    device, cores = choose_device(args.device), usable_cores()
    if args.floor is not None:
        read_true_artifact(args.floor)
    files = [_file(path, args, device) for path in dict.fromkeys(args.files)]
    effort = sweep.QUICK if args.quick else sweep.DEFAULT
    if args.rounds:
        effort = replace(effort, rounds=args.rounds)
    memory_limit = args.memory if args.memory is not None else available_memory()
    load = OtherLoad()
    with soundscapes(args.soundscapes, (QUICK_SOUNDSCAPES if args.quick else SOUNDSCAPES) * cores) as recordings:
        conditions = sweep.Conditions(tuple(recordings), device, memory_limit, effort)
        sweep.sweep(files, conditions)
        for file in files:
            measure_breakdowns(file, conditions, args.floor)
    trust = noise([values for file in files for values in file.rounds()] or [[1.0]], load.share())
    here = environment()
    sounds = counted(len(recordings), "recording")
    print(f"{here['processor']}, {counted(cores, 'core')}, {here['memory_gib']} GiB; {device}; {sounds}")
    print(f"{METHOD}\n\n{report(files, device)}\n")
    print("\n".join(_conclusion(files, device, memory_limit, trust, args.no_profile)))
    figures = {
        "environment": here,
        "device": device,
        "recordings": len(recordings),
        "memory_bound_bytes": memory_limit,
        "effort": vars(effort),
        "method": " ".join(METHOD.split()),
        "floor": "own" if args.floor is None else str(args.floor),
        "files": [file.as_json() for file in files],
        "noise": trust,
    }
    write_json(args.json, "throughput", figures)
    return 0


def _check_files(args: argparse.Namespace) -> None:
    """Refuses, before the work, to write over what is read, or where nothing can be written."""
    writes = {"--json": args.json, "this machine's profile": None if args.no_profile else os.environ.get(VARIABLE)}
    reads: dict[str, Files] = {
        "FILE.onnx": args.files,
        "--floor": args.floor,
        "--soundscapes": lambda: find_recordings(args.soundscapes).paths if args.soundscapes is not None else (),
    }
    check_outputs(writes, reads)
    check_writable_figures({"--json": args.json}, {})


def _file(path: Path, args: argparse.Namespace, device: str) -> FileFigures:
    """A file and the setups to try it with."""
    from benchmarks.throughput.figures import Configuration, FileFigures
    from benchmarks.throughput.workers import measured_outputs

    artifact = read_true_artifact(path)
    sizes = batch_sizes_of(artifact, device, args.quick, args.batch_sizes)
    layouts = layouts_of(usable_cores(), device, args.workers, args.threads)
    configurations = [Configuration(Setup(workers, threads, size)) for workers, threads in layouts for size in sizes]
    return FileFigures(path, artifact, measured_outputs(artifact), configurations)


def _conclusion(
    files: list[FileFigures], device: str, memory_limit: int, trust: dict[str, Any], no_profile: bool
) -> list[str]:
    """The best setup of each file, which becomes its profile, and how far to trust it."""
    from benchmarks.measuring.timing import spreads_in_words

    lines = []
    for file in files:
        best = file.best
        lines.append(
            f"Fastest within {memory_limit / 10**9:.2f} GB: {best.setup}, {best.rate:.2f} windows/s ({file.path.name})"
        )
        try:
            if trust["others"] > TOO_BUSY:
                lines.append("  not kept as a profile: other programs took most of the processors")
            elif not no_profile:
                kept = write_profile(file.artifact.base_sha256, device, best.setup, best.rate)
                lines.append(f"  kept in {kept}: perch-run on {device} uses it unless it is told otherwise")
        except (InputError, OutputError) as error:
            lines.append(f"  not kept as a profile: {error}")
    lines.append(spreads_in_words(trust))
    return lines + ([] if trust["noisy"] is None else [trust["noisy"][0].upper() + trust["noisy"][1:]])
