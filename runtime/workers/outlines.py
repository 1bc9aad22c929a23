"""The lengths of many recordings, read from their headers by several processes at once."""

from __future__ import annotations

import pickle
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from runtime.audio.recording import Recording
from runtime.workers.child import listen, serve
from runtime.workers.pool import Pool, TaskProcess
from runtime.workers.protocol import Done, Ready, Task
from runtime.workers.supervisor import Event


@dataclass(frozen=True)
class Outline:
    """How many windows a recording promises, None if unknown, and in how many parts it is read."""

    windows: int | None = None
    parts: int = 1


@dataclass(frozen=True)
class OutlineSetup:
    """How recordings are cut: the windows' rate in Hz, a window and a hop in samples, and a part in windows."""

    sample_rate: int
    window: int
    hop: int
    part_windows: int


class OutlineProcess(TaskProcess):
    """A child that reads headers."""

    def __init__(self, setup: OutlineSetup, inbox: queue.SimpleQueue[tuple[Any, Any]]) -> None:
        super().__init__("runtime.workers.outlines", setup, inbox)


class Outliners(Pool[OutlineProcess]):
    """Reads headers in at most so many processes. What it finds is in `found`, by the task's recording."""

    kinds = (OutlineProcess,)

    def __init__(self, setup: OutlineSetup, most: int) -> None:
        super().__init__()
        self.setup, self.most = setup, most
        self.found: dict[int, Outline] = {}

    def take(self, child: OutlineProcess, message: Outline) -> Iterator[Event]:
        assert child.task is not None
        task, child.task = child.task, None
        self.found[task.recording] = message
        yield Event(task, Done(None))


def main() -> None:
    """Answers each task with an outline, until standard input closes."""
    receive, send = serve()
    setup: OutlineSetup = pickle.load(receive)
    tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(receive, tasks.put), daemon=True).start()
    send(Ready())
    while True:
        path = tasks.get().path
        try:
            recording = Recording(path, setup.sample_rate, setup.window, setup.hop, part_windows=setup.part_windows)
            send(Outline(*recording.outline()))
        except Exception:  # whatever it is, it concerns this recording, and scoring it will say what
            send(Outline())
