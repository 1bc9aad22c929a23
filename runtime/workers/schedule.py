"""Which windows are scored next: in the order of their rows, or spread evenly where time is short."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from runtime.console.log import log
from runtime.workers.protocol import Done, Opened, Rows, Task

ATTEMPTS = 2
FIRST_STEP, MOST_STEP = 2, 1024
"""Distance in windows between those visited first: the least until a speed was measured, and the most ever."""
FIRST_WINDOWS = 64
"""About the most windows of a part that are visited first until a speed was measured."""
PACE = 0.9
"""Share of the speed measured so far that is relied on."""
UNVISITED = -2 * MOST_STEP
"""Rank of tasks without a visited window, ahead of all others."""


class Schedule:
    """The tasks of a run: handed out, done, tried again, given up.

    A task during which a process died or hung is tried once more, alone: nothing else is scored meanwhile, so that it
    has the machine's memory for itself and no other task suffers.

    Args:
        tasks: whole recordings, or parts of them, in the order of their rows.
        room: whether there is room for more rows that have to wait for earlier ones.
        part_windows: how many windows a part has at most.
        time_left: None to visit windows in order. Else gives the seconds left, and windows are visited so that every
            recording is covered evenly when time is up: every other window first, or fewer if the measured speed
            demands it, then those in between.
    """

    def __init__(
        self,
        tasks: Iterable[Task],
        room: Callable[[], bool],
        part_windows: int,
        time_left: Callable[[], float] | None = None,
    ) -> None:
        self._part_windows = part_windows
        self._room = room if time_left is None else lambda: True  # else no row is written before the end
        self._time_left = time_left
        self._waiting: list[tuple[int, tuple[int, int], Task]] = []
        self._running: set[Task] = set()
        self._parts: dict[int, int] = {}  # in recordings with more than one
        self._attempts: dict[Task, int] = {}
        self._scored = self._first_windows = self._first_visits = 0
        self._started = 0.0
        self._unvisited = 0
        for task in tasks:
            self._put(task)

    @property
    def unfinished(self) -> bool:
        """Whether any task is not done."""
        return bool(self._waiting or self._running)

    @property
    def open(self) -> int:
        """How many tasks are not done."""
        return len(self._waiting) + len(self._running)

    def next(self) -> Task | None:
        """A task for an idle worker, or None if it has to wait."""
        if not self._waiting or any(task in self._attempts for task in self._running):
            return None
        rank, place, task = self._waiting[0]
        retried = task in self._attempts
        first = all(place < (running.recording, running.part) for running in self._running)
        if self._running and (retried or not (first or self._room())):
            return None
        heapq.heappop(self._waiting)
        self._started = self._started or time.monotonic()
        if rank == UNVISITED and not retried:
            task = replace(task, step=self._first_step())
        self._unvisited -= rank == UNVISITED
        self._running.add(task)
        return task

    def note(self, task: Task, message: Opened | Rows | Done) -> None:
        """Records what happened to a running task."""
        if isinstance(message, Opened):
            if message.parts > 1 and task.recording not in self._parts:
                self._parts[task.recording] = message.parts
                for part in range(1, message.parts):
                    self._put(replace(task, part=part, parts=message.parts, offset=0, step=1))
        elif isinstance(message, Rows):
            self._scored += len(message.scored)
            self._first_windows += 0 if task.offset else len(message.scored) * task.step
        else:
            self._running.remove(task)
            parts = task.parts or self._parts.get(task.recording, 1)
            self._first_visits += not task.offset
            gap = task.offset or task.step
            if gap > 1:
                self._put(replace(task, parts=parts, offset=gap // 2, step=gap))

    def give_back(self, task: Task) -> None:
        """Makes a running task wait again, as if it had never been handed out."""
        self._running.remove(task)
        self._put(task)

    def retry(self, task: Task) -> bool:
        """Makes a task whose process was lost wait again and returns True, or gives it up after `ATTEMPTS` attempts."""
        self._running.remove(task)
        self._attempts[task] = self._attempts.get(task, 0) + 1
        if self._attempts[task] < ATTEMPTS:
            self._put(task)
            return True
        return False

    def share(self, task: Task) -> float:
        """The share of its recording that a task is."""
        return 1 / ((task.parts or self._parts.get(task.recording, 1)) * task.step)

    def stop(self, reason: str) -> None:
        """Gives up all tasks that are not done, with a warning, because no process can score them."""
        text = f"scoring ended early, with {self.open} recordings or parts of them left: {reason}"
        log.warning(text)
        self._waiting.clear()
        self._running.clear()

    def _put(self, task: Task) -> None:
        rank, place = 0, (task.recording, task.part)
        if self._time_left is not None:  # unvisited first, then the widest gaps, all recordings in turn
            rank, place = -task.step if task.offset else UNVISITED, (task.part, task.recording)
            self._unvisited += rank == UNVISITED
        heapq.heappush(self._waiting, (rank, place, task))

    def _first_step(self) -> int:
        """The smallest power of two as a step with which all unvisited tasks fit into the time left."""
        if not self._first_visits or self._time_left is None:
            return max(FIRST_STEP, 1 << max(0, (self._part_windows // FIRST_WINDOWS).bit_length() - 1))
        speed = PACE * self._scored / (time.monotonic() - self._started)
        windows = self._unvisited * self._first_windows / self._first_visits
        step = 1
        while windows / step > speed * self._time_left() and step < MOST_STEP:
            step *= 2
        return step
