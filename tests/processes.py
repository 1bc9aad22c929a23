"""Processes in tests: watched, killed, waited for."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path


class Killer:
    """Kills child processes with SIGKILL as soon as a condition on their pid holds, a number of times."""

    def __init__(self, condition: Callable[[int], bool], times: int = 1) -> None:
        self.killed: list[int] = []
        self._condition, self._times = condition, times
        self._thread = threading.Thread(target=self._watch)
        self._over = threading.Event()

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while len(self.killed) < self._times and not self._over.wait(0.02):
            for pid in children_of(os.getpid()):
                if pid not in self.killed and self._condition(pid):
                    os.kill(pid, 9)
                    self.killed.append(pid)
                    break


class Watch:
    """Looks again and again while something goes on."""

    def __init__(self, look: Callable[[], object]) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(look,))

    def _run(self, look: Callable[[], object]) -> None:
        while not self._over.wait(0.05):
            with contextlib.suppress(OSError):  # what is looked at may be gone
                look()

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


class perch_run:  # noqa: N801 (reads as the command it is)
    """The command in a process of its own, ended in any case."""

    def __init__(self, folder: Path, model: Path, target: Path, *options: str) -> None:
        command = [sys.executable, "-m", "runtime", str(folder), "--model", str(model), "-o", str(target), *options]
        paths = os.pathsep.join([*sys.path])
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
        )

    def __enter__(self) -> subprocess.Popen[str]:
        return self.process

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def until(condition: Callable[[], object], seconds: float = 60.0) -> object:
    """What a condition gives once it holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("did not come about in time")


def children_of(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def open_files(pid: int) -> list[str]:
    try:
        return [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
