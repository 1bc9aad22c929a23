"""Rows as they come in from workers, until they can go out in order."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.audio.clock import began
from runtime.audio.paths import FoundRecordings
from runtime.remote import Location, RemoteFile, absolute_path, path_below
from runtime.rows.assembly import assembled
from runtime.rows.block import Block, Columns, Origin, count_statuses
from runtime.rows.deadline import FinalWork
from runtime.rows.finished import Finished
from runtime.rows.grid import Grid
from runtime.rows.interpolation import Interpolation
from runtime.rows.lengths import Lengths
from runtime.rows.naming import Naming
from runtime.rows.outcome import NotReached, Outcome, PassedOver, Read
from runtime.rows.received import Received
from runtime.rows.report import Report
from runtime.rows.sample import Lack, SampleSubmission
from runtime.workers.protocol import Done, Opened, Rows, Task


class Table:
    """Puts the rows of a run in order, part by part.

    Args:
        recordings: the recordings.
        columns: what the rows hold.
        grid: how recordings are cut.
        sample: a sample submission, if it decides the rows; then recordings without any message have no rows here.
        interpolate: whether windows not reached take the mean of their scored neighbours; if so, nothing goes out
            before the end.
    """

    def __init__(
        self,
        recordings: FoundRecordings,
        columns: Columns,
        grid: Grid,
        sample: SampleSubmission | None = None,
        interpolate: bool = False,
    ) -> None:
        self._recordings, self._sample, self._interpolate = recordings, sample, interpolate
        # Computed now, because the working folder may be deleted during the run.
        self._files, self._absolute = _files(recordings.paths), tuple(map(absolute_path, recordings.paths))
        self._root = absolute_path(recordings.root) if recordings.root else ""
        self._grid, self._on_grid = grid, not grid.around_events
        self.columns = columns
        """What the rows hold."""
        self.part_windows = grid.part_windows
        """How many windows every part but a recording's last has."""
        self._received: dict[int, Received] = {}
        self._lengths = Lengths(
            self._received,
            len(self._files),
            grid.part_windows,
            grid.hop,
            grid.sample_rate,
            guess=sample is None and grid.times is None,
            rows=self._rows_of,
        )
        self._naming = Naming(grid.window, grid.hop, grid.sample_rate)
        self.report = Report(around_events=not self._on_grid, at_times=grid.times is not None)
        """Counts and notes of the rows that went out so far."""
        self.waiting_bytes = 0
        """Bytes in rows that did not go out yet."""
        # The current part: the first whose rows did not go out yet. Outcomes are of earlier parts of its recording.
        self._recording = self._part = self._rows = 0
        self._outcomes: list[Outcome] = []

    def skip(self, finished: Finished, counts: Mapping[str, int]) -> None:
        """Takes account of a part that an earlier run finished; parts come in order.

        Raises:
            InputError: the recording has changed since, or is not at the same place among the recordings.
        """
        recordings, at = self._recordings, self._recording
        path, name = (recordings.paths[at], recordings.names[at]) if at < len(self._files) else (None, "")
        finished.check_place(path, name, self._part)
        received = self._received_for(self._recording)
        finished.check_file(path, received.size, received.mtime_ns)
        received.parts, received.promised = finished.parts, finished.windows
        received.began, received.resumed = finished.origin.began, True
        self._next(received, finished.outcome, counts)

    def tasks(self) -> Iterator[Task]:
        """What is still to be scored."""
        channels = self._recordings.channels or [None] * len(self._files)
        counts = self._recordings.channel_counts or channels
        for recording in range(self._recording, len(self._files)):
            whole = Task(recording, self._files[recording], channel=channels[recording], channels=counts[recording])
            if recording > self._recording or not self._part:
                yield whole
            else:
                parts = self._received[recording].parts
                yield from (replace(whole, part=part, parts=parts) for part in range(self._part, parts))

    def add(self, task: Task, message: Opened | Rows | Done) -> None:
        """Takes what a worker sent about one task."""
        received = self._received_for(task.recording)
        received.add(task, message)
        if isinstance(message, Rows):
            self.waiting_bytes += _bytes(message)
        else:
            self._lengths.learn(received, message.windows)

    def final_work(self, scored: int) -> FinalWork:
        """An estimate of what is left to do if the run ends with `scored` rows scored."""
        if self._sample is not None:
            return FinalWork(scored, max(0, len(self._sample) - scored))
        unscored = max(0, self._lengths.estimate() - scored)
        return FinalWork(scored, unscored, len(self._files) - self._recording)

    @property
    def incomplete(self) -> bool:
        """Whether a later run would have more to do; meaningful once all rows went out."""
        report = self.report
        return bool(report.counts["filled"] or report.not_reached or report.passed_over)

    def ready(self) -> Iterator[tuple[Block, Finished]]:
        """Finished parts, in order, up to the first that is not finished."""
        while not self._interpolate and self._recording < len(self._files):
            received = self._received.get(self._recording)
            done = received.done.get(self._part) if received is not None else None
            if received is None or done is None:
                return
            indices = self._indices(received, final=False)
            if indices is None:
                return
            block = self._block(received, indices)
            yield block, self._finished(received, done)
            self._sent(received, block)

    def rest(
        self, promised_windows: Callable[[Location], int | None], most_interpolated: int | None = None
    ) -> Iterator[Block]:
        """All rows that did not go out yet, of windows that were reached and of others.

        `promised_windows` reads how many windows a header promises, for recordings that were not reached;
        `most_interpolated` is how many rows there is time to interpolate, None for all.
        """
        interpolation = Interpolation(most_interpolated)
        while self._recording < len(self._files):
            received = self._received_for(self._recording)
            if self._sample is not None and not (self._part or received.rows or received.done):
                received.parts = 1
                self._next(received, PassedOver(), {})
                continue
            self._settle_length(received, promised_windows)
            indices = self._indices(received, final=True)
            assert indices is not None
            block = self._block(received, indices)
            if self._interpolate:
                block = interpolation.fill(block, received, self._part * self.part_windows)
            yield block
            self._sent(received, block)

    def _settle_length(self, received: Received, promised_windows: Callable[[Location], int | None]) -> None:
        """Decides how long the current recording is, if it was not read to its end."""
        has_no_length = self._part not in received.done and received.promised is None
        # Where a sample submission decides the rows, only interpolation needs the other ones.
        reads_header = has_no_length and self._on_grid and (self._sample is None or self._interpolate)
        if reads_header:
            received.promised = promised_windows(self._files[self._recording])
        if not self._part:
            parts = self._lengths.parts(received)
            # A recording that promised nothing when its rows came is read in one part, however long it is.
            received.parts = parts if reads_header and not received.rows else min(received.parts, parts)

    def _indices(self, received: Received, final: bool) -> NDArray[np.int64] | None:
        """The windows of the current part; None if they are not known yet and the run is not over."""
        if not self._on_grid:
            return received.indices
        count = self._lengths.part(received, self._part, final)
        if count is None:
            return None
        return self._grid.wanted(self._origin(received).began, self._part * self.part_windows + np.arange(count))

    def _rows_of(self, received: Received, windows: int) -> int:
        """How many of a recording's windows have rows."""
        if self._grid.times is None:
            return windows
        time = began(received.began, self._files[received.number].stem, self._grid.timezone)
        return len(self._grid.wanted(time, np.arange(windows)))

    def _block(self, received: Received, indices: NDArray[np.int64]) -> Block:
        path, name = self._recordings.paths[self._recording], self._recordings.names[self._recording]
        origin = self._origin(received)
        return assembled(str(path), name, received, self._part, indices, self.columns, self._naming, origin)

    def _origin(self, received: Received) -> Origin:
        """Where the current recording comes from."""
        below = path_below(self._absolute[self._recording], self._root) if self._grid.site_from is not None else ""
        return self._grid.origin(received, self._recordings.paths[self._recording], below)

    def _finished(self, received: Received, done: Done) -> Finished:
        """The current part as a record for a later run to compare."""
        return Finished(
            path=self._absolute[self._recording],
            name=self._recordings.names[self._recording],
            size=received.size,
            mtime_ns=received.mtime_ns,
            part=self._part,
            parts=received.parts,
            windows=done.windows if received.promised is None else received.promised,
            failure=done.failure,
            notes=done.notes,
            **Finished.when(self._origin(received)),
        )

    def _sent(self, received: Received, block: Block) -> None:
        """Goes on to the next part after the rows of the current one went out."""
        outcome = received.outcome(self._part)
        if not self._interpolate:
            self.waiting_bytes -= sum(map(_bytes, received.rows.pop(self._part, ())))
        self._next(received, outcome, count_statuses(block.status))

    def _next(self, received: Received, outcome: Outcome, counts: Mapping[str, int]) -> None:
        self.report.counts.update(counts)
        self._outcomes.append(outcome)
        self._rows += sum(counts.values())
        self._part += 1
        if self._part < received.parts:
            return
        path, opened = self._recordings.paths[self._recording], received.began is not None
        self.report.add(path, self._outcomes, self._rows, self._origin(received), opened)
        read = all(isinstance(each, Read) for each in self._outcomes)
        if read:
            self._lengths.learn_length(self._rows)
        if self._sample is not None:
            reached = not any(isinstance(each, (NotReached, PassedOver)) for each in self._outcomes)
            has_length = read or received.promised is not None
            lack = Lack.NO_SUCH_WINDOW if has_length else Lack.UNREADABLE
            self._sample.note(self._recording, lack if reached else Lack.NOT_REACHED)
        self._received.pop(self._recording, None)
        self._recording, self._part, self._rows, self._outcomes = self._recording + 1, 0, 0, []

    def _received_for(self, recording: int) -> Received:
        """What workers sent about a recording so far."""
        received = self._received.get(recording)
        if received is None:
            received = self._received[recording] = Received.nothing(
                recording, self._files[recording], self._recordings.sizes.get(self._recordings.paths[recording])
            )
        return received


def _bytes(rows: Rows) -> int:
    return sum(values.nbytes for values in rows.outputs.values())


def _files(paths: Sequence[Location]) -> tuple[Location, ...]:
    """Where recordings are, without the working folder or any symbolic link on the way to it."""
    resolved = functools.cache(os.path.realpath)
    return tuple(
        path if isinstance(path, RemoteFile) or path.is_absolute() else Path(resolved(path.parent), path.name)
        for path in paths
    )
