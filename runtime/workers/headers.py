"""The lengths that recordings' headers promise, read in a child process: a file can crash the library that reads it."""

from __future__ import annotations

import contextlib
import math
import pickle
import queue
import time
from typing import Any

from runtime.audio.recording import Recording
from runtime.model.artifact import Artifact
from runtime.remote import Location
from runtime.workers.child import Child, serve
from runtime.workers.job import Job

MOST_S = 10.0
"""How long one header may take."""


class Headers:
    """Asks a child process, started when it is first needed, or `at_once` where there will be little time then."""

    def __init__(self, artifact: Artifact, job: Job, at_once: bool) -> None:
        self._shape = artifact.sample_rate, artifact.window_samples, job.hop
        self._inbox: queue.SimpleQueue[tuple[Child, Any]] = queue.SimpleQueue()
        self._child: Child | None = None
        self._at_once = at_once

    def __enter__(self) -> Headers:
        if self._at_once:
            with contextlib.suppress(OSError):
                self._child = self._started()
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            self._child.stop()

    def promised_windows(self, path: Location, until: float = math.inf) -> int | None:
        """How many windows a recording promises; None if unknown, or without an answer before `until`, a value of
        `time.monotonic()`.
        """
        left = min(until - time.monotonic(), MOST_S)
        if left <= 0:
            return None
        try:
            self._child = self._child or self._started()
            self._child.send(path)
            answer = self._inbox.get(timeout=left)[1]
        except OSError:
            return None
        except queue.Empty:
            answer = None
        if answer is None:  # it died of this file, or hangs, or time is up
            assert self._child is not None
            self._child.stop()
            self._child, self._inbox = None, queue.SimpleQueue()
            return None
        return None if answer < 0 else int(answer)

    def _started(self) -> Child:
        return Child("runtime.workers.headers", self._shape, self._inbox)


def main() -> None:
    """Answers each path with a number of windows, or -1 if unknown, until standard input closes."""
    receive, send = serve()
    shape: tuple[int, int, int] = pickle.load(receive)
    while True:
        try:
            path: Location = pickle.load(receive)
        except EOFError:
            return
        promised = None
        with contextlib.suppress(Exception):  # whatever it is, it concerns this recording
            promised = Recording(path, *shape).promised_windows()
        send(-1 if promised is None else promised)
