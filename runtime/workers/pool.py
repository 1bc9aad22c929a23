"""Engines whose processes have one task each; the one for the CPU."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from runtime.workers.child import Child
from runtime.workers.job import Job
from runtime.workers.protocol import Done, Opened, Rows, Task
from runtime.workers.supervisor import Engine, Event


class TaskProcess(Child):
    """A child that works on one task at a time; `task` is that one."""

    task: Task | None = None


P = TypeVar("P", bound=TaskProcess)


class Pool(Engine[P]):
    """Processes of one kind, each with a task at a time: at most so many, but never more than tasks. A recording that
    turns out to have parts brings in more of both.
    """

    most: int
    """How many processes there are at most."""

    def wanted(self, kind: type[P], tasks: int) -> int:
        return min(self.most, tasks)

    def is_busy(self, child: P) -> bool:
        return not child.ready or child.task is not None

    def feed(self, next_task: Callable[[], Task | None]) -> None:
        for child in self.children:
            if child.ready and child.task is None and (task := next_task()) is not None:
                child.task = task
                child.ask(task)

    def lose(self, child: P) -> tuple[list[P], list[Task]]:
        return [child], [] if child.task is None else [child.task]


class WorkerProcess(TaskProcess):
    """A child that scores."""

    def __init__(self, job: Job, inbox: queue.SimpleQueue[tuple[Any, Any]]) -> None:
        super().__init__("runtime.workers.worker", job, inbox)


class Workers(Pool[WorkerProcess]):
    """The engine for the CPU: each process turns recordings into rows by itself."""

    kinds = (WorkerProcess,)

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.setup, self.most = job, job.setup.workers

    def take(self, child: WorkerProcess, message: Opened | Rows | Done) -> Iterator[Event]:
        task = child.task
        assert task is not None
        if isinstance(message, Done):
            child.task = None
        yield Event(task, message)
