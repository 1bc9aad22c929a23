"""The middle of a run: workers score, rows come in and go out, the deadline is watched."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from runtime.console.progress import Progress, ProgressReports
from runtime.rows.deadline import Deadline
from runtime.rows.sinks import Sink
from runtime.rows.table import Table
from runtime.shield import Shield
from runtime.workers.job import Job
from runtime.workers.processes import Scorer
from runtime.workers.protocol import Done, Opened, Ready, Rows, Task
from runtime.workers.schedule import Schedule

MOST_WAITING_BYTES = 64 * 2**20
"""Bytes of rows that wait for earlier ones; above that no later task is started."""
TIMEOUT_S = 300.0
"""How long a worker may be silent during a recording, unless the request sets another time."""


@dataclass(frozen=True)
class Measured:
    """What scoring measured: when the first worker was ready and when the last rows came, on the monotonic clock; how
    many rows came in all, those of an earlier run included; of how many windows those of this run were made; and how
    many workers there were at most."""

    ready: float
    ended: float
    rows: int
    windows: int
    workers: int


class ScoringLoop:
    """Has an engine score what is left of a table, and hands its rows to a sink in order."""

    def __init__(
        self,
        table: Table,
        sink: Sink,
        job: Job,
        deadline: Deadline | None,
        scorer: Scorer,
    ) -> None:
        self._table, self._sink, self._job = table, sink, job
        self._deadline, self._scorer = deadline, scorer
        self._ready: float | None = None
        self._ended: float | None = None
        self._most_open = 0
        """The most tasks that were ever open at once, and so the most workers that were started."""
        self._rows = sum(table.report.counts.values())
        self._windows = 0

    def run(self, recordings: int, shield: Shield, report: bool | Callable[[Progress], object]) -> Measured:
        """Scores until all is done, the deadline comes, or Ctrl-C, which the shield notes."""
        with shield.noting_interrupt():
            self._score(recordings, shield, report)
        ended = self._ended or time.monotonic()
        workers = min(self._job.setup.workers, self._most_open)
        return Measured(self._ready or ended, ended, self._rows, self._windows, workers)

    def _score(self, recordings: int, shield: Shield, report: bool | Callable[[Progress], object]) -> None:
        until = self._scoring_ends(self._rows)
        tasks = list(self._table.tasks())
        interpolate = self._deadline is not None and self._deadline.interpolate
        time_left = self._time_left if interpolate else None
        schedule = Schedule(tasks, self._has_room, self._table.part_windows, time_left)
        self._most_open = schedule.open
        timeout_s = self._job.request.recording_timeout_s or TIMEOUT_S
        stop = until if self._deadline is not None else None
        events = self._scorer.events(schedule, stop, timeout_s)
        finished = recordings - len({task.recording for task in tasks})
        with ProgressReports(recordings, finished, report) as progress, contextlib.closing(events):
            for event in events:
                if isinstance(event, Ready):
                    self._ready = self._ready or time.monotonic()
                    progress.start()
                    continue
                task, message = event.task, event.message
                if isinstance(message, Done) and message.lost:  # no worker read it; its header may say how long it is
                    message = replace(message, windows=self._scorer.promised_windows(task.path, until))
                self._take(task, message, schedule, shield, progress)
                if self._ended is not None and self._ended > self._scoring_ends(self._rows):
                    return

    def _take(
        self, task: Task, message: Opened | Rows | Done, schedule: Schedule, shield: Shield, progress: ProgressReports
    ) -> None:
        """Takes a message about a task."""
        self._ended = time.monotonic()
        self._most_open = max(self._most_open, schedule.open)
        self._table.add(task, message)
        if isinstance(message, Done):
            shield(self._hand_over)
            progress.add(done=schedule.share(task))
        elif isinstance(message, Rows):
            self._rows += len(message.scored)
            self._windows += message.windows
            progress.add(windows=message.windows)

    def _hand_over(self) -> None:
        """Hands finished parts to the sink, in order."""
        for block, finished in self._table.ready():
            self._sink.append(block, finished)

    def _has_room(self) -> bool:
        return self._table.waiting_bytes < MOST_WAITING_BYTES

    def _time_left(self) -> float:
        return self._scoring_ends(0) - time.monotonic()

    def _scoring_ends(self, rows: int) -> float:
        """When scoring must stop if `rows` rows are scored by then."""
        if self._deadline is None:
            return math.inf
        return self._deadline.scoring_ends(self._sink.columns, self._table.final_work(rows))
