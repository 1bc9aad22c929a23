"""Makes the untrained models, converts them, and runs every command on them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.demo import CODES, write_sample_submission
from runtime.errors import PerchError

MODELS = ("v1", "v2")
COMMANDS = ("parity", "deadline", "throughput")


def measure(folder: Path, models: list[str], commands: list[str]) -> None:
    """Writes `folder/MODEL.COMMAND.json` for each of them; each command runs in a process of its own.

    Raises:
        PerchError: a command failed; it has said why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for model in models:
        with tempfile.TemporaryDirectory(prefix="perch-results-") as made:
            scratch = Path(made)
            files = list(_convert(model, scratch))
            for command in commands:
                target = folder / f"{model}.{command}.json"
                _run("benchmarks", command, *_arguments(command, scratch, files), "--json", target)


def _convert(model: str, scratch: Path) -> Iterator[Path]:
    """Everything the model gives; v2 also with its head in int8; and what an entrant of a competition needs."""
    saved_model, sample = scratch / "saved_model", scratch / "sample_submission.csv"
    _run("convert.untrained", saved_model, "--model", model)
    write_sample_submission(sample, saved_model / "assets" / CODES[model])
    options: dict[str, list[object]] = {"all_outputs": []}
    if model == "v2":
        options["int8_head"] = ["--head", "int8"]
    options["competition"] = ["--outputs", "label,embedding", "--classes", sample]
    for name, chosen in options.items():
        _run("convert", saved_model, "-o", scratch / f"{name}.onnx", *chosen)
        yield scratch / f"{name}.onnx"


def _arguments(command: str, scratch: Path, files: list[Path]) -> list[object]:
    saved_model = scratch / "saved_model"
    if command == "parity":
        return [saved_model, *files]
    if command == "deadline":
        return [saved_model, files[-1], "--classes", scratch / "sample_submission.csv"]
    return [*files[:-1], "--no-profile"]


def _run(module: str, *arguments: object) -> None:
    words = [sys.executable, "-m", module, *map(str, arguments)]
    print(f"\n$ python {' '.join(words[1:])}", flush=True)
    if code := subprocess.run(words).returncode:
        raise PerchError(f"python {' '.join(words[1:4])} ended with exit code {code}")
