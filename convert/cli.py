"""`perch-convert`: arguments in, a file and a summary out."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from convert.errors import ParityError
from runtime.classes.suggestions import did_you_mean, suggestions
from runtime.classes.taxonomy import Taxonomy
from runtime.errors import PerchError, reason, some
from runtime.model.artifact import Artifact
from runtime.terminal import Output, add_version, command, complain

OLDEST_TENSORFLOW = (2, 21)
DESCRIPTION = """\
Converts a Perch SavedModel (bird-vocalization-classifier of any year, perch_v2, and others like them, of plain
TensorFlow ops or of StableHLO) to one ONNX file, and proves the two equal on audio before the file appears. The file
holds the class lists and says what it was made from; perch-run needs nothing else.
"""
EXAMPLES = """\
examples:
  perch-convert bird-vocalization-classifier/8 -o perch.onnx
      everything: label, embedding, genus, family, order, frontend
  perch-convert saved_model -o perch.onnx --outputs label,embedding --classes sample_submission.csv
      for a competition: two outputs, and only the classes it asks for (smaller and faster)
  perch-convert perch_v2_cpu/1 -o perch.onnx --classes sample_submission.csv --namespace ebird2021
      Perch v2 for the birds of a list of eBird codes, though it names its classes by scientific names itself
  perch-convert saved_model -o perch.onnx --audio my_recordings/
      prove it on your own recordings instead of synthetic ones

exit codes: 0 done; 1 the result differs from TensorFlow (no file is left); 2 unusable input; 130 and 143 after
Ctrl-C and SIGTERM (no file is left)
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
        help="keep only these classes of 'label', and of those it does not know the genus's: a sample_submission.csv, "
        "a taxonomy.csv or a list with a header",
    )
    parser.add_argument(
        "--taxonomy",
        type=Path,
        metavar="FILE.csv",
        help="what --classes stand for: primary_label, scientific_name, class_name (default: what eBird's codes and "
        "scientific names say themselves; --classes, if it is such a file)",
    )
    parser.add_argument(
        "--namespace",
        metavar="NAME",
        help="the model's class list in which --classes are looked up, such as ebird2021 (default: the one that knows "
        "most of them)",
    )
    parser.add_argument("--audio", type=Path, metavar="FOLDER", help="recordings to prove it on (default: synthetic)")
    parser.add_argument(
        "--precision",
        choices=("fp32", "fp16"),
        default="fp32",
        help="fp16: half the size and faster on a GPU, slower on a CPU; refused where another top class than float32's "
        "comes first in more than 0.5%% of 400 windows (default: fp32)",
    )
    parser.add_argument(
        "--head",
        choices=("float32", "int8"),
        default="float32",
        help="int8, for Perch v2 on a CPU: the products of its head in 8 bits, which is a third of the size and about "
        "twice as fast; refused where scores of 100 windows correlate with float32's by less than 0.9995 or other top "
        "classes come first in more than 1%% (default: float32)",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no summary; errors still show")
    add_version(parser)
    return parser.parse_args(args)


def hush_native_log() -> None:
    """Keeps TensorFlow's C++ notices about its own build, which would bury ours, off the terminal.

    They go straight to file descriptor 2 and heed no setting that early; Python's own standard error moves to a copy
    of it. Setting TF_CPP_MIN_LOG_LEVEL (to anything) lets them through.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ or sys.stderr is None:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    sys.stderr = Output(os.fdopen(os.dup(2), "w", buffering=1))
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)


def check_tensorflow() -> None:
    """Refuses a TensorFlow older than this project was tried with, before it is imported.

    Raises:
        PerchError: it is too old to read Perch v2's StableHLO.
    """
    try:
        installed = importlib.metadata.version("tensorflow")
    except importlib.metadata.PackageNotFoundError:
        return  # under another name, or missing, as the import will tell
    if tuple(int(part) for part in re.findall(r"\d+", installed)[:2]) < OLDEST_TENSORFLOW:
        oldest = ".".join(map(str, OLDEST_TENSORFLOW))
        raise PerchError(
            f"conversion needs tensorflow {oldest} or newer, and {installed} is installed, which is too old to read "
            f"what current models hold; run `pip install --upgrade 'tensorflow>={oldest}'`"
        )


def run(args: argparse.Namespace) -> None:
    """Converts, and prints a summary unless told to be quiet."""
    check_tensorflow()
    try:
        from convert.conversion import convert
    except ModuleNotFoundError as error:
        raise PerchError(
            f"conversion needs the extra 'convert' ({error.name} is missing); run `pip install '.[convert]'` in the "
            "project's folder"
        ) from None

    outputs = None if args.outputs is None else [name.strip() for name in args.outputs.split(",") if name.strip()]
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
        progress=not args.quiet,
    )
    if args.quiet:
        return
    megabytes = args.output.stat().st_size / 1e6
    precision = artifact.options["precision"]
    made = f"{precision}, head in int8" if artifact.options["head"] == "int8" else precision
    print(f"{args.output}: {artifact.family}, {made}, {megabytes:.0f} MB, id {artifact.artifact_sha256[:12]}")
    if not artifact.free_batch:
        print("The graph takes one window at a time (its batch is baked in); perch-run feeds it so.")
    if unknown := artifact.options["unknown_classes"]:
        meant = did_you_mean(suggestions(unknown, artifact.head("label"), Taxonomy()))
        print(
            f"{len(unknown)} of the classes to keep are not known to the model, what it has of their genera is kept: "
            f"{some(unknown, 20)}{f'; {meant}' if meant else ''}"
        )
    for name, agreed in artifact.parity.get("float32_head", {}).items():
        print(
            f"{name} in int8 on {agreed['windows']} windows: correlation {agreed['correlation']:.5f} with float32's; "
            f"the same top class in {agreed['top1_equal']}, or one that leads by less than int8 differs in "
            f"{agreed['top1_agrees']}"
        )
    if artifact.parity_warning:
        print(f"Note: {artifact.parity_warning}. That the file runs on ONNX Runtime was checked, not more.")
        return
    sizes = " and ".join(", ".join(map(str, artifact.parity["batch_sizes"])).rsplit(", ", 1))
    less = "float16" if precision != "float32" else artifact.options["head"]
    equal = "Equal to TensorFlow" if less == "float32" else f"As near to TensorFlow as {less} gets"
    print(f"{equal} on {artifact.parity['audio']}, in batches of {sizes}:")
    print(f"  {'output':<20}{'shape':<14}{'classes':<24}{'error/range':<13}{'1 - cosine':<12}top-1")
    for name, result in artifact.parity["heads"].items():
        head = artifact.heads[name]
        classes = f"{len(head.classes)} {head.namespace}" if head.classes else "-"
        shape = "x".join(map(str, head.shape))
        top1 = f"{result['top1_equal']} of {result['windows']} equal" if head.classes else "-"
        print(f"  {name:<20}{shape:<14}{classes:<24}{result['error']:<13.1e}{result['cosine_distance']:<12.1e}{top1}")
    for line in rounding_lines(artifact):
        print(line)
    if whole := artifact.parity.get("float32"):
        shares = ", ".join(f"{name} {share:.2%}" for name, share in whole["top1_agreement"].items())
        print(f"Top class as in float32 on {whole['windows']} windows: {shares or 'no output has classes'}")


def rounding_lines(artifact: Artifact) -> Iterator[str]:
    """What rounding does to an ill-conditioned model's outputs; nothing of others."""
    told = artifact.parity.get("rounding", {})
    for name in told.get("ill_conditioned", ()):
        file, own, times = artifact.parity["heads"][name], told["heads"][name]["itself"], told["times"]
        yield (
            f"{name} is ill-conditioned: off TensorFlow by {_measures(file)}; TensorFlow off itself, where rounding "
            f"differs, by {_measures(own)}; {times['error']:g} times that passes, {times['mean_error']:g} times "
            f"in the mean, {times['cosine_distance']:g} times for 1 - cosine"
        )
        if exact := told["heads"][name].get("float64"):
            off = [
                f"{whose} by {_measures(exact[key])}"
                for key, whose in (("tensorflow", "TensorFlow"), ("onnx", "the file"))
            ]
            yield f"  off float64 on {exact['onnx']['windows']} windows: {', '.join(off)}"
    if reason := told.get("not_in_float64"):
        yield f"  {reason}"


def _measures(found: Mapping[str, float]) -> str:
    return f"{found['error']:.1e} (mean {found['mean_error']:.1e}, 1 - cosine {found['cosine_distance']:.1e})"


@command("perch-convert")
def main(args: Sequence[str]) -> int:
    """The command; returns its exit code."""
    parsed = parse_args(args)
    hush_native_log()
    terminated: list[int] = []

    def on_sigterm(number: int, frame: object) -> None:
        terminated.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, on_sigterm)
    try:
        run(parsed)
    except PerchError as error:
        complain("perch-convert", error)
        return 1 if isinstance(error, ParityError) else 2
    except OSError as error:
        complain("perch-convert", f"{error.filename or 'cannot write'}: {reason(error)}")
        return 2
    except KeyboardInterrupt:
        complain("perch-convert", "interrupted; no file was written")
        return 143 if terminated else 130
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0
