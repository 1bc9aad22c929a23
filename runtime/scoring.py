"""The middle of a run: workers score, rows come in and go out, the clock is watched."""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import replace

from runtime.model.artifact import Artifact
from runtime.progress import progress_bar
from runtime.rows.deadline import Deadline
from runtime.rows.sinks import Sink
from runtime.rows.table import Table
from runtime.shield import Shield
from runtime.workers.headers import Headers
from runtime.workers.pool import score_recordings
from runtime.workers.protocol import Done, Job, Opened, Ready, Rows, Task
from runtime.workers.schedule import Schedule
from runtime.workers.stages import score_in_stages

MOST_WAITING_BYTES = 64 * 2**20
"""Rows held for want of earlier ones; above that nobody works ahead."""
BAR = "{l_bar}{bar}| {n:.1f}/{total} recordings [{elapsed}<{remaining}{postfix}]"


class Scoring:
    """The middle of a run: workers score, rows come in and go out, the bar moves, the clock is watched."""

    def __init__(
        self,
        table: Table,
        sink: Sink,
        artifact: Artifact,
        job: Job,
        workers: int,
        deadline: Deadline | None,
        timeout_s: float,
    ) -> None:
        self._table, self._sink, self._job, self._deadline = table, sink, job, deadline
        self._workers, self._timeout_s = workers, timeout_s
        self._shape = artifact.sample_rate, artifact.window_samples
        self._ready_at: float | None = None
        self._ended: float | None = None
        self._most_open = 0
        """The most tasks that were ever open at once: more workers than that are not started."""
        self._before = table.report.counts["scored"]
        self.rows = sum(table.report.counts.values())
        """How many rows came so far, those of an earlier run included."""

    def run(self, recordings: int, interpolate: bool, progress: bool, headers: Headers, shield: Shield) -> None:
        """Scores until all is done or the deadline comes."""
        windows = 0
        stop = self._ends(self.rows) if self._deadline else None
        headers.until = math.inf if stop is None else stop
        tasks = list(self._table.tasks())
        schedule = Schedule(tasks, self._room, self._table.part_windows, self._time_left if interpolate else None)
        self._most_open = schedule.open
        if self._job.device == "cpu":
            events = score_recordings(schedule, self._job, self._workers, stop, self._timeout_s)
        else:
            events = score_in_stages(schedule, self._job, self._shape, self._workers, stop, self._timeout_s)
        finished = recordings - len({task.recording for task in tasks})
        with (
            progress_bar(recordings, progress, initial=finished, bar_format=BAR) as bar,
            contextlib.closing(events),
        ):
            for event in events:
                now = time.monotonic()
                if event.task is None or isinstance(event.message, Ready):
                    self._ready_at = self._ready_at or now
                    continue
                self._most_open = max(self._most_open, schedule.open)
                self._table.add(event.task, _told(event.task, event.message, headers))
                shield(self._hand_over)
                if isinstance(event.message, Done):
                    bar.update(schedule.share(event.task))
                elif isinstance(event.message, Rows):
                    windows += len(event.message.scored)
                    self.rows += len(event.message.scored)
                    speed = windows / (now - (self._ready_at or now) + 1e-9)
                    bar.set_postfix_str(f"{speed:.0f} windows/s", refresh=False)
                self._ended = now
                if self._deadline and now > self._ends(self.rows):
                    return

    def _hand_over(self) -> None:
        """What is ready goes out."""
        for block, finished in self._table.ready():
            self._sink.append(block, finished)

    def _room(self) -> bool:
        return self._table.waiting_bytes < MOST_WAITING_BYTES

    def _time_left(self) -> float:
        return self._ends(0) - time.monotonic() if self._deadline else math.inf

    def _ends(self, scored: int) -> float:
        """When scoring must stop if so many rows are scored by then."""
        assert self._deadline is not None
        return self._deadline.scoring_ends(self._table.columns, self._table.final_work(scored))

    def timing(self, started: float) -> dict[str, float | int | str]:
        """What `Soundscapes.timing` says."""
        now = self._ended or time.monotonic()
        ready = self._ready_at or now
        scored = self._table.report.counts["scored"] - self._before
        rate = scored / max(now - ready, 1e-9)
        heard = self._job.hop if self._job.max_peaks is None else self._shape[1]  # samples that a row stands for
        return {
            "start_up_s": ready - started,
            "windows": scored,
            "windows_per_s": rate,
            "times_real_time": rate * heard / self._shape[0],
            "device": self._job.device,
            "workers": min(self._workers, self._most_open),
            "threads": self._job.threads,
            "batch_size": self._job.batch_size,
        }


def _told(task: Task, message: Opened | Rows | Done, headers: Headers) -> Opened | Rows | Done:
    """A worker's message; if all its workers were lost, with what the recording's header promises in it."""
    if isinstance(message, Done) and message.lost:
        return replace(message, windows=headers.promised_windows(task.path))
    return message
