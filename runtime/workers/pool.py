"""The engine for the CPU: each of its processes turns recordings into rows by itself."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from typing import Any

from runtime.workers.child import Child
from runtime.workers.job import Job
from runtime.workers.protocol import Done, Opened, Rows, Task
from runtime.workers.supervisor import Engine, Event


class WorkerProcess(Child):
    """A child that scores; `task` is the one it works on."""

    def __init__(self, job: Job, inbox: queue.SimpleQueue[tuple[Any, Any]]) -> None:
        super().__init__("runtime.workers.worker", job, inbox)
        self.task: Task | None = None


class Pool(Engine[WorkerProcess]):
    """As many processes as the job has workers, but never more than tasks: a recording that turns out to have parts
    brings in more of both.
    """

    kinds = (WorkerProcess,)

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.setup, self._workers = job, job.setup.workers

    def wanted(self, kind: type[WorkerProcess], tasks: int) -> int:
        return min(self._workers, tasks)

    def is_busy(self, child: WorkerProcess) -> bool:
        return not child.ready or child.task is not None

    def feed(self, next_task: Callable[[], Task | None]) -> None:
        for worker in self.children:
            if worker.ready and worker.task is None and (task := next_task()) is not None:
                worker.task = task
                worker.ask(task)

    def take(self, child: WorkerProcess, message: Opened | Rows | Done) -> Iterator[Event]:
        task = child.task
        assert task is not None
        if isinstance(message, Done):
            child.task = None
        yield Event(task, message)

    def lose(self, child: WorkerProcess) -> tuple[list[WorkerProcess], list[Task]]:
        return [child], [] if child.task is None else [child.task]
