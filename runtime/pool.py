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
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.errors import PerchError
from runtime.worker import GREETING, Done, Job, Ready, Refused, Rows

# The caller's import path comes first on standard input, then the job, then recordings.
PROGRAM = "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); from runtime.worker import main; main()"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
ATTEMPTS = 2
LONGEST_WAIT_S = 3600.0


@dataclass(frozen=True)
class Event:
    """What a worker sent, and the place in the run of the recording it concerns (None: that it is ready)."""

    recording: int | None
    message: Ready | Rows | Done


def score_recordings(
    paths: Sequence[Path], job: Job, workers: int, deadline: float | None
) -> Generator[Event, None, None]:
    """Scores recordings in `workers` processes, and yields what they send as it comes.

    Each worker first says that it is ready. Rows of one recording come in order; those of several are interleaved. A
    recording whose worker dies is tried once more, its rows coming anew from the first, and is then given up. The
    iterator ends when all are done, or at `deadline` (a value of `time.monotonic()`); leaving it ends the workers.

    Raises:
        PerchError: no worker could be started, or load the model.
    """
    pool = _Pool(paths, job)
    try:
        for _ in range(min(workers, len(paths))):
            if not _past(deadline):
                pool.start()
        while pool.left and not _past(deadline):
            received = pool.receive(deadline)
            if received is None:
                continue
            worker, message = received
            if isinstance(message, (Ready, Rows, Done)):
                yield Event(worker.recording, message)
                pool.note(worker, message)
            else:
                yield from pool.bury(worker, message)
            pool.feed()
    finally:
        pool.stop()


def _past(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline


class _Pool:
    """The workers alive, and the recordings that wait for one."""

    def __init__(self, paths: Sequence[Path], job: Job) -> None:
        self.left = len(paths)
        self._paths = paths
        self._job = job
        self._waiting = deque(range(len(paths)))
        self._attempts = [0] * len(paths)
        self._alive: list[_Worker] = []
        self._ever_ready = False
        self._inbox: queue.SimpleQueue[tuple[_Worker, Any]] = queue.SimpleQueue()

    def start(self) -> None:
        """One more worker; if the system has no room for it, those there are must do."""
        try:
            self._alive.append(_Worker(self._job, self._inbox))
        except OSError as error:
            if not self._alive:
                raise PerchError(f"cannot start a worker process: {error.strerror}") from None

    def receive(self, deadline: float | None) -> tuple[_Worker, Any] | None:
        """The next message, or None after a while without one."""
        wait = LONGEST_WAIT_S if deadline is None else min(LONGEST_WAIT_S, max(0.0, deadline - time.monotonic()))
        try:
            return self._inbox.get(timeout=wait)
        except queue.Empty:
            return None

    def note(self, worker: _Worker, message: Ready | Rows | Done) -> None:
        """Keeps account of what a worker said."""
        if isinstance(message, Ready):
            worker.ready = self._ever_ready = True
        elif isinstance(message, Done):
            worker.recording = None
            self.left -= 1

    def feed(self) -> None:
        """Gives waiting recordings to idle workers."""
        for worker in self._alive:
            if worker.ready and worker.recording is None and self._waiting:
                number = self._waiting.popleft()
                self._attempts[number] += 1
                worker.score(number, self._paths[number])

    def bury(self, worker: _Worker, message: Refused | None) -> Iterator[Event]:
        """Deals with a worker that died or could not load the model."""
        self._alive.remove(worker)
        reason = f"the worker {worker.last_words()}" if message is None else str(message.error)
        worker.stop()
        if worker.recording is not None and self._attempts[worker.recording] < ATTEMPTS:
            self._waiting.append(worker.recording)
        elif worker.recording is not None:
            yield self._give_up(worker.recording, f"{reason}, {ATTEMPTS} times")
        if self._waiting and worker.ready:
            self.start()
        if not self._alive:  # not even a fresh worker starts
            if not self._ever_ready:
                raise message.error if message is not None else PerchError(f"cannot start scoring: {reason}")
            while self._waiting:
                yield self._give_up(self._waiting.popleft(), reason)

    def stop(self) -> None:
        for worker in self._alive:
            worker.stop()

    def _give_up(self, recording: int, reason: str) -> Event:
        self.left -= 1
        return Event(recording, Done(reason))


class _Worker:
    """A process, and the thread that talks with it."""

    def __init__(self, job: Job, inbox: queue.SimpleQueue[tuple[_Worker, Any]]) -> None:
        self.recording: int | None = None
        self.ready = False
        self._inbox = inbox
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env={**os.environ, **ONE_THREAD},
            )
        except OSError:
            self._errors.close()
            raise
        self._thread = threading.Thread(target=self._talk, args=(job,), daemon=True)
        self._thread.start()

    def score(self, number: int, path: Path) -> None:
        self.recording = number
        self._send(path)

    def stop(self) -> None:
        """Ends the process at once; it holds nothing that is not sent."""
        self._process.kill()
        self._process.wait()
        self._thread.join()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        self._errors.close()

    def last_words(self) -> str:
        """Why the process ended: its exit code and its last line on standard error."""
        self._process.kill()  # one that only stopped talking sense is of no more use
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return f"{how} ({lines[-1][:200]})" if lines else how

    def _send(self, message: object) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # a dead worker is noticed by the one who listens
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()

    def _talk(self, job: Job) -> None:
        """Sends what the worker starts with, then passes on what it says; None when it says no more."""
        try:
            self._send(_import_path())
            self._send(job)
            self._skip_to_greeting()
            while True:
                self._inbox.put((self, pickle.load(self._process.stdout)))  # type: ignore[arg-type]
        except Exception:  # the end, or nonsense, of which unpickling can make any exception
            self._inbox.put((self, None))

    def _skip_to_greeting(self) -> None:
        """What libraries print while Python starts comes before it."""
        assert self._process.stdout is not None
        tail = b""
        while tail != GREETING:
            byte = self._process.stdout.read(1)
            if not byte:
                raise EOFError
            tail = (tail + byte)[-len(GREETING) :]


def _import_path() -> list[str]:
    """Where a worker imports from: this package's own folder before all else, then as its parent does."""
    own = Path(__file__).absolute().parent.parent
    return [str(own), *(str(Path(entry).absolute()) for entry in sys.path)]
