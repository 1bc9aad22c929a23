"""Makes untrained models, converts them, and runs the commands on them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.demo import CODES, write_sample_submission
from runtime.errors import PerchError

MODELS = ("v1", "v2")
COMMANDS = ("parity", "deadline", "throughput")
TIMELINE, TIMELINE_MODEL = "timeline", "v1"
LABELLING, LABELLING_MODEL = "labelling", "v1-shallow"
SAVED_MODEL, SAMPLE = "saved_model", "sample_submission.csv"


def measure(folder: Path, models: Sequence[str], commands: Sequence[str]) -> None:
    """Writes `folder/MODEL.COMMAND.json` for every pair; each command runs in a process of its own.

    `timeline` and `labelling` are measured with one model only, and their files are `folder/timeline.json` and
    `folder/labelling.json`.

    Raises:
        PerchError: a command failed; it has said why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for model in models:
        with tempfile.TemporaryDirectory(prefix="perch-results-") as made:
            scratch = Path(made)
            files = list(_convert(model, scratch))
            for command in commands:
                if command in COMMANDS:
                    target = folder / f"{model}.{command}.json"
                    _run(scratch, "benchmarks", command, *_arguments(command, files), "--json", target.absolute())
                elif command == TIMELINE and model == TIMELINE_MODEL:
                    target = folder / f"{TIMELINE}.json"
                    _run(scratch, "benchmarks.results.timeline", files[0], "--json", target.absolute())
    if LABELLING in commands:
        with tempfile.TemporaryDirectory(prefix="perch-results-") as made:
            scratch = Path(made)
            _run(scratch, "convert.untrained", SAVED_MODEL, "--model", LABELLING_MODEL)
            _run(scratch, "convert", SAVED_MODEL, "-o", "perch.onnx", "--outputs", "embedding")
            target = folder / f"{LABELLING}.json"
            _run(scratch, "benchmarks", LABELLING, "perch.onnx", "--json", target.absolute())


def _convert(model: str, scratch: Path) -> Iterator[str]:
    """Makes a model and converts it: with all outputs, v2 also with an int8 head, and for a competition."""
    _run(scratch, "convert.untrained", SAVED_MODEL, "--model", model)
    write_sample_submission(scratch / SAMPLE, scratch / SAVED_MODEL / "assets" / CODES[model])
    options: dict[str, list[str]] = {"all_outputs": []}
    if model == "v2":
        options["int8_head"] = ["--head", "int8"]
    options["competition"] = ["--outputs", "label,embedding", "--classes", SAMPLE]
    for name, chosen in options.items():
        _run(scratch, "convert", SAVED_MODEL, "-o", f"{name}.onnx", *chosen)
        yield f"{name}.onnx"


def _arguments(command: str, files: list[str]) -> list[str]:
    if command == "parity":
        return [SAVED_MODEL, *files]
    if command == "deadline":
        return [SAVED_MODEL, files[-1], "--classes", SAMPLE]
    return [*files[:-1], "--no-profile"]


def _run(folder: Path, module: str, *arguments: object) -> None:
    """Runs a module in the folder, so that the figures name files without the folders of this machine."""
    words = [sys.executable, "-m", module, *map(str, arguments)]
    print(f"\n$ python {' '.join(words[1:])}", flush=True)
    if code := subprocess.run(words, cwd=folder).returncode:
        raise PerchError(f"python {' '.join(words[1:4])} ended with exit code {code}")
