"""Runs in tests: quiet, by an engine of the test's choice, interrupted."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import runtime.run
from runtime import Interrupted, Soundscapes, run_soundscapes
from runtime.request.request import Request
from runtime.run import run_request
from runtime.workers.engines import EngineFactory


def run(soundscapes: object, model: Path, engine: EngineFactory | None = None, **options: object) -> Soundscapes:
    """A run without a progress bar, by another engine than the device's if one is given."""
    options = {"progress": False, **options}
    if engine is None:
        return run_soundscapes(soundscapes, model, **options)  # type: ignore[arg-type]
    return run_request(soundscapes, model, Request(**options), engine)  # type: ignore[arg-type]


def interrupt(
    folder: Path, model: Path, sink: Path, after: int, monkeypatch: pytest.MonkeyPatch, **options: object
) -> None:
    """A run that Ctrl-C ends after so many finished parts."""
    append, finished = runtime.run.FileSink.append, []

    def counted(self: object, *arguments: object) -> None:
        append(self, *arguments)  # type: ignore[arg-type]
        finished.append(arguments)
        if len(finished) == after:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(runtime.run.FileSink, "append", counted)
        with pytest.raises(Interrupted):
            run(folder, model, sink=sink, **{"outputs": ("label", "embedding"), **options})


def write_sample(path: Path, names: list[str], rows: tuple[str, ...] = ("x_5",)) -> Path:
    """Writes a sample submission."""
    path.write_text(
        "\n".join([",".join(["row_id", *names]), *[",".join([row, *["0.5"] * len(names)]) for row in rows]])
    )
    return path
