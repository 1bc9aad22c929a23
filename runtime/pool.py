"""Workers as the parent sees them: started, fed, listened to, replaced when they die."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.errors import PerchError
from runtime.worker import Done, Job, Ready, Refused, Rows

# The caller's import path comes first on standard input, then the job, then recordings.
PROGRAM = "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); from runtime.worker import main; main()"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
ATTEMPTS = 2


@dataclass(frozen=True)
class Event:
    """What a worker sent, and which recording (by its place in the run) it concerns."""

    recording: int
    message: Ready | Rows | Done


class _Worker:
    """A process, and the thread that listens to it."""

    def __init__(self, job: Job, inbox: queue.SimpleQueue[tuple[_Worker, Any]]) -> None:
        self.recording: int | None = None
        self.ready = False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **ONE_THREAD},
        )
        self._send([str(Path(entry).absolute()) if entry == "" else entry for entry in sys.path])
        self._send(job)
        self._inbox = inbox
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def score(self, number: int, path: Path) -> None:
        self.recording = number
        self._send(path)

    def stop(self) -> None:
        """Ends the process at once; it holds nothing that is not sent."""
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        self._errors.close()

    def last_words(self) -> str:
        """Why the process ended: its last line on standard error, or its exit code."""
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return f"{how} ({lines[-1][:200]})" if lines else how

    def _send(self, message: object) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, OSError):  # a dead worker is noticed by the one who listens
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        while True:
            try:
                message = pickle.load(self._process.stdout)
            except (EOFError, OSError, ValueError, pickle.UnpicklingError):
                message = None
            self._inbox.put((self, message))
            if message is None:
                return


def score_recordings(paths: Sequence[Path], job: Job, workers: int, deadline: float | None) -> Iterator[Event]:
    """Scores recordings in `workers` processes, and yields what they send as it comes.

    Each worker first says that it is ready. Rows of one recording come in order; those of several are interleaved. A
    recording whose worker dies is tried once more in a fresh one, its rows coming anew from the first, and is then
    given up. The iterator ends when all are done, or at `deadline` (a value of `time.monotonic()`); leaving it ends
    the workers.

    Raises:
        PerchError: a worker could not load the model.
    """
    inbox: queue.SimpleQueue[tuple[_Worker, Any]] = queue.SimpleQueue()
    waiting = deque(enumerate(paths))
    attempts = [0] * len(paths)
    left = len(paths)
    ever_ready = False
    alive = [_Worker(job, inbox) for _ in range(min(workers, len(paths)))]
    try:
        while left and (deadline is None or time.monotonic() < deadline):
            try:
                worker, message = inbox.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return
            if isinstance(message, Refused):
                raise message.error
            if message is None:
                alive.remove(worker)
                reason = f"the worker {worker.last_words()}"
                worker.stop()
                if not ever_ready:
                    raise PerchError(f"cannot start scoring: {reason}")
                if worker.recording is not None and attempts[worker.recording] < ATTEMPTS:
                    waiting.append((worker.recording, paths[worker.recording]))
                elif worker.recording is not None:
                    left -= 1
                    yield Event(worker.recording, Done(0, f"{reason}, {ATTEMPTS} times"))
                if waiting and worker.ready:
                    alive.append(_Worker(job, inbox))
                elif not alive:  # not even a fresh worker starts any more
                    for number, _ in waiting:
                        yield Event(number, Done(0, reason))
                    return
                continue
            if isinstance(message, Ready):
                worker.ready = ever_ready = True
                yield Event(-1, message)
            elif worker.recording is not None:
                yield Event(worker.recording, message)
            if isinstance(message, Done):
                worker.recording = None
                left -= 1
            if worker.recording is None and waiting:
                number, path = waiting.popleft()
                attempts[number] += 1
                worker.score(number, path)
    finally:
        for worker in alive:
            worker.stop()
