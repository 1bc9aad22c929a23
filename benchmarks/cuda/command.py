"""What does a CUDA card make of converted files: are the outputs right, and how fast is it?

Measures in steps within a time limit, the most valuable first, and writes the JSON after every bit that was measured:
a call that is cut short leaves what it had. A step that fails is recorded, and the next one begins. It needs neither
TensorFlow nor a network, and runs from a checkout (`python -m benchmarks cuda`). `--device cpu` tries the whole way on
a machine without a GPU. Exits with 1 if a step failed or a result is wrong.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnxruntime

from benchmarks.measuring.figures import check_writable_figures
from runtime.audio.paths import find_recordings
from runtime.console.terminal import printable
from runtime.errors import DeviceError, InputError, repeated
from runtime.model.artifact import Artifact
from runtime.model.messages import unusable
from runtime.model.session import choose_device
from runtime.request.values import parse_names, parse_seconds

if TYPE_CHECKING:
    from benchmarks.cuda.record import Record
    from benchmarks.cuda.step import Context, Result

LIMIT_S = 6 * 60.0
LEAST_S = 2.0
"""With less time left no further step is begun."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `perch-bench cuda`."""
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.onnx", help="files that perch-convert made")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        required=True,
        help="write all figures to this file. One that exists must be of the same card, driver, ONNX Runtime, files, "
        "--audio, --expected and --quick; it keeps what it holds, and steps go on where an earlier call was cut short "
        "(doctor, ceiling and faults are measured again). To measure anew, name another file",
    )
    parser.add_argument(
        "--audio", type=Path, metavar="FOLDER", help="recordings to score (default: synthetic WAV, FLAC and OGG files)"
    )
    parser.add_argument(
        "--expected",
        type=Path,
        metavar="FILE.npz",
        help="outputs that `python -m benchmarks.cuda.kit` computed on another machine, to compare with as well",
    )
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1 or cpu (default: cuda)")
    parser.add_argument(
        "--steps", type=parse_names, metavar="NAMES", help="steps to measure, separated by commas (default: all)"
    )
    parser.add_argument(
        "--limit",
        type=parse_seconds,
        default=LIMIT_S,
        metavar="TIME",
        help="the time for all steps together, such as 6m; a measurement that is under way then has 10 s more "
        "(default: 6m)",
    )
    parser.add_argument("--quick", action="store_true", help="as little of each step as shows that it works")


def run(args: argparse.Namespace) -> int:
    """Measures, prints and writes; returns the exit code: 1 if a step failed or a result is wrong."""
    started = time.monotonic()
    check_writable_figures(
        {"--json": args.json},
        {
            "FILE.onnx": args.files,
            "--expected": args.expected,
            "--audio": lambda: find_recordings(args.audio).paths if args.audio is not None else (),
        },
    )
    from benchmarks.cuda.all_steps import STEPS
    from benchmarks.cuda.record import Record
    from benchmarks.cuda.report import conclusion, wrong_results
    from benchmarks.cuda.step import Context

    device, models = choose_device(args.device), _models(args.files)
    steps = args.steps or tuple(STEPS)
    if unknown := [name for name in steps if name not in STEPS]:
        raise InputError(f"--steps: there is no step '{unknown[0]}'; there are {', '.join(STEPS)}")
    record = Record(args.json, _about(args, device, models))
    with tempfile.TemporaryDirectory(prefix="perch-bench-") as scratch:
        until = started + args.limit
        context = Context(models, device, args.audio, args.expected, args.quick, until, Path(scratch), {})
        failed = _measure([name for name in STEPS if name in steps], context, record)
    print()
    for line in conclusion(record.steps, record.skipped):
        print(printable(line))
    print(f"Took {time.monotonic() - started:.0f} s; figures in {args.json}")
    return 1 if failed or any(wrong_results(record.steps)) else 0


def _measure(names: Sequence[str], context: Context, record: Record) -> list[str]:
    """Measures the steps of these names; returns those that failed.

    Raises:
        DeviceError: the device cannot be used.
    """
    from benchmarks.cuda.all_steps import STEPS
    from benchmarks.cuda.process import run_step

    failed = []
    for number, name in enumerate(names):
        if context.left() < LEAST_S:
            record.skipped |= dict.fromkeys(names[number:], "the time was over")
            break
        asked = [STEPS[each].seconds for each in names[number:]]
        share_s = asked[0] * max(1.0, context.left() / sum(asked))
        begun = time.monotonic()
        until = min(context.until, begun + share_s)
        keep = partial(record.keep, name)
        step = STEPS[name]
        earlier = {} if step.anew else record.begun(name)
        given = replace(context, until=until, done=dict(record.steps), silent_s=step.silent_s, begun=earlier)
        stays = step.anew and name in record.steps  # the earlier result, until there is a whole new one
        result = run_step(step.module.__name__, given, _nothing if stays else keep, step.by_tf32)
        result |= {"took_s": round(time.monotonic() - begun, 2)}
        keep({**result, "date": datetime.datetime.now().isoformat(timespec="seconds"), "quick": context.quick})
        _print(name, result)
        failed += [name] if "error" in result else []
        if name == "doctor" and (problem := _problem(context, result)) is not None:
            raise DeviceError(unusable(context.device, problem))
    record.write()
    return failed


def _nothing(found: Result) -> None:
    """Keeps nothing of what was found."""


def _problem(context: Context, doctor: Result) -> str | None:
    """Why a GPU cannot be used, so that no further step is worth its time; None if the doctor says that it can be.

    A doctor that crashes or hangs before it knows says why, too: whatever it was, further steps would do the same. What
    happens after a convolution was computed, such as a card that is slow to start, does not prevent them.
    """
    if not context.on_gpu or doctor.get("problem", "unknown") is None:
        return None
    return str(
        doctor.get("problem") or doctor.get("error") or "the doctor did not get so far as to compute a convolution"
    )


def _print(name: str, result: Result) -> None:
    """Prints a step's lines; one that cannot be printed is still in the JSON."""
    from benchmarks.cuda.all_steps import STEPS
    from benchmarks.cuda.step import in_words

    print(f"\n{name} ({result.get('took_s', 0):.0f} s)")
    if "error" in result:
        print(f"  failed: {printable(result['error'])}")
    try:
        for line in STEPS[name].module.lines(result):
            print(f"  {printable(line)}")
    except Exception as error:  # whatever a failed step lacks
        print(f"  its figures cannot be shown ({in_words(error)})")
    sys.stdout.flush()


def _models(files: Sequence[Path]) -> dict[str, Path]:
    """The files by their stems."""
    if twice := repeated([path.stem for path in files]):
        raise InputError(f"two files are called {twice[0]}; figures are named after files, so rename one")
    return {path.stem: path for path in files}


def _about(args: argparse.Namespace, device: str, models: Mapping[str, Path]) -> dict[str, Any]:
    """What describes the measurement in the JSON; raises ArtifactError for a file that is damaged or no artifact."""
    from benchmarks.cuda import card
    from benchmarks.measuring.environment import environment
    from runtime.model.identity import read_true_artifact

    artifacts = {name: read_true_artifact(path) for name, path in models.items()}
    return {
        "device": device,
        "card": card.name(device),
        "driver": card.described(device).get("driver_version"),
        "onnxruntime": onnxruntime.__version__,
        "models": {name: described(artifact) for name, artifact in artifacts.items()},
        "quick": args.quick,
        "audio": None if args.audio is None else str(args.audio),
        "expected_sha256": args.expected and hashlib.sha256(args.expected.read_bytes()).hexdigest(),
        "limit_s": args.limit,
        "environment": environment(),
    }


def described(artifact: Artifact) -> dict[str, Any]:
    """A file, as the JSON names it."""
    label = artifact.heads.get("label")
    return {
        "artifact_sha256": artifact.artifact_sha256,
        "family": artifact.family,
        "precision": artifact.options.get("precision", "float32"),
        "graph_for": artifact.options.get("device", "cpu"),
        "classes": len(label.classes) if label is not None else 0,
        "heads": {name: list(head.shape) for name, head in artifact.heads.items()},
    }
