"""Runs in tests: quiet, interrupted, through the ring."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import runtime.run
import runtime.scoring
from runtime import Interrupted, Soundscapes, run_soundscapes
from runtime.workers.stages import Stages


def run(soundscapes: object, model: Path, **options: object) -> Soundscapes:
    """A run without a progress bar."""
    return run_soundscapes(soundscapes, model, **{"progress": False, **options})  # type: ignore[arg-type]


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


def in_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on runs go through the ring, though on the CPU."""
    monkeypatch.setattr(runtime.scoring, "engine_for", Stages)


def write_sample(path: Path, names: list[str], rows: tuple[str, ...] = ("x_5",)) -> Path:
    """Writes a sample submission."""
    path.write_text(
        "\n".join([",".join(["row_id", *names]), *[",".join([row, *["0.5"] * len(names)]) for row in rows]])
    )
    return path
