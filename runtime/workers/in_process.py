"""Audio in memory, scored in this process by a session that is loaded already."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Generator

from runtime.audio.recording import Recording
from runtime.audio.source import Samples
from runtime.model.ensemble import Sessions
from runtime.model.session import Session
from runtime.remote import Location
from runtime.workers.job import Job
from runtime.workers.protocol import Done, Opened, Ready, Rows, Task
from runtime.workers.schedule import Schedule
from runtime.workers.supervisor import Event
from runtime.workers.worker import score

LONGEST_WAIT_S = 60.0
"""Longest single wait for a message: the system knows no time in centuries."""


class _LeftError(Exception):
    """No one waits for the rows any more."""


class InProcess:
    """Scores one recording, `samples`, part by part. It does what the processes of a run do for files."""

    def __init__(self, session: Session | Sessions, job: Job, samples: Samples) -> None:
        self._session, self._job, self._samples = session, job, samples

    def events(
        self, schedule: Schedule, deadline: float | None, timeout_s: float
    ) -> Generator[Event | Ready, None, None]:
        """The events of the schedule's tasks, as they happen, until all are done or the deadline comes.

        `timeout_s` is ignored: nothing here can fall silent as a process can.
        """
        yield Ready()
        while (task := schedule.next()) is not None:
            for message in self._messages(task, deadline):
                event = Event(task, message)
                schedule.note(event.task, event.message)
                yield event
            if deadline is not None and time.monotonic() >= deadline:
                return

    def _messages(self, task: Task, deadline: float | None) -> Generator[Opened | Rows | Done, None, None]:
        """The messages about a task. A thread scores it, so that rows go out as they come and Ctrl-C works."""
        outbox: queue.SimpleQueue[Opened | Rows | Done] = queue.SimpleQueue()
        left = threading.Event()

        def send(message: object) -> None:
            if left.is_set():
                raise _LeftError
            if isinstance(message, (Opened, Rows, Done)):
                outbox.put(message)

        def work() -> None:
            try:
                score(self._session, self._job, task, send, self._samples)
            except _LeftError:
                pass
            except Exception as error:  # as in a process: it concerns this recording
                outbox.put(Done(f"{type(error).__name__}: {error}"))

        thread = threading.Thread(target=work)  # no daemon, which Python would cut off inside ONNX Runtime at its exit
        thread.start()
        try:
            message: Opened | Rows | Done | None = None
            while not isinstance(message, Done):
                left_s = LONGEST_WAIT_S if deadline is None else deadline - time.monotonic()
                if left_s <= 0:
                    return
                with contextlib.suppress(queue.Empty):
                    message = outbox.get(timeout=min(left_s, LONGEST_WAIT_S))
                    yield message
        finally:
            left.set()  # the thread ends at its next message, about a second later

    def promised_windows(self, path: Location, until: float) -> int | None:
        """How many windows the recording has."""
        artifact = self._session.artifact
        with contextlib.suppress(Exception):
            return Recording(
                self._samples, artifact.sample_rate, artifact.window_samples, self._job.hop
            ).promised_windows()
        return None
