"""A worker: a process that owns one session and turns recordings into rows."""

from __future__ import annotations

import pickle
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from runtime.audio.peaks import PeakFinder
from runtime.audio.recording import Recording, Window
from runtime.errors import ArtifactError, PerchError
from runtime.model.artifact import Artifact
from runtime.model.logits import activated, scaled
from runtime.model.session import Session
from runtime.workers.child import listen, serve
from runtime.workers.protocol import Done, Job, Opened, Ready, Refused, Rows, Task

SEND_EVERY_S = 1.0
CHUNK = 16
"""Windows scored between two looks at the clock; never fewer than a batch."""


def score(session: Session, job: Job, task: Task) -> Iterator[Opened | Rows | Done]:
    """The rows of a task, in the order of its windows, in pieces about a second apart."""
    artifact = session.artifact
    recording = Recording(
        task.path, artifact.sample_rate, artifact.window_samples, job.hop, job.normalize, job.part_windows
    )
    sent = time.monotonic()
    if job.max_peaks is not None:
        finder = PeakFinder(recording.sample_rate, recording.window)
        for block in recording.samples():
            finder.add(block)
            if time.monotonic() - sent > SEND_EVERY_S:
                yield Opened(1, None)  # a sign of life
                sent = time.monotonic()
        windows = recording.windows_at(finder.starts(job.max_peaks))
    else:
        parts = task.parts
        if parts is None:
            parts, promised = recording.count_parts()
            yield Opened(parts, promised, recording.unrecorded)
        windows = recording.windows(recording.part(task.part, parts), task.offset, task.step)
    pieces: list[Rows] = []
    sent = time.monotonic()
    overflow = False
    recorded = (window for window in windows if window.recorded)
    for chunk in _chunks(recorded, max(CHUNK, job.batch_size)):
        pieces.append(_scored(chunk, session, job))
        overflow = overflow or any(not ok and w.samples is not None for ok, w in zip(pieces[-1].scored, chunk))
        if time.monotonic() - sent > SEND_EVERY_S:
            yield _joined(pieces)
            pieces, sent = [], time.monotonic()
    if pieces:
        yield _joined(pieces)
    failure = recording.failure or ("has windows whose scores are not finite numbers" if overflow else None)
    unknown = recording.count is None and recording.failure is not None
    windows_there = recording.promised_windows() if unknown else recording.count
    yield Done(failure, windows_there, notes=tuple(recording.notes))


def _chunks(windows: Iterable[Window], size: int) -> Iterator[list[Window]]:
    """Chunks never cross recordings or parts, so that rows do not depend on what else is scored."""
    chunk: list[Window] = []
    for window in windows:
        chunk.append(window)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _scored(chunk: list[Window], session: Session, job: Job) -> Rows:
    audible = [window.samples for window in chunk if window.samples is not None]
    readable = np.array([window.samples is not None for window in chunk])
    found = session.run(np.stack(audible), job.computed, job.batch_size) if audible else {}
    return rows_of(np.array([window.index for window in chunk]), readable, found, session.artifact, job)


def rows_of(
    indices: NDArray[np.int64],
    readable: NDArray[np.bool_],
    found: Mapping[str, NDArray[np.float32]],
    artifact: Artifact,
    job: Job,
) -> Rows:
    """Rows of windows, given what the session found for those that were readable."""
    scored = readable.copy()
    rows = {name: np.full((len(indices), *artifact.heads[name].shape), np.nan, np.float32) for name in job.computed}
    for name, values in found.items():
        rows[name][readable] = values
    for values in rows.values():  # a sample of 1e38 is finite, what the model makes of it is not
        scored &= np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    for values in rows.values():
        values[~scored] = np.nan
    if "label" in rows:
        rows["label"] = scaled(rows["label"], job.logit_scale)
    if job.class_map is not None and "label" in rows:
        rows["label"] = job.class_map.apply(rows)
        rows["label"][~scored] = np.nan
    for name, values in rows.items():
        if artifact.heads[name].classes:
            constant = job.class_map.constant if job.class_map is not None and name == "label" else None
            rows[name] = activated(values, job.activation, constant)
        else:
            rows[name] = values.astype(job.embedding_dtype, copy=False)
    return Rows(indices, {name: rows[name] for name in job.outputs}, scored)


def refusal(error: Exception, job: Job) -> PerchError:
    """Why no session can be made; onnxruntime has a class of its own for each status."""
    if isinstance(error, PerchError):
        return error
    said = next(iter(str(error).strip().splitlines()), "")[:300]
    return ArtifactError(
        f"{job.model} cannot be run ({type(error).__name__}: {said}); `perch-run --doctor --model {job.model}` looks "
        "into it"
    )


def _joined(pieces: list[Rows]) -> Rows:
    outputs = {name: np.concatenate([piece.outputs[name] for piece in pieces]) for name in pieces[0].outputs}
    indices = np.concatenate([piece.indices for piece in pieces])
    return Rows(indices, outputs, np.concatenate([piece.scored for piece in pieces]))


def main() -> None:
    """Serves tasks until standard input closes."""
    receive, send = serve()
    job: Job = pickle.load(receive)
    tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(receive, tasks.put), daemon=True).start()
    started = time.monotonic()
    try:
        session = Session(job.model, job.device, job.threads)
        session.warm_up(job.computed, job.batch_size)
    except Exception as error:
        send(Refused(refusal(error, job)))
        return
    send(Ready(time.monotonic() - started))
    while True:
        task = tasks.get()
        try:
            for message in score(session, job, task):
                send(message)
        except BrokenPipeError:
            return
        except Exception as error:  # whatever it is, it concerns this recording; the next may be well
            send(Done(f"{type(error).__name__}: {error}"))
