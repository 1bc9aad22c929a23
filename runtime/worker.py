"""A worker: a process that owns one session and turns recordings into rows.

It is a plain program that reads pickled messages on standard input and writes them to standard output. Python's own
`multiprocessing` would import the caller's main module again, which fails in a script without a `__main__` guard, in
a notebook cell and in a program on standard input.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from runtime.classes import ClassMap
from runtime.errors import PerchError
from runtime.recording import Recording, Window
from runtime.session import Session
from runtime.windows import Normalization

SEND_EVERY_S = 1.0
GREETING = b"\x00perch-onnx worker\x00"
"""What a worker says first, so that its parent can tell its messages from what Python's start-up may print."""


@dataclass(frozen=True)
class Job:
    """What all workers of a run have in common. `hop` is in samples; `class_map` applies to the head `label`."""

    model: Path
    device: str
    outputs: tuple[str, ...]
    batch_size: int
    hop: int
    normalize: Normalization
    class_map: ClassMap | None


@dataclass(frozen=True)
class Ready:
    """The session is loaded and warm."""

    start_up_s: float


@dataclass(frozen=True)
class Refused:
    """The session cannot be made; every other worker would fail the same way."""

    error: PerchError


@dataclass(frozen=True)
class Rows:
    """Outputs of consecutive windows from `first` on; NaN in the rows of windows that could not be scored."""

    first: int
    outputs: dict[str, NDArray[np.float32]]
    scored: NDArray[np.bool_]


@dataclass(frozen=True)
class Done:
    """No more of a recording comes. `failure` says what was wrong with it; `promised` is how many windows its header
    promises, where that can be told.
    """

    failure: str | None
    promised: int | None = None


def score(recording: Recording, session: Session, job: Job) -> Iterator[Rows | Done]:
    """A recording's rows, in the order of its windows, in pieces about a second apart."""
    pieces: list[Rows] = []
    sent = time.monotonic()
    overflow = False
    for batch in _batches(recording.windows(), job.batch_size):
        pieces.append(_score_batch(batch, session, job))
        overflow = overflow or any(not ok and w.samples is not None for ok, w in zip(pieces[-1].scored, batch))
        if time.monotonic() - sent > SEND_EVERY_S:
            yield _joined(pieces)
            pieces, sent = [], time.monotonic()
    if pieces:
        yield _joined(pieces)
    failure = recording.failure or ("has windows whose scores are not finite numbers" if overflow else None)
    yield Done(failure, recording.promised_windows() if failure else None)


def _batches(windows: Iterator[Window], size: int) -> Iterator[list[Window]]:
    """Batches never cross recordings, so that rows do not depend on what else is scored."""
    batch: list[Window] = []
    for window in windows:
        batch.append(window)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _score_batch(batch: list[Window], session: Session, job: Job) -> Rows:
    scored = np.array([window.samples is not None for window in batch])
    rows = {
        name: np.full((len(batch), *session.artifact.heads[name].shape), np.nan, np.float32) for name in job.outputs
    }
    audible = [window.samples for window in batch if window.samples is not None]
    if audible:
        samples = np.stack(audible)
        if job.device != "cpu":  # a GPU tunes itself anew for every shape it has not met
            samples = np.pad(samples, ((0, job.batch_size - len(samples)), (0, 0)))
        for name, values in zip(job.outputs, session(samples, job.outputs), strict=True):
            rows[name][scored] = values[: len(audible)]
    for values in rows.values():  # a sample of 1e38 is finite, what the model makes of it is not
        scored &= np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    for values in rows.values():
        values[~scored] = np.nan
    if job.class_map is not None and "label" in rows:
        rows["label"] = job.class_map.apply(rows["label"])
        rows["label"][~scored] = np.nan
    return Rows(batch[0].index, rows, scored)


def _joined(pieces: list[Rows]) -> Rows:
    outputs = {name: np.concatenate([piece.outputs[name] for piece in pieces]) for name in pieces[0].outputs}
    return Rows(pieces[0].first, outputs, np.concatenate([piece.scored for piece in pieces]))


def main() -> None:
    """Serves recordings until standard input closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    receive, send = sys.stdin.buffer, _take_standard_output()
    job: Job = pickle.load(receive)
    send.write(GREETING)
    started = time.monotonic()
    try:
        session = Session(job.model, job.device)
        silence = np.zeros((job.batch_size, session.artifact.window_samples), np.float32)
        session(silence, job.outputs)
    except PerchError as error:
        _send(send, Refused(error))
        return
    _send(send, Ready(time.monotonic() - started))
    artifact = session.artifact
    while True:
        try:
            path: Path = pickle.load(receive)
        except EOFError:
            return
        recording = Recording(path, artifact.sample_rate, artifact.window_samples, job.hop, job.normalize)
        try:
            for message in score(recording, session, job):
                _send(send, message)
        except BrokenPipeError:
            return
        except Exception as error:  # whatever it is, it concerns this recording; the next may be well
            _send(send, Done(f"{type(error).__name__}: {error}"))


def _take_standard_output() -> BinaryIO:
    """Standard output for messages alone: what libraries print goes to standard error."""
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return own


def _send(stream: BinaryIO, message: Ready | Refused | Rows | Done) -> None:
    pickle.dump(message, stream, protocol=pickle.HIGHEST_PROTOCOL)
    stream.flush()
