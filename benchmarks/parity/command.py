"""Do converted files give the outputs of their SavedModel? Compares every output, window by window, TensorFlow against
ONNX Runtime, on each device and at several batch sizes.

Exits with 1 if a file breaks the stated tolerance of an output, differs ten times as much as its conversion measured,
or differs by more than rounding explains; the report names the output and its worst window and columns.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.measuring.arguments import number, numbers
from benchmarks.measuring.figures import check_writable_figures, write_json
from convert.source.folder import model_files
from runtime.audio.paths import find_recordings
from runtime.files import replacing

WINDOWS, QUICK_WINDOWS = 120, 24
BATCH_SIZES = (1, 2, 12)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `perch-bench parity`."""
    parser.add_argument("saved_model", type=Path, metavar="SAVED_MODEL", help="the folder that holds saved_model.pb")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.onnx", help="files that perch-convert made of it")
    parser.add_argument(
        "--audio", type=Path, metavar="FOLDER", help="recordings to compare on (default: synthetic soundscapes)"
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE.csv",
        help="labels of the recordings, to compare also how well both models find the species: a CSV with row_id and "
        "species, or BirdCLEF's labels of soundscapes",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write a report to open in a browser")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures to this file")
    parser.add_argument(
        "--windows",
        type=number,
        metavar="N",
        help="how many windows to compare, spread evenly over all recordings. More windows tell smaller differences "
        f"from rounding (default: {WINDOWS})",
    )
    parser.add_argument(
        "--batch-sizes",
        type=numbers,
        metavar="N,N",
        help=f"numbers of windows in a batch to try (default: {','.join(map(str, BATCH_SIZES))})",
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="cpu, cuda, cuda:1, or auto: the CPU, and also a GPU if there is one (default: auto)",
    )
    parser.add_argument("--quick", action="store_true", help=f"compare {QUICK_WINDOWS} windows, in under two minutes")


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
    from benchmarks.measuring.environment import environment
    from benchmarks.parity.figures import figures
    from benchmarks.parity.report import report
    from benchmarks.parity.result import compare

    about = environment()
    count = args.windows or (QUICK_WINDOWS if args.quick else WINDOWS)
    result = compare(
        args.saved_model, args.files, args.audio, args.labels, count, args.batch_sizes or BATCH_SIZES, args.device
    )
    print(report(result))
    write_json(args.json, "parity", {"environment": about, **figures(result)})
    if args.html is not None:
        from benchmarks.parity.page import page

        with replacing(args.html) as temporary:
            temporary.write_text(page(result, about), encoding="utf-8")
        print(f"Report: {args.html}")
    return 0 if result.passed else 1
