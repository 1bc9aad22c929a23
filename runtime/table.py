"""Rows as they come in from workers, until they can go out in order."""

from __future__ import annotations

import bisect
import importlib.metadata
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.artifact import Artifact
from runtime.block import Block, Columns
from runtime.errors import InputError
from runtime.messages import Done, Job, Opened, Rows, Task
from runtime.paths import Found
from runtime.soundscapes import Failure, Note
from runtime.spool import Finished
from runtime.taxonomy import Taxonomy
from runtime.wanted import WantedClasses
from runtime.windows import format_end


@dataclass
class _Progress:
    """What came of a recording so far."""

    size: int = 0
    mtime_ns: int = 0
    parts: int = 1
    promised: int | None = None
    rows: dict[int, list[Rows]] = field(default_factory=dict)
    done: dict[int, Done] = field(default_factory=dict)
    whole: set[int] = field(default_factory=set)
    """Parts of which all windows were visited."""


class Table:
    """Puts the rows of a run in order, part by part, and names them.

    Args:
        found: the recordings.
        artifact: the model's description.
        job: what is computed.
        wanted: the classes asked for; a sample submission's own rows serve where a recording has none.
        interpolate: whether windows not reached take the mean of their scored neighbours. Then nothing goes out
            before the end.
        taxonomy: what the names of classes stand for.
    """

    def __init__(
        self,
        found: Found,
        artifact: Artifact,
        job: Job,
        wanted: WantedClasses | None,
        interpolate: bool = False,
        taxonomy: Taxonomy | None = None,
    ) -> None:
        self._found, self._artifact, self._job, self._interpolate = found, artifact, job, interpolate
        self._taxonomy = taxonomy or Taxonomy()
        self._sample_rows = list(wanted.row_ids or ()) if wanted is not None else []
        self._progress: dict[int, _Progress] = {}
        self.part_windows = job.part_windows
        """How many windows every part but a recording's last has."""
        self._recording = self._part = 0  # at hand: the first part whose rows did not go out yet
        self._rows, self._failed = 0, False  # of the recording at hand, what went out
        self._noted: list[Note] = []
        self._lengths: Counter[int] = Counter()  # of good recordings that went out
        self.waiting_bytes = 0
        self.counts: Counter[str] = Counter()
        """How many rows of each status went out."""
        self.failures: list[Failure] = []
        self.notes: list[Note] = []
        self.without_events = self.not_reached = 0
        """Where windows are around events: recordings that had none, and those not scored, or not to their end."""

    @property
    def columns(self) -> Columns:
        """What the rows hold."""
        heads, mapped = self._artifact.heads, self._job.class_map
        shapes = {name: heads[name].shape for name in self._job.outputs}
        classes = {name: heads[name].names(self._job.namespace) for name in self._job.outputs}
        if mapped is not None:
            shapes["label"], classes["label"] = (len(mapped.names),), mapped.names
        dtypes = {name: self._job.embedding_dtype for name in shapes if not classes[name]}
        constants = frozenset(np.flatnonzero(mapped.constant).tolist()) if mapped is not None else frozenset()
        return Columns(shapes, classes, self._about, dtypes, self._taxonomy, constants)

    @cached_property
    def _about(self) -> dict[str, str]:
        """What made the rows."""
        artifact = self._artifact
        options = {name: value for name, value in self._job.options.items() if name not in ("classes", "class_columns")}
        return {
            "artifact_sha256": artifact.artifact_sha256,
            "saved_model_sha256": artifact.saved_model_sha256,
            "model_family": artifact.family,
            "perch_onnx": importlib.metadata.version("perch-onnx"),
            "sample_rate": str(artifact.sample_rate),
            "window_s": f"{artifact.window_s:g}",
            "hop_s": f"{self._job.hop / artifact.sample_rate:.10g}" if self._job.max_peaks is None else "",
            "root": os.path.abspath(self._found.root),
            "options": json.dumps(options),
        }

    def skip(self, finished: Finished, counts: Mapping[str, int]) -> None:
        """Takes account of a part that an earlier run finished; parts come in order.

        Raises:
            InputError: its recording has changed since, or is not at the same place among the recordings.
        """
        here = self._found.paths[self._recording] if self._recording < len(self._found.paths) else None
        if here is None or os.path.abspath(here) != finished.path:
            raise InputError(
                f"cannot resume: where {finished.path} was there is now {here or 'nothing'}; recordings may be added "
                "after those that were finished, but not removed, renamed or put before them"
            )
        if (name := self._found.names[self._recording]) != finished.name:
            raise InputError(
                f"cannot resume: rows of {here} were named '{finished.name}' and would now be named '{name}', since "
                "another recording has its stem; take that one away, or run it apart"
            )
        progress = self._progress.setdefault(self._recording, _progress(here))
        progress.parts, progress.promised = finished.parts, finished.windows
        if (progress.size, progress.mtime_ns) != (finished.size, finished.mtime_ns):
            raise InputError(
                f"cannot resume: {here} has changed since its rows were computed ({finished.size} bytes then, "
                f"{progress.size} now, or written since)"
            )
        self.counts.update(counts)
        self._next(progress, finished.failure, finished.notes, sum(counts.values()))

    def tasks(self) -> Iterator[Task]:
        """What is still to be scored."""
        for recording in range(self._recording, len(self._found.paths)):
            path = self._found.paths[recording]
            if recording > self._recording or not self._part:
                yield Task(recording, path)
            else:
                parts = self._progress[recording].parts
                yield from (Task(recording, path, part, parts) for part in range(self._part, parts))

    def add(self, task: Task, message: Opened | Rows | Done) -> None:
        """Takes what a worker sent about one task."""
        progress = self._progress.setdefault(task.recording, _progress(task.path))
        if isinstance(message, Opened):
            progress.parts, progress.promised = message.parts, message.windows
        elif isinstance(message, Rows):
            progress.rows.setdefault(task.part, []).append(message)
            self.waiting_bytes += _bytes(message)
        else:
            before = progress.done.get(task.part)
            progress.done[task.part] = before if before is not None and before.failure else message
            if (task.offset or task.step) == 1:
                progress.whole.add(task.part)

    def ready(self) -> Iterator[tuple[Block, Finished]]:
        """Parts that are finished and before which nothing is missing, in order."""
        while not self._interpolate and self._recording < len(self._found.paths):
            progress = self._progress.get(self._recording)
            done = progress.done.get(self._part) if progress is not None else None
            if progress is None or done is None:
                return
            count = self._count(progress, done)
            if count is None:
                return
            finished = Finished(
                path=os.path.abspath(self._found.paths[self._recording]),
                name=self._found.names[self._recording],
                size=progress.size,
                mtime_ns=progress.mtime_ns,
                part=self._part,
                parts=progress.parts,
                windows=progress.promised,
                failure=done.failure,
                notes=done.notes,
            )
            block = self._assembled(progress, done, count)
            yield block, finished
            self._advance(progress, done, block)

    def rest(self, promised: Callable[[Path], int | None]) -> Iterator[Block]:
        """All that did not go out yet, whether it was reached or not.

        `promised` says how many windows a recording's header promises, of those that were not reached.
        """
        if not self._found.paths and self._sample_rows:
            block = self._block("", self._sample_rows, np.arange(len(self._sample_rows)), "filled", [])
            self.counts.update(block.status.tolist())
            yield block
        while self._recording < len(self._found.paths):
            progress = self._progress.setdefault(self._recording, _Progress())
            done = progress.done.get(self._part)
            if done is None and progress.promised is None and self._job.max_peaks is None:
                progress.promised = promised(self._found.paths[self._recording])
                if not progress.rows:  # else it is read in one part, however long
                    progress.parts = max(1, math.ceil((progress.promised or 0) / self.part_windows))
            count = self._count(progress, done)
            if count is None:
                count = max(self._usual(final=True) or 1, self._came(progress))
            block = self._assembled(progress, done, count)
            yield block
            self._advance(progress, done, block)

    def _count(self, progress: _Progress, done: Done | None) -> int | None:
        """How many rows the part at hand has, None if that cannot be told yet.

        One that was not read, or not to its end, has as many as its header promises. Where that promises nothing the
        recording has the rows of the sample submission, or as many as is usual.
        """
        if self._job.max_peaks is not None:
            return len(_places(progress))
        if self._part < progress.parts - 1:
            return self.part_windows
        before = self._part * self.part_windows
        windows = progress.promised if done is None or done.windows is None else done.windows
        if windows is None:
            windows = len(self._own_rows()) or self._usual()
        return None if windows is None else max(windows - before, self._came(progress))

    def _came(self, progress: _Progress) -> int:
        """How many rows of the part at hand came, those counted that one of them comes after."""
        before = self._part * self.part_windows
        return max((int(piece.indices.max()) + 1 - before for piece in progress.rows.get(self._part, ())), default=0)

    def _usual(self, final: bool = False) -> int | None:
        """How many rows most recordings before the one at hand have, or if there were none, the next good one.

        None where that one is not finished; `final` is when no more are finished, when that may be missing, too.
        """
        if self._lengths:
            return max(self._lengths.items(), key=lambda item: item[1])[0]
        for later in sorted(self._progress)[1:] if final else range(self._recording + 1, len(self._found.paths)):
            progress = self._progress.get(later)
            done = progress.done.get(0) if progress is not None else None
            if progress is not None and done is not None and done.failure is None:
                return progress.promised if progress.parts > 1 else done.windows
            if done is None and not final:
                return None
        return 1

    def _assembled(self, progress: _Progress, done: Done | None, count: int) -> Block:
        """The rows of the part at hand."""
        pieces = progress.rows.get(self._part, [])
        own = [] if pieces else self._own_rows()
        first = self._part * self.part_windows
        indices = first + np.arange(count) if self._job.max_peaks is None else _places(progress)
        row_ids = own if own and len(own) == count else self._named(indices)
        path = self._found.paths[self._recording]
        status = "filled"
        if self._part in progress.whole or (done is not None and not pieces):
            status = "failed" if done is None or done.failure else "unrecorded"
        block = self._block(str(path), row_ids, indices, status, pieces)
        if self._interpolate:
            _fill_between(block, first, [piece for part in progress.rows.values() for piece in part])
        return block

    def _block(
        self, path: str, row_ids: list[str], indices: NDArray[np.int64], status: str, pieces: list[Rows]
    ) -> Block:
        count = len(row_ids)
        starts = indices * self._job.hop / self._artifact.sample_rate
        statuses = np.full(count, status, "<U12")
        columns = self.columns
        outputs = {}
        for name, shape in columns.shapes.items():
            missing = np.array(np.nan, columns.dtypes.get(name, np.float32))
            outputs[name] = np.broadcast_to(missing, (count, *shape))
            if pieces or self._interpolate:  # else there may be millions of rows that were not reached
                outputs[name] = outputs[name].copy()
        for piece in pieces:
            at = np.searchsorted(indices, piece.indices)
            statuses[at] = np.where(piece.scored, "scored", "failed")
            for name, values in piece.outputs.items():
                outputs[name][at] = values
        return Block(path, row_ids, starts, starts + self._artifact.window_s, statuses, outputs)

    def _advance(self, progress: _Progress, done: Done | None, block: Block) -> None:
        """On to the next part, when the rows of the one at hand are out."""
        self.counts.update(block.status.tolist())
        if not self._interpolate:
            self.waiting_bytes -= sum(map(_bytes, progress.rows.pop(self._part, ())))
        failure, notes = ("", ()) if done is None else (done.failure, done.notes)
        self._next(progress, failure, notes, len(block))

    def _next(self, progress: _Progress, failure: str | None, notes: Sequence[str], rows: int) -> None:
        """`failure` is None if the part at hand was read without one, empty if it was not read."""
        self._rows += rows
        said = [Note(self._found.paths[self._recording], text) for text in notes]
        self.notes += [note for note in said if note not in self._noted]  # each part of a recording says it
        self._noted += said
        if failure and not self._failed:
            self.failures.append(Failure(self._found.paths[self._recording], failure))
        self._failed = self._failed or failure is not None
        self._part += 1
        if self._part >= progress.parts:
            if not self._failed:
                self._lengths[self._rows] += 1
            if self._job.max_peaks is not None:
                self.without_events += failure is None and not self._rows
                self.not_reached += failure == ""
            self._progress.pop(self._recording, None)
            self._recording, self._part, self._rows, self._failed = self._recording + 1, 0, 0, False
            self._noted = []

    def _own_rows(self) -> list[str]:
        """The rows that the sample submission has of the recording at hand."""
        stem = self._found.paths[self._recording].stem
        return [row_id for row_id in self._sample_rows if row_id.rpartition("_")[0] == stem]

    def _named(self, indices: NDArray[np.int64]) -> list[str]:
        name, window, rate = (
            self._found.names[self._recording],
            self._artifact.window_samples,
            self._artifact.sample_rate,
        )
        return [f"{name}_{format_end(index, window, self._job.hop, rate)}" for index in indices.tolist()]


def _progress(path: Path) -> _Progress:
    """Nothing yet, and how the file stands."""
    try:
        stat = path.stat()
    except OSError:  # a worker will say so
        return _Progress()
    return _Progress(stat.st_size, stat.st_mtime_ns)


def _places(progress: _Progress) -> NDArray[np.int64]:
    """The indices of the windows that came, in order; a second attempt at a recording brings them again."""
    came = (piece.indices for pieces in progress.rows.values() for piece in pieces)
    return np.unique(np.concatenate([np.zeros(0, np.int64), *came]))


def _bytes(rows: Rows) -> int:
    return sum(values.nbytes for values in rows.outputs.values())


def _fill_between(block: Block, first: int, pieces: Sequence[Rows]) -> None:
    """Gives rows that were not reached the mean of the scored ones next to them, on both sides or the one there is."""
    scored = {int(index): (piece, k) for piece in pieces for k, index in enumerate(piece.indices) if piece.scored[k]}
    indices = sorted(scored)
    for row in np.flatnonzero(block.status == "filled") if indices else ():
        at = bisect.bisect(indices, first + row)
        nearest = [scored[index] for index in indices[max(0, at - 1) : at + 1]]
        block.status[row] = "interpolated"
        for name, values in block.outputs.items():
            values[row] = np.mean([piece.outputs[name][k] for piece, k in nearest], axis=0, dtype=np.float32)
