"""The lengths of many recordings, read from their headers by several processes at once."""

from __future__ import annotations

import pickle
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from runtime.audio.recording import Recording
from runtime.workers.child import Child, listen, serve
from runtime.workers.protocol import Done, Ready, Task
from runtime.workers.supervisor import Engine, Event


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


class OutlineProcess(Child):
    """A child that reads headers; `task` is the one it works on."""

    def __init__(self, setup: OutlineSetup, inbox: queue.SimpleQueue[tuple[Any, Any]]) -> None:
        super().__init__("runtime.workers.outlines", setup, inbox)
        self.task: Task | None = None


class Outliners(Engine[OutlineProcess]):
    """Reads headers in `processes` processes. What it finds is in `found`, by the task's recording."""

    kinds = (OutlineProcess,)

    def __init__(self, setup: OutlineSetup, processes: int) -> None:
        super().__init__()
        self.setup, self._processes = setup, processes
        self.found: dict[int, Outline] = {}

    def wanted(self, kind: type[OutlineProcess], tasks: int) -> int:
        return min(self._processes, tasks)

    def is_busy(self, child: OutlineProcess) -> bool:
        return not child.ready or child.task is not None

    def feed(self, next_task: Callable[[], Task | None]) -> None:
        for child in self.children:
            if child.ready and child.task is None and (task := next_task()) is not None:
                child.task = task
                child.ask(task.path)

    def take(self, child: OutlineProcess, message: Outline) -> Iterator[Event]:
        assert child.task is not None
        task, child.task = child.task, None
        self.found[task.recording] = message
        yield Event(task, Done(None))

    def lose(self, child: OutlineProcess) -> tuple[list[OutlineProcess], list[Task]]:
        return [child], [] if child.task is None else [child.task]


def main() -> None:
    """Answers each path with an outline, until standard input closes."""
    receive, send = serve()
    setup: OutlineSetup = pickle.load(receive)
    paths: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(receive, paths.put), daemon=True).start()
    send(Ready())
    while True:
        path = paths.get()
        try:
            recording = Recording(path, setup.sample_rate, setup.window, setup.hop, part_windows=setup.part_windows)
            send(Outline(*recording.outline()))
        except Exception:  # whatever it is, it concerns this recording, and scoring it will say what
            send(Outline())
