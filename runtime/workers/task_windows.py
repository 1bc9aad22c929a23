"""The windows of a task, for the process that scores or decodes them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from runtime.audio.clock import began
from runtime.audio.peaks import PeakFinder
from runtime.audio.recording import Part, Recording, Window
from runtime.audio.source import Samples
from runtime.audio.times import times_of
from runtime.workers.job import Job
from runtime.workers.protocol import Alive, Opened, Task

ALIVE_EVERY_S = 1.0
"""How often a process shows that it is alive while it looks for events."""


class TaskWindows:
    """The windows of a task that were recorded, to be read once.

    Args:
        task: whose windows.
        job: how recordings are cut.
        sample_rate: the model's, in Hz.
        window: samples of a window.
        send: sends a message to the parent: how many parts a recording has, and signs of life.
        samples: the recording, if it is in memory.
    """

    def __init__(
        self,
        task: Task,
        job: Job,
        sample_rate: int,
        window: int,
        send: Callable[[object], object],
        samples: Samples | None = None,
    ) -> None:
        self._task, self._job, self._send = task, job, send
        options, source = job.request.of_recordings, samples or task.path
        if task.channel is not None:
            options["channel"] = task.channel
        self._times = times_of(job.request.between, job.request.dates)
        self._least: int | None = None  # how many windows the recording has at least, if not all were read
        self._recording = Recording(
            source, sample_rate, window, job.hop, part_windows=job.part_windows, overlap=job.overlap, **options
        )

    def __iter__(self) -> Iterator[Window]:
        most = self._job.max_peaks
        windows = self._on_grid() if most is None else self._around_peaks(most)
        return (window for window in windows if window.recorded)

    @property
    def failure(self) -> str | None:
        """After reading: why the recording could not be read, or not to its end."""
        return "; ".join(filter(None, (self._recording.failure, self._unscored()))) or None

    @property
    def notes(self) -> tuple[str, ...]:
        """After reading: what a user should know of a recording that was read all the same."""
        return tuple(self._recording.notes)

    @property
    def began(self) -> datetime | None:
        """After opening: when the recording was begun; None if unknown."""
        return began(self._recording.written, self._task.path.stem, self._job.request.timezone)

    def count(self, failed: bool) -> int | None:
        """After reading: how many windows the recording has, or if it `failed` before its end how many its header
        promises; None if unknown.
        """
        count = self._least if self._recording.count is None else self._recording.count
        return self._recording.promised_windows() if count is None and failed else count

    def _unscored(self) -> str | None:
        """Names the channels that have no tasks, for the last one that has; None if all have."""
        channel, there = self._task.channel, self._recording.channels
        if channel is None or self._task.channels is None or channel < self._task.channels or there <= channel:
            return None
        which = f"channel {there} was" if there == channel + 1 else f"channels {channel + 1} to {there} were"
        return f"has {there} channels, which its header did not show before the run: {which} not scored; score it again"

    def _on_grid(self) -> Iterator[Window]:
        recording, task, parts = self._recording, self._task, self._task.parts
        if parts is None:
            parts, promised = recording.count_parts()
            self._send(Opened(parts, promised, recording.unrecorded, self.began))
        part = recording.part(task.part, parts)
        if self._times is None:
            return recording.windows(part, task.offset, task.step)
        return self._at_times(part)

    def _at_times(self, part: Part) -> Iterator[Window]:
        """The windows of a part that begin at the times asked for. Where there are none, nothing is read."""
        assert self._times is not None
        promised, *_ = self._recording.outline()
        began = self.began
        end = part.end if part.end is not None else promised
        if began is None or (end is not None and not self._wanted(np.arange(part.first, end + 1), began).any()):
            self._least = promised
            return
        last = -1
        options = self._task.offset, self._task.step, lambda rows: self._wanted(rows, began), self._times.span_s(began)
        for window in self._recording.windows(part, *options):
            last = window.index
            yield window
        if part.end is None:  # what comes after the last one that is wanted was not read
            self._least = max(promised or 0, last + 1)

    def _wanted(self, rows: NDArray[np.int64], began: datetime) -> NDArray[np.bool_]:
        assert self._times is not None
        return self._times.among(began, rows * self._job.hop / self._recording.sample_rate)

    def _around_peaks(self, most: int) -> Iterator[Window]:
        finder = PeakFinder(self._recording.sample_rate, self._recording.window)
        sent = time.monotonic()
        for block in self._recording.samples():
            finder.add(block)
            if time.monotonic() - sent > ALIVE_EVERY_S:
                self._send(Alive())
                sent = time.monotonic()
        self._send(Opened(1, None, began=self.began))
        return self._recording.windows_at(finder.starts(most))
