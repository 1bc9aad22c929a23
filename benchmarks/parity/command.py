"""Whether converted files give what their SavedModel gives: every output, window by window, TensorFlow against ONNX
Runtime, on each device and at several batch sizes. Exits with 1 where a file differs by more than a stated tolerance,
by more than ten times what its conversion measured, or by more than rounding.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.measuring.arguments import numbers
from benchmarks.measuring.environment import environment
from benchmarks.measuring.figures import check_writable_figures, write_json
from convert.source.folder import model_files
from runtime.audio.paths import find_recordings
from runtime.files import replacing

WINDOWS, QUICK_WINDOWS = 120, 24
BATCH_SIZES = (1, 2, 12)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `perch-bench parity` takes."""
    parser.add_argument("saved_model", type=Path, metavar="SAVED_MODEL", help="folder with saved_model.pb")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.onnx", help="what perch-convert made of it")
    parser.add_argument("--audio", type=Path, metavar="FOLDER", help="recordings (default: synthetic soundscapes)")
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE.csv",
        help="row_id and species, or BirdCLEF's labels of soundscapes: compares what both models get right of them",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report for people, to open in a browser")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a file, too")
    parser.add_argument(
        "--windows",
        type=numbers,
        metavar="N",
        help=f"how many are compared, evenly over all recordings (default: {WINDOWS}); the more, the smaller the "
        "differences that can be told from rounding",
    )
    parser.add_argument(
        "--batch-sizes", type=numbers, metavar="N,N", help=f"(default: {','.join(map(str, BATCH_SIZES))})"
    )
    parser.add_argument(
        "--device", default="auto", help="cpu, cuda or cuda:1; auto is the CPU and a GPU if there is one (default)"
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_WINDOWS} windows: under two minutes")


def run(args: argparse.Namespace) -> int:
    """Compares, prints and writes; returns the exit code."""
    check_writable_figures(
        {"--html": args.html, "--json": args.json},
        {
            "the SavedModel's": lambda: model_files(args.saved_model),
            "FILE.onnx": args.files,
            "--audio": lambda: find_recordings(args.audio).paths if args.audio is not None else (),
            "--labels": args.labels,
        },
    )
    from convert.source.tensorflow import check_tensorflow

    check_tensorflow()
    from benchmarks.parity.figures import figures
    from benchmarks.parity.outcome import compare
    from benchmarks.parity.report import report

    about = environment()
    count = args.windows[-1] if args.windows else QUICK_WINDOWS if args.quick else WINDOWS
    outcome = compare(
        args.saved_model, args.files, args.audio, args.labels, count, args.batch_sizes or BATCH_SIZES, args.device
    )
    print(report(outcome))
    write_json(args.json, "parity", {"environment": about, **figures(outcome)})
    if args.html is not None:
        from benchmarks.parity.page import page

        with replacing(args.html) as temporary:
            temporary.write_text(page(outcome, about), encoding="utf-8")
        print(f"Report: {args.html}")
    return 0 if outcome.passed else 1
