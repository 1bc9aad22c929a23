"""The lengths of many recordings, read from their headers by several processes at once."""

from __future__ import annotations

import pickle
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from runtime.audio.recording import Recording
from runtime.console.progress import progress_bar
from runtime.cores import usable_cores
from runtime.remote import Location, RemoteFile
from runtime.workers.child import listen, serve
from runtime.workers.pool import Pool, TaskProcess
from runtime.workers.protocol import Done, Ready, Task
from runtime.workers.schedule import Schedule
from runtime.workers.supervisor import Event, Supervisor

REMOTE_PROCESSES = 8
"""At least so many read headers from a network, which keeps each waiting."""
PAYS = 16
"""Recordings for which it pays to start another process."""
TIMEOUT_S = 60.0
"""How long one header may take."""


@dataclass(frozen=True)
class Outline:
    """How many windows a recording promises, None if unknown, in how many parts it is read, its channels, 0 if unknown,
    and when it was begun, by what its recorder wrote.
    """

    windows: int | None = None
    parts: int = 1
    channels: int = 0
    written: datetime | None = None


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
    """Reads headers of recordings, in no more processes than pay for their start. What it finds is in `found`, by the
    task's recording.
    """

    kinds = (OutlineProcess,)

    def __init__(self, setup: OutlineSetup, recordings: Sequence[Location]) -> None:
        super().__init__()
        on_network = any(isinstance(path, RemoteFile) for path in recordings)
        most = max(usable_cores(), REMOTE_PROCESSES if on_network else 1)
        self.setup, self.most = setup, min(most, 1 + len(recordings) // PAYS)
        self.found: dict[int, Outline] = {}

    def take(self, child: OutlineProcess, message: Outline) -> Iterator[Event]:
        assert child.task is not None
        task, child.task = child.task, None
        self.found[task.recording] = message
        yield Event(task, Done(None))


def count_channels(recordings: Sequence[Location], setup: OutlineSetup, progress: bool) -> list[int]:
    """How many channels each recording has; 0 where its header cannot be read.

    Raises:
        PerchError: no process can be started.
    """
    outliners = Outliners(setup, recordings)
    schedule = Schedule([Task(i, path) for i, path in enumerate(recordings)], lambda: True, setup.part_windows)
    with (
        progress_bar(len(recordings), progress, unit=" recordings", desc="counting channels") as bar,
        Supervisor(outliners, TIMEOUT_S) as supervisor,
    ):
        for _ in supervisor.events(schedule):
            bar.update(len(outliners.found) - bar.n)
    return [outliners.found.get(i, Outline()).channels for i in range(len(recordings))]


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
            send(Outline(*recording.outline(), recording.written))
        except Exception:  # whatever it is, it concerns this recording, and scoring it will say what
            send(Outline())
