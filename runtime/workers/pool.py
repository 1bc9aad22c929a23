"""Workers as the parent sees them: started, fed, listened to, replaced when they die."""

from __future__ import annotations

import queue
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from runtime.errors import PerchError
from runtime.workers.child import Child, Inbox
from runtime.workers.protocol import Alive, Done, Job, Opened, Ready, Refused, Rows, Task
from runtime.workers.schedule import ATTEMPTS, Schedule

MOST_FAILED_STARTS = 3
"""After so many processes in a row that ended before they were ready no more are started."""


@dataclass(frozen=True)
class Event:
    """What a worker sent, and the task it concerns (None: that it is ready)."""

    task: Task | None
    message: Ready | Opened | Rows | Done


def score_recordings(
    schedule: Schedule, job: Job, workers: int, deadline: float | None, timeout_s: float
) -> Generator[Event, None, None]:
    """Scores a schedule's tasks in up to `workers` processes, and yields what they send as it comes.

    There are never more workers than tasks; a recording that turns out to have parts brings in more of both. Each
    worker first says that it is ready. Rows of one task come in order; those of several are interleaved. A task whose
    worker dies, or says nothing for `timeout_s`, is tried once more, its rows coming anew, and is then given up. The
    iterator ends when all are done, or at `deadline` (a value of `time.monotonic()`); leaving it ends the workers.

    Raises:
        PerchError: no worker could be started, or load the model.
    """
    pool = _Pool(schedule, job, timeout_s)
    try:
        for _ in range(min(workers, schedule.open)):
            if not _past(deadline):
                pool.start()
        while schedule.unfinished and not _past(deadline):
            received = pool.receive(deadline)
            if received is None:
                continue
            worker, message = received
            if worker not in pool.alive:  # of one that was buried since
                continue
            if isinstance(message, Alive):
                continue
            if isinstance(message, (Ready, Opened, Rows, Done)):
                task = worker.task
                pool.note(worker, message)
                if isinstance(message, Opened) and message.parts > 1:
                    pool.grow(workers)
                yield Event(task, message)
            else:
                yield from pool.bury(worker, message)
            pool.feed()
    finally:
        pool.stop()


def _past(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline


class _Pool:
    """The workers alive, and the tasks they have."""

    def __init__(self, schedule: Schedule, job: Job, timeout_s: float) -> None:
        self._schedule = schedule
        self._job = job
        self.alive: list[_Worker] = []
        self._ever_ready = False
        self._refused: PerchError | None = None
        self._failed_starts = 0
        self._inbox = Inbox(timeout_s)

    def start(self) -> None:
        """One more worker; if the system has no room for it, those there are must do."""
        try:
            self.alive.append(_Worker(self._job, self._inbox.queue))
        except OSError as error:
            if not self.alive:
                raise PerchError(f"cannot start a worker process: {error.strerror}") from None

    def grow(self, workers: int) -> None:
        """As many workers as there are tasks, but not more than `workers`."""
        for _ in range(len(self.alive), min(workers, self._schedule.open)):
            self.start()

    def receive(self, deadline: float | None) -> tuple[_Worker, Any] | None:
        """The next message, or None after a while without one. Workers that hang are killed, and heard of next."""
        return self._inbox.receive(self.alive, [worker for worker in self.alive if worker.busy], deadline)

    def note(self, worker: _Worker, message: Ready | Opened | Rows | Done) -> None:
        """Keeps account of what a worker said."""
        if isinstance(message, Ready):
            worker.ready = self._ever_ready = True
            self._failed_starts = 0
        elif worker.task is not None:
            self._schedule.note(worker.task, message)
            if isinstance(message, Done):
                worker.task = None

    def feed(self) -> None:
        """Gives waiting tasks to idle workers."""
        for worker in self.alive:
            if worker.ready and worker.task is None and (task := self._schedule.next()):
                worker.score(task)

    def bury(self, worker: _Worker, message: Refused | None) -> Iterator[Event]:
        """Deals with a worker that died or could not load the model."""
        self.alive.remove(worker)
        reason = f"the worker {worker.last_words()}" if message is None else str(message.error)
        worker.stop()
        if message is not None:
            self._refused = message.error
        if worker.task is not None and not self._schedule.crashed(worker.task):
            yield Event(worker.task, Done(f"{reason}, {ATTEMPTS} times", lost=True))
        self._failed_starts += not worker.ready
        if self._schedule.unfinished and self._failed_starts < MOST_FAILED_STARTS and message is None:
            try:
                self.start()
            except PerchError as error:
                reason = str(error)
        if not self.alive and self._schedule.unfinished:  # not even a fresh worker starts
            if not self._ever_ready:
                raise self._refused or PerchError(f"cannot start scoring: {reason}")
            self._schedule.stop(reason)

    def stop(self) -> None:
        for worker in self.alive:
            worker.stop()


class _Worker(Child):
    """A child that scores."""

    def __init__(self, job: Job, inbox: queue.SimpleQueue[tuple[_Worker, Any]]) -> None:
        super().__init__("runtime.workers.worker", job, inbox)
        self.task: Task | None = None

    @property
    def busy(self) -> bool:
        """Whether it owes an answer: its session, or a task's rows."""
        return self.task is not None or not self.ready

    def score(self, task: Task) -> None:
        self.task, self.heard = task, time.monotonic()
        self.send(task)
