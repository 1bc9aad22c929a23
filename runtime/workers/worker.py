"""A worker: a process that owns one session and turns recordings into rows."""

from __future__ import annotations

import pickle
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from runtime.audio.recording import Window
from runtime.audio.source import Samples
from runtime.errors import ArtifactError, PerchError
from runtime.model.artifact import Artifact
from runtime.model.ensemble import Sessions, members_of, open_models, shown
from runtime.model.heads import LABEL
from runtime.model.logits import activated, scaled
from runtime.model.messages import message_of
from runtime.model.session import Session
from runtime.workers.child import listen, serve
from runtime.workers.combining import combiner_of
from runtime.workers.job import Job, read_by
from runtime.workers.protocol import NOT_FINITE, Done, Ready, Refused, Rows, Task
from runtime.workers.task_windows import TaskWindows

ROWS_EVERY_S = 1.0
"""How often rows are sent."""
CHUNK = 16
"""Windows scored between two looks at the clock, or a batch if that is more."""


def score(
    session: Session | Sessions, job: Job, task: Task, send: Callable[[object], object], samples: Samples | None = None
) -> None:
    """Sends the rows of a task, in the order of its windows and in pieces about a second apart, and then `Done`.

    `samples` are the recording, if that is in memory.
    """
    artifact = session.artifact
    windows = TaskWindows(task, job, artifact.sample_rate, artifact.window_samples, send, samples)
    combiner = combiner_of(job)
    pieces: list[Rows] = []
    sent = time.monotonic()
    overflow = False
    for chunk in _chunks(windows, max(CHUNK, job.setup.batch_size)):
        piece = _scored(chunk, session, job)
        overflow = overflow or any(not ok and w.samples is not None for ok, w in zip(piece.scored, chunk))
        pieces += [piece] if combiner is None else combiner.add(piece)
        if pieces and time.monotonic() - sent > ROWS_EVERY_S:
            send(_joined(pieces))
            pieces, sent = [], time.monotonic()
    count = windows.count(windows.failure is not None)
    pieces += [] if combiner is None else combiner.rest(count)
    if pieces:
        send(_joined(pieces))
    failure = windows.failure or (NOT_FINITE if overflow else None)
    send(Done(failure, count, notes=windows.notes, began=windows.began))


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


def _scored(chunk: list[Window], session: Session | Sessions, job: Job) -> Rows:
    audible = [window.samples for window in chunk if window.samples is not None]
    readable = np.array([window.samples is not None for window in chunk])
    outputs = session.run(np.stack(audible), job.computed, job.setup.batch_size) if audible else {}
    return rows_of(np.array([job.place(window) for window in chunk]), readable, outputs, session.artifact, job)


def rows_of(
    indices: NDArray[np.int64],
    readable: NDArray[np.bool_],
    outputs: Mapping[str, NDArray[np.float32]],
    artifact: Artifact,
    job: Job,
) -> Rows:
    """Rows of the windows at `indices`, from the session's `outputs` for the `readable` ones, which are not changed."""
    rows = {name: _of_all(outputs.get(name), readable, artifact.heads[name].shape) for name in job.computed}
    scored = readable.copy()
    for values in rows.values():  # a sample of 1e38 is finite, what the model makes of it is not
        scored &= np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    if not scored.all():
        rows = {name: values.copy() for name, values in rows.items()}
        for values in rows.values():
            values[~scored] = np.nan
    for prefix in members_of(artifact):
        if prefix + LABEL in rows:
            rows[prefix + LABEL] = scaled(rows[prefix + LABEL], job.request.logit_scale)
    for label, class_map in job.class_maps.items():
        rows[label] = class_map.apply({name: rows[full] for name, full in read_by(class_map, label).items()})
        rows[label][~scored] = np.nan
    for name, values in rows.items():
        if artifact.heads[name].own is not None:
            continue  # these are probabilities
        if artifact.heads[name].classes:
            constant = job.class_maps[name].constant if name in job.class_maps else None
            rows[name] = activated(values, job.request.activation, constant)
        elif job.overlap is None:  # otherwise the rows of several windows are rounded, not each window
            rows[name] = values.astype(job.dtypes.get(name, np.float32), copy=False)
    return Rows(indices, {name: rows[name] for name in job.outputs}, scored)


def _of_all(
    values: NDArray[np.float32] | None, readable: NDArray[np.bool_], shape: Sequence[int]
) -> NDArray[np.float32]:
    """An output's `values` for readable windows, with NaN for the others."""
    if values is not None and len(values) == len(readable):
        return values
    rows = np.full((len(readable), *shape), np.nan, np.float32)
    if values is not None:
        rows[readable] = values
    return rows


def refusal(error: Exception, job: Job) -> PerchError:
    """Why no session can be made."""
    if isinstance(error, PerchError):
        return error
    return ArtifactError(
        f"{shown(job.models)} cannot be run ({type(error).__name__}: {message_of(error)}); "
        f"`perch-run --doctor --model {shown(job.models, ' --model ')}` looks into it"
    )


def _joined(pieces: list[Rows]) -> Rows:
    if len(pieces) == 1:
        return pieces[0]
    outputs = {name: np.concatenate([piece.outputs[name] for piece in pieces]) for name in pieces[0].outputs}
    indices = np.concatenate([piece.indices for piece in pieces])
    combined = None if pieces[0].combined is None else sum(piece.windows for piece in pieces)
    return Rows(indices, outputs, np.concatenate([piece.scored for piece in pieces]), combined)


def main() -> None:
    """Serves tasks until standard input closes."""
    receive, send = serve()
    job: Job = pickle.load(receive)
    tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(receive, tasks.put), daemon=True).start()
    try:
        session = open_models(job.models, job.device, job.setup.threads, job.tf32)
        session.warm_up(job.computed, job.setup.batch_size)
    except Exception as error:
        send(Refused(refusal(error, job)))
        return
    send(Ready())
    while True:
        task = tasks.get()
        try:
            score(session, job, task, send)
        except BrokenPipeError:
            return
        except Exception as error:  # whatever it is, it concerns this recording; the next may be well
            send(Done(f"{type(error).__name__}: {error}"))
