"""`perch-convert`: arguments in, a file and a summary out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from convert.errors import ParityError
from runtime.errors import PerchError

DESCRIPTION = """\
Converts a Perch SavedModel (plain TensorFlow ops: the models named bird-vocalization-classifier, up to 2025) to one
ONNX file, and proves the two equal on audio before the file appears. The file holds the class lists and says what it
was made from; perch-run needs nothing else.
"""
EXAMPLES = """\
examples:
  perch-convert bird-vocalization-classifier/8 -o perch.onnx
      everything: label, embedding, genus, family, order, frontend
  perch-convert saved_model -o perch.onnx --outputs label,embedding --classes sample_submission.csv
      for a competition: two outputs, and only the classes it asks for (smaller and faster)
  perch-convert saved_model -o perch.onnx --audio my_recordings/
      prove it on your own recordings instead of synthetic ones

exit codes: 0 done; 1 the result differs from TensorFlow (no file is left); 2 unusable input; 130 interrupted
"""


def parse_args(args: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="perch-convert",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("saved_model", type=Path, metavar="SAVED_MODEL", help="folder with saved_model.pb")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.onnx", help="the file to write")
    parser.add_argument("--outputs", metavar="NAMES", help="heads to keep, with commas between (default: all)")
    parser.add_argument(
        "--classes",
        metavar="FILE.csv",
        help="keep only these classes of 'label': a sample_submission.csv, a taxonomy.csv or a list with a header",
    )
    parser.add_argument("--audio", type=Path, metavar="FOLDER", help="recordings to prove it on (default: synthetic)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no summary; errors still show")
    return parser.parse_args(args)


def hush_native_log() -> None:
    """Keeps TensorFlow's C++ notices about its own build, which would bury ours, off the terminal.

    They go straight to file descriptor 2 and heed no setting that early; Python's own standard error moves to a copy
    of it. Setting TF_CPP_MIN_LOG_LEVEL (to anything) lets them through.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def run(args: argparse.Namespace) -> None:
    """Converts, and prints a summary unless told to be quiet."""
    try:
        from convert.conversion import convert
    except ModuleNotFoundError as error:
        raise PerchError(f"{error.name} is not installed; run `pip install 'perch-onnx[convert]'`") from None

    outputs = [name.strip() for name in args.outputs.split(",")] if args.outputs else None
    artifact = convert(
        args.saved_model,
        args.output,
        outputs=outputs,
        classes=args.classes,
        audio=args.audio,
        progress=not args.quiet,
    )
    if args.quiet:
        return
    megabytes = args.output.stat().st_size / 1e6
    print(f"{args.output}: {artifact.family}, {megabytes:.0f} MB, id {artifact.artifact_sha256[:12]}")
    if not artifact.free_batch:
        print("The graph takes one window at a time (its batch is baked in); perch-run feeds it so.")
    print(f"Equal to TensorFlow on {artifact.parity['audio']}, batches of {artifact.parity['batch_sizes']}:")
    print(f"  {'output':<20}{'shape':<14}{'classes':<24}{'error/range':<13}{'1 - cosine':<12}top-1")
    for name, result in artifact.parity["heads"].items():
        head = artifact.heads[name]
        classes = f"{len(head.classes)} {head.namespace}" if head.classes else "-"
        shape = "x".join(map(str, head.shape))
        top1 = f"{result['top1_equal']} of {result['windows']} equal" if head.classes else "-"
        print(f"  {name:<20}{shape:<14}{classes:<24}{result['error']:<13.1e}{result['cosine_distance']:<12.1e}{top1}")


def main(args: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parsed = parse_args(args)
    hush_native_log()
    try:
        run(parsed)
    except PerchError as error:
        print(f"perch-convert: {error}", file=sys.stderr)
        return 1 if isinstance(error, ParityError) else 2
    except KeyboardInterrupt:
        print("perch-convert: interrupted; no file was written", file=sys.stderr)
        return 130
    return 0
