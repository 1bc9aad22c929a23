"""Does a converted file meet a deadline on this machine, from sound files to a submission, and would TensorFlow?

Times perch-onnx and a BirdCLEF notebook that calls TensorFlow in turns on the same soundscapes of a minute, and says
how long each takes for 700 of them: measured where time allows, else projected with an interval. Then gives both too
little time on purpose, to see whether their submissions are complete and what they lose. Exits with 1 if a
submission is incomplete.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.measuring.figures import check_writable_figures, write_json
from convert.source.folder import model_files
from runtime.audio.paths import find_recordings
from runtime.errors import InputError
from runtime.files import Files
from runtime.request.values import parse_seconds

DEADLINE_S = 90 * 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `perch-bench deadline`."""
    parser.add_argument("saved_model", type=Path, metavar="SAVED_MODEL", help="the folder that holds saved_model.pb")
    parser.add_argument("artifact", type=Path, metavar="FILE.onnx", help="the file that perch-convert made of it")
    parser.add_argument(
        "--soundscapes",
        type=Path,
        metavar="FOLDER",
        help="recordings to score, each of exactly one minute at 32 kHz (default: synthetic OGG files)",
    )
    parser.add_argument(
        "--classes",
        type=Path,
        metavar="FILE",
        help="a sample_submission.csv, whose classes become the submission's columns (default: all that the model has, "
        "which is gigabytes of CSV)",
    )
    parser.add_argument(
        "--deadline",
        type=parse_seconds,
        default=DEADLINE_S,
        metavar="TIME",
        help="the time that the competition allows, such as 90m or 300s (default: 90m)",
    )
    parser.add_argument("--quick", action="store_true", help="fewer soundscapes: under two minutes, but noisier")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures to this file")


def run(args: argparse.Namespace) -> int:
    """Measures, prints and writes; returns the exit code: 1 if a submission is not complete."""
    started = time.monotonic()
    reads: dict[str, Files] = {
        "the SavedModel's": lambda: model_files(args.saved_model),
        "FILE.onnx": args.artifact,
        "--soundscapes": lambda: find_recordings(args.soundscapes).paths if args.soundscapes is not None else (),
        "--classes": args.classes,
    }
    check_writable_figures({"--json": args.json}, reads)
    if not args.deadline:
        raise InputError("--deadline is 0; write a time such as 90m")

    from benchmarks.baseline import notebook  # imports TensorFlow, for which --help need not wait
    from benchmarks.deadline.contestants import PerchOnnx, check_source, columns_of, tensorflow_contestants
    from benchmarks.deadline.measurement import DEFAULT, QUICK, DeadlineBenchmark
    from benchmarks.deadline.report import PAGE_CACHE, report
    from benchmarks.measuring import audio
    from benchmarks.measuring.environment import environment
    from runtime.model.identity import read_true_artifact

    budget = QUICK if args.quick else DEFAULT
    model = check_source(args.saved_model, args.artifact)
    artifact = read_true_artifact(args.artifact)
    columns = columns_of(model, artifact, args.classes)
    with (
        tempfile.TemporaryDirectory(prefix="perch-bench-") as folder,
        audio.soundscapes(args.soundscapes, budget.made) as paths,
    ):
        notebook.check_soundscapes(paths)
        perch = PerchOnnx(args.artifact, columns.names if args.classes is not None else None, Path(folder))
        ways = tensorflow_contestants(model, columns, Path(folder))
        figures = DeadlineBenchmark(perch, ways, paths, budget, started).run()
    about = {
        "artifact_sha256": artifact.artifact_sha256,
        "model_family": artifact.family,
        "classes": len(columns.names),
        "unmapped": len(columns.unmapped),
        "recordings": len(paths),
        "deadline_s": args.deadline,
        "tensorflow": model.cannot_run or "runs",
    }
    print("\n".join(f"{name:<16} {value}" for name, value in about.items()))
    print(f"\n{report(figures, args.deadline)}")
    took_s = time.monotonic() - started
    print(f"Took {took_s:.0f} s.")
    more = {"page_cache": PAGE_CACHE, "took_s": took_s, "environment": environment()}
    write_json(args.json, "deadline", {**about, **figures.as_json(args.deadline), **more})
    return 0 if all(result.complete for result in figures.results.values()) else 1
