"""Rows as they come in from workers, until they can go out in order."""

from __future__ import annotations

import contextlib
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

from runtime.audio.endings import advice
from runtime.audio.paths import Found
from runtime.audio.windows import format_end
from runtime.classes.taxonomy import Taxonomy
from runtime.errors import InputError
from runtime.model.artifact import Artifact
from runtime.rows.block import Block, Columns, count_statuses, unscored
from runtime.rows.deadline import FinalWork
from runtime.rows.interpolation import Scored
from runtime.rows.sample import Outcome, SampleRows
from runtime.rows.soundscapes import Failure, Note
from runtime.rows.spool import Finished
from runtime.workers.job import Job
from runtime.workers.protocol import Done, Opened, Rows, Task

LEAST_BYTES_A_SECOND = 16
"""Less than what silence takes in any codec: a header of a file that was not read is believed so far."""
MOST_REASONS = 3
"""So many things that are wrong with a recording's parts are named."""


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
    unrecorded: tuple[tuple[int, int], ...] = ()
    """Windows in silent stretches, from the first to before the last of each."""
    told: bool = False
    """Whether it is known how many windows there are."""
    scored: Scored | None = None
    """The scored windows of all parts, once they are needed to interpolate between them."""


class Table:
    """Puts the rows of a run in order, part by part, and names them.

    Args:
        found: the recordings.
        artifact: the model's description.
        job: what is computed.
        sample: a sample submission's rows, where they rule; recordings of which nothing came then have no rows here.
        interpolate: whether windows not reached take the mean of their scored neighbours. Then nothing goes out
            before the end.
        taxonomy: what the names of classes stand for.
    """

    def __init__(
        self,
        found: Found,
        artifact: Artifact,
        job: Job,
        sample: SampleRows | None = None,
        interpolate: bool = False,
        taxonomy: Taxonomy | None = None,
    ) -> None:
        self._found, self._artifact, self._job, self._interpolate = found, artifact, job, interpolate
        self._taxonomy, self._sample = taxonomy or Taxonomy(), sample
        self._progress: dict[int, _Progress] = {}
        self.part_windows = job.part_windows
        """How many windows every part but a recording's last has."""
        self._recording = self._part = 0  # at hand: the first part whose rows did not go out yet
        self._rows, self._failed = 0, False  # of the recording at hand, what went out
        self._noted: list[Note] = []
        self._reasons: list[str] = []  # what is wrong with its parts, each thing once
        self._reached = True  # whether all parts of it that went out were read
        self._lengths: Counter[int] = Counter()  # of good recordings that went out
        self._commonest: int | None = None
        self._looked = 0  # recordings before this place, but behind the one at hand, tell no length
        self._told = self._told_rows = 0  # of how many recordings it is known how many rows they have, and these
        self.waiting_bytes = 0
        self.counts: Counter[str] = Counter()
        """How many rows of each status went out."""
        self.failures: list[Failure] = []
        self.notes: list[Note] = []
        self._passed_by = 0  # recordings of which nothing came, and which have no rows here
        self.without_events = self.not_reached = 0
        """Where windows are around events: recordings that had none, and those not scored, or not to their end."""

    @cached_property
    def columns(self) -> Columns:
        """What the rows hold."""
        heads, mapped = self._artifact.heads, self._job.class_map
        shapes = {name: heads[name].shape for name in self._job.outputs}
        classes = {name: heads[name].names(self._job.request.namespace) for name in self._job.outputs}
        if mapped is not None:
            shapes["label"], classes["label"] = (len(mapped.names),), mapped.names
        dtypes = {name: self._job.request.embedding_dtype for name in shapes if not classes[name]}
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
        if finished.part != self._part:
            raise InputError(f"cannot resume: part {finished.part} of {here} is not there in its place; start anew")
        progress = self._progress.get(self._recording) or self._begun(self._recording)
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
        progress = self._progress.get(task.recording) or self._begun(task.recording)
        if isinstance(message, Opened):
            progress.parts, progress.promised = message.parts, message.windows
            progress.unrecorded = message.unrecorded
            self._tell(progress, message.windows)
        elif isinstance(message, Rows):
            progress.rows.setdefault(task.part, []).append(message)
            self.waiting_bytes += _bytes(message)
        else:
            before = progress.done.get(task.part)
            self._tell(progress, message.windows)
            progress.done[task.part] = before if before is not None and before.failure else message
            if (task.offset or task.step) == 1:
                progress.whole.add(task.part)

    def _tell(self, progress: _Progress, windows: int | None) -> None:
        if windows is not None and not progress.told:
            progress.told = True
            self._told, self._told_rows = self._told + 1, self._told_rows + self._believed(progress, windows)

    def final_work(self, scored: int) -> FinalWork:
        """What there will be to do in the end, as far as can be told, where so many rows are scored."""
        if self._sample is not None:
            return FinalWork(scored, max(0, len(self._sample) - scored))
        recordings = len(self._found.paths)
        rows = self._told_rows * recordings // max(1, self._told)
        return FinalWork(scored, max(0, rows - scored), recordings - self._recording)

    @property
    def incomplete(self) -> bool:
        """Whether a later run would find more to do, when all rows went out."""
        return bool(self.counts["filled"] or self.not_reached or self._passed_by)

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
                windows=done.windows if progress.promised is None else progress.promised,
                failure=done.failure,
                notes=done.notes,
            )
            block = self._assembled(progress, done, count)
            yield block, finished
            self._advance(progress, done, block)

    def rest(self, promised: Callable[[Path], int | None], most_interpolated: int | None = None) -> Iterator[Block]:
        """All that did not go out yet, whether it was reached or not.

        `promised` says how many windows a recording's header promises, of those that were not reached;
        `most_interpolated` is how many rows there is time to interpolate, None for all.
        """
        self._most_interpolated = most_interpolated
        while self._recording < len(self._found.paths):
            progress = self._progress.get(self._recording) or self._begun(self._recording)
            done = progress.done.get(self._part)
            if self._sample is not None and not (self._part or progress.rows or progress.done):
                progress.parts = 1
                self._passed_by += 1
                self._next(progress, "", (), 0)
                continue
            asked = done is None and progress.promised is None and self._job.max_peaks is None and self._asks
            if asked:
                progress.promised = promised(self._found.paths[self._recording])
            if not self._part:
                parts = self._believable_parts(progress)
                # One of which rows came, though it promised nothing then, is read in one part, however long.
                progress.parts = parts if asked and not progress.rows else min(progress.parts, parts)
            count = self._count(progress, done)
            if count is None:
                count = max(self._usual(final=True) or 1, self._came(progress))
            block = self._assembled(progress, done, count)
            yield block
            self._advance(progress, done, block)

    @property
    def _asks(self) -> bool:
        """Whether it matters how many rows a recording has that was not read to its end."""
        return self._sample is None or self._interpolate

    def _count(self, progress: _Progress, done: Done | None) -> int | None:
        """How many rows the part at hand has, None if that cannot be told yet.

        One that was not read, or not to its end, has as many as its header promises. Where that promises nothing the
        recording has as many as is usual, or where a sample submission rules, those that came.
        """
        if self._job.max_peaks is not None:
            return len(_places(progress))
        before, came = self._part * self.part_windows, self._came(progress)
        last = self._part >= progress.parts - 1
        if last and done is not None and done.windows is not None:
            progress.promised = done.windows
        if done is not None and done.failure is None:
            return max(done.windows - before, came) if last and done.windows is not None else self.part_windows
        if progress.promised is not None:
            count = max(self._believed(progress, progress.promised) - before, came)
            return count if last else min(count, self.part_windows)
        usual = self._usual() if self._sample is None else 0
        return None if usual is None else max(usual - before, came)

    def _believed(self, progress: _Progress, windows: int) -> int:
        """As many rows as are promised, but no more than a file of its size may well hold, or one part has.

        Else a few bytes could promise millions of rows, none of them read.
        """
        most_s = progress.size / LEAST_BYTES_A_SECOND
        most = max(self.part_windows, math.ceil(most_s * self._artifact.sample_rate / self._job.hop))
        return min(windows, most)

    def _believable_parts(self, progress: _Progress) -> int:
        """In how many parts a recording is that was not read, or not to its end."""
        promised = self._believed(progress, progress.promised or 0)
        came = max((part for part in (*progress.rows, *progress.done)), default=0)
        return max(1 + came, math.ceil(promised / self.part_windows))

    def _came(self, progress: _Progress) -> int:
        """How many rows of the part at hand came, those counted that one of them comes after.

        Those without a score do not count where a header promises them: they may not be there.
        """
        before = self._part * self.part_windows
        pieces = progress.rows.get(self._part, ())
        came = [piece.indices[piece.scored | (progress.promised is None)] for piece in pieces]
        return max((int(indices.max()) + 1 - before for indices in came if len(indices)), default=0)

    def _usual(self, final: bool = False) -> int | None:
        """How many rows most recordings before the one at hand have, or if there were none, the next good one.

        None where that one is not finished; `final` is when no more are finished, when that may be missing, too.
        """
        if self._commonest is not None:
            return self._commonest
        self._looked = max(self._looked, self._recording + 1)
        while self._looked < len(self._found.paths):
            progress = self._progress.get(self._looked)
            done = progress.done.get(0) if progress is not None else None
            if progress is not None and done is not None and done.failure is None:
                return progress.promised if progress.parts > 1 else done.windows
            if done is None and not final:
                return None
            self._looked += 1
        return 1

    def _assembled(self, progress: _Progress, done: Done | None, count: int) -> Block:
        """The rows of the part at hand."""
        pieces, between = progress.rows.get(self._part, []), self._interpolate and bool(progress.rows)
        first = self._part * self.part_windows
        indices = first + np.arange(count) if self._job.max_peaks is None else _places(progress)
        missing = "filled"
        if self._part in progress.whole or (done is not None and not pieces):
            missing = "failed" if done is None or done.failure else "unrecorded"
        status = np.full(len(indices), missing, "<U12")
        if missing == "filled":
            for begin, end in progress.unrecorded:
                status[max(0, begin - first) : max(0, end - first)] = "unrecorded"
        outputs = unscored(self.columns, len(indices))
        if pieces or between:
            outputs = {name: values.copy() for name, values in outputs.items()}
        for piece in pieces:
            there = piece.indices < first + count if self._job.max_peaks is None else slice(None)
            at = np.searchsorted(indices, piece.indices[there])
            status[at] = np.where(piece.scored[there], "scored", "failed")
            for name, values in piece.outputs.items():
                outputs[name][at] = values[there]
        starts = indices * self._job.hop / self._artifact.sample_rate
        ends = starts + self._artifact.window_s
        path = str(self._found.paths[self._recording])
        block = Block(path, self._named(indices), starts, ends, status, outputs)
        if between:
            progress.scored = progress.scored or Scored.of(piece for part in progress.rows.values() for piece in part)
            means = progress.scored.fill(block, first, self._most_interpolated)
            self._most_interpolated = None if self._most_interpolated is None else self._most_interpolated - means
        return block

    def _advance(self, progress: _Progress, done: Done | None, block: Block) -> None:
        """On to the next part, when the rows of the one at hand are out."""
        self.counts.update(count_statuses(block.status))
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
        if failure and failure not in self._reasons:
            self._fail(failure)
        self._failed = self._failed or failure is not None
        self._reached = self._reached and failure != ""
        self._part += 1
        if self._part >= progress.parts:
            if not self._failed:
                self._lengths[self._rows] += 1
                if self._lengths[self._rows] > self._lengths[self._commonest or 0]:
                    self._commonest = self._rows
            if self._sample is not None:
                known = not self._failed or progress.promised is not None
                became: Outcome = "not reached" if not self._reached else "read" if known else "failed"
                self._sample.note(self._recording, became)
            if self._job.max_peaks is not None:
                self.without_events += failure is None and not self._rows
                self.not_reached += failure == ""
            self._progress.pop(self._recording, None)
            self._recording, self._part, self._rows = self._recording + 1, 0, 0
            self._failed, self._reached, self._noted, self._reasons = False, True, [], []

    def _fail(self, reason: str) -> None:
        """Names what is wrong with a part of the recording at hand, beside what was with its earlier ones."""
        if self._reasons:
            self.failures.pop()
        self._reasons.append(reason)
        path, more = self._found.paths[self._recording], len(self._reasons) - MOST_REASONS
        told = [*self._reasons[:MOST_REASONS], *([f"and so on in {more} more parts"] if more > 0 else [])]
        self.failures.append(Failure(path, "; ".join(told) + advice(path)))

    def _begun(self, recording: int) -> _Progress:
        """Nothing yet, and how the file stands."""
        progress = self._progress[recording] = _Progress()
        with contextlib.suppress(OSError):  # a worker will say so
            stat = self._found.paths[recording].stat()
            progress.size, progress.mtime_ns = stat.st_size, stat.st_mtime_ns
        return progress

    def _named(self, indices: NDArray[np.int64]) -> list[str]:
        name, window, rate = (
            self._found.names[self._recording],
            self._artifact.window_samples,
            self._artifact.sample_rate,
        )
        return [f"{name}_{format_end(index, window, self._job.hop, rate)}" for index in indices.tolist()]


def _places(progress: _Progress) -> NDArray[np.int64]:
    """The indices of the windows that came, in order; a second attempt at a recording brings them again."""
    came = (piece.indices for pieces in progress.rows.values() for piece in pieces)
    return np.unique(np.concatenate([np.zeros(0, np.int64), *came]))


def _bytes(rows: Rows) -> int:
    return sum(values.nbytes for values in rows.outputs.values())
