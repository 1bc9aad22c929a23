"""`perch-convert`: arguments in, a file and a summary out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from convert import Device, HeadPrecision, Precision
from convert.errors import ParityError
from convert.source.folder import check_folder
from convert.source.tensorflow import check_tensorflow, hush_native_log
from convert.summary import summary
from runtime.console.terminal import Parser, add_version, command, complain
from runtime.errors import PerchError

DESCRIPTION = """\
Converts a Perch SavedModel to one ONNX file, and proves on audio that both give the same outputs before the file
appears. Takes bird-vocalization-classifier of any year, perch_v2, and similar models, whether of plain TensorFlow ops
or of StableHLO. The file holds the class lists and describes itself; perch-run needs nothing else.
"""
EXAMPLES = """\
examples:
  perch-convert bird-vocalization-classifier/8 -o perch.onnx
      every output: label, embedding, genus, family, order, frontend
  perch-convert saved_model -o perch.onnx --outputs label,embedding --classes sample_submission.csv
      for a competition: two outputs, and only the classes of the submission (smaller and faster)
  perch-convert perch_v2_cpu/1 -o perch.onnx --classes sample_submission.csv --taxonomy taxonomy.csv
      Perch v2 for a competition: the taxonomy has the scientific names by which v2 knows frogs and insects
  perch-convert perch_v2_cpu/1 -o perch.onnx --head int8
      Perch v2 for CPUs: a third of the size and about twice as fast, with scores that differ a little
  perch-convert saved_model -o perch.onnx --device cuda --precision fp16
      for a GPU
  perch-convert saved_model -o perch.onnx --audio my_recordings/
      proven on your own recordings instead of synthetic soundscapes

exit codes: 0 done; 1 the outputs differ from TensorFlow's (no file is left); 2 wrong arguments or unusable input; 130
and 143 after Ctrl-C and SIGTERM (no file is left)
"""


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="perch-convert", description=DESCRIPTION, epilog=EXAMPLES)
    parser.add_argument("saved_model", type=Path, metavar="SAVED_MODEL", help="the folder that holds saved_model.pb")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.onnx", help="the file to write")
    parser.add_argument(
        "--outputs",
        metavar="NAMES",
        help="outputs to keep, separated by commas, such as label,embedding (default: all)",
    )
    parser.add_argument(
        "--classes",
        metavar="FILE.csv",
        help="the classes of the output label to keep: a sample_submission.csv, a taxonomy.csv, or a list with a "
        "header. For a class that the model lacks, those of its genus are kept (default: all classes)",
    )
    parser.add_argument(
        "--taxonomy",
        type=Path,
        metavar="FILE.csv",
        help="a CSV with the columns primary_label, scientific_name and class_name, which says what the names in "
        "--classes mean; eBird codes and scientific names need none (default: --classes, if it has these columns)",
    )
    parser.add_argument(
        "--namespace",
        metavar="NAME",
        help="the class list of the model in which --classes are looked up, such as ebird2021 (default: the list that "
        "has most of them)",
    )
    parser.add_argument(
        "--audio", type=Path, metavar="FOLDER", help="recordings to compare on (default: synthetic soundscapes)"
    )
    parser.add_argument(
        "--precision",
        choices=get_args(Precision),
        default="fp32",
        help="fp16 is half the size, faster on a GPU and slower on a CPU. It is refused if the top class differs from "
        "that of fp32 in more than 0.5%% of 400 windows (default: fp32)",
    )
    parser.add_argument(
        "--head",
        choices=get_args(HeadPrecision),
        default="float32",
        help="int8 multiplies in 8 bits in the class head of Perch v2, for CPUs: a third of the size and about twice "
        "as fast. It is refused if, on 100 windows, scores correlate with those of float32 by less than 0.9995 or "
        "the top class differs in more than 1%% (default: float32)",
    )
    parser.add_argument(
        "--device",
        choices=get_args(Device),
        default="cpu",
        help="the device that the graph is made for. cuda: few large products, which suit a GPU. Files of both kinds "
        "run on both devices. Not with --head int8 (default: cpu)",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress bar and no summary, only errors")
    add_version(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Converts, and prints a summary unless told to be quiet.

    Raises:
        PerchError: the conversion failed, or the extra 'convert' is not installed.
    """
    check_folder(args.saved_model)  # before TensorFlow is loaded, which takes seconds
    check_tensorflow()
    try:
        from convert.conversion import convert
    except ModuleNotFoundError as error:
        raise PerchError(
            f"conversion needs the extra 'convert' ({error.name} is missing); run `pip install '.[convert]'` in the "
            "project's folder"
        ) from None

    outputs = None if args.outputs is None else [name.strip() for name in args.outputs.split(",") if name.strip()]
    try:
        artifact = convert(
            args.saved_model,
            args.output,
            outputs=outputs,
            classes=args.classes,
            taxonomy=args.taxonomy,
            namespace=args.namespace,
            audio=args.audio,
            precision=args.precision,
            head=args.head,
            device=args.device,
            progress=not args.quiet,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; no file was written") from None
    if not args.quiet:
        for line in summary(artifact, args.output):
            print(line)


@command("perch-convert")
def main(args: Sequence[str]) -> int:
    """The command; returns its exit code."""
    parsed = make_parser().parse_args(args)
    hush_native_log()
    try:
        run(parsed)
    except ParityError as error:
        complain("perch-convert", error)
        return 1
    return 0
