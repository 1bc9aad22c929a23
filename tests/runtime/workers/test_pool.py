"""The supervisor, with workers that follow a script."""

from __future__ import annotations

import queue
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runtime import ArtifactError, PerchError
from runtime.model.profile import Setup
from runtime.workers.job import Job
from runtime.workers.pool import WorkerProcess, Workers
from runtime.workers.protocol import Done, Ready, Refused, Task
from runtime.workers.schedule import Schedule
from runtime.workers.supervisor import MOST_FAILED_STARTS, Event, Supervisor

REFUSAL = Refused(ArtifactError("m.onnx cannot be loaded"))
READY = Ready()


class Scripted(WorkerProcess):
    """A worker that sends the messages of the next script at its start, and then does all tasks."""

    scripts: list[list[object]]
    started: list[Scripted]

    def __init__(self, job: object, inbox: queue.SimpleQueue[tuple[Any, Any]]) -> None:
        if not self.scripts:
            raise OSError(12, "Cannot allocate memory")
        self.inbox, self.silent_since, self.ready = inbox, 0.0, False
        self.task: Task | None = None
        self.started.append(self)
        for message in self.scripts.pop(0):
            inbox.put((self, message))

    def ask(self, message: object) -> None:
        self.inbox.put((self, Done(None, 1)))

    def last_words(self) -> str:
        return "ended with code 1 (boom)"

    def stop(self) -> None:
        """An ended worker's stream ends, too, and again when it is stopped."""
        self.inbox.put((self, None))


class ScriptedPool(Workers):
    kinds = (Scripted,)

    def is_busy(self, child: WorkerProcess) -> bool:
        return False


def run(scripts: list[list[object]], workers: int, tasks: int = 4) -> list[object]:
    """The messages about so many tasks, done by workers that each follow the next script."""
    Scripted.scripts, Scripted.started = list(scripts), []
    job = cast(Job, SimpleNamespace(setup=Setup(workers, threads=1, batch_size=1)))
    schedule = Schedule([Task(i, Path(f"{i}.wav")) for i in range(tasks)], lambda: True, 10)
    with Supervisor(ScriptedPool(job), 60.0) as supervisor:
        events = list(supervisor.events(schedule))
    assert not schedule.unfinished
    return [event.message for event in events if isinstance(event, Event)]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_model_that_workers_refuse_is_refused_once(workers: int) -> None:
    with pytest.raises(ArtifactError, match=r"^m\.onnx cannot be loaded$"):
        run([[REFUSAL, None]] * workers, workers)
    assert len(Scripted.started) == workers


def test_refusal_is_told_even_if_others_died() -> None:
    with pytest.raises(ArtifactError, match="cannot be loaded"):
        run([[REFUSAL, None], [None], [None], [None], [None]], 2)


def test_workers_that_are_ready_do_without_the_others() -> None:
    messages = run([[REFUSAL, None], [READY], [None]], 2)
    assert [message for message in messages if isinstance(message, Done)] == [Done(None, 1)] * 4


def test_workers_that_never_start_are_told_by_their_last_words() -> None:
    with pytest.raises(PerchError, match=r"cannot start scoring: the worker ended with code 1 \(boom\)"):
        run([[None]] * 9, 1)
    assert len(Scripted.started) == MOST_FAILED_STARTS
    with pytest.raises(PerchError, match=r"cannot start a worker process: Cannot allocate memory"):
        run([], 2)


def test_no_room_for_a_new_worker_keeps_the_rows(caplog: pytest.LogCaptureFixture) -> None:
    run([[READY, None]], 1)
    (message,) = caplog.messages
    assert re.match(r"scoring ended early, with 4 .*: cannot start a worker process", message)
