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
from typing import Self

from benchmarks.measuring.usage import children


class Watch:
    """Calls a function every 20 ms for as long as its `with` block runs."""

    def __init__(self, look: Callable[[], object]) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(look,))

    def _run(self, look: Callable[[], object]) -> None:
        while not self._over.wait(0.02):
            with contextlib.suppress(OSError):  # what is looked at may be gone
                look()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


class Killer(Watch):
    """Kills up to `times` child processes with SIGKILL, each as soon as a condition on its process id holds."""

    def __init__(self, condition: Callable[[int], bool], times: int = 1) -> None:
        super().__init__(self._look)
        self.killed: list[int] = []
        self._condition, self._times = condition, times

    def _look(self) -> None:
        for pid in children(os.getpid()):
            if len(self.killed) < self._times and pid not in self.killed and self._condition(pid):
                os.kill(pid, 9)
                self.killed.append(pid)


class perch_run:  # noqa: N801 (reads as the command it is)
    """perch-run in a process of its own, which is killed at the end of the `with` block."""

    def __init__(self, folder: Path, model: Path, target: Path, *options: str) -> None:
        command = [sys.executable, "-m", "runtime", str(folder), "--model", str(model), "-o", str(target), *options]
        paths = os.pathsep.join(sys.path)
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
        )

    def __enter__(self) -> subprocess.Popen[str]:
        return self.process

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def until(condition: Callable[[], object], seconds: float = 600.0) -> object:
    """Waits until a condition is true; returns its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError("the condition was not true in time")


def open_files(pid: int) -> list[str]:
    try:
        return [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return []
