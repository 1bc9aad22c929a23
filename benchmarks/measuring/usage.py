"""What processes use: memory, threads, processor time, open files."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

LOOK_EVERY_S = 0.2
CHILDREN_EVERY = 5
"""Children are listed at every fifth look, since psutil goes through all processes of the machine to find them."""
MIB = 2**20


@dataclass(frozen=True)
class Usage:
    """What one process uses, memory in bytes.

    `peak_rss` is the greatest resident memory so far. `pss` divides each shared page among the processes that share it;
    where the system does not tell (outside Linux) it is the resident memory. `private` is what no other process shares:
    the cost of one more process.
    """

    threads: int
    files: int
    cpu_s: float
    rss: int
    peak_rss: int
    pss: int
    private: int

    def of(self, processes: int) -> int:
        """The memory that this many such processes use together."""
        return self.pss + (processes - 1) * self.private

    def most(self, other: Usage) -> Usage:
        """The greater of each figure."""
        theirs = asdict(other)
        return Usage(**{name: max(value, theirs[name]) for name, value in asdict(self).items()})


def usage(pid: int) -> Usage | None:
    """What a process uses now; None if it has ended."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            memory, times = process.memory_full_info(), process.cpu_times()
            return Usage(
                threads=process.num_threads(),
                files=process.num_fds() if psutil.POSIX else process.num_handles(),
                cpu_s=times.user + times.system,
                rss=memory.rss,
                peak_rss=max(memory.rss, _peak_rss(pid)),
                pss=getattr(memory, "pss", memory.rss),
                private=memory.uss,
            )
    except psutil.Error:
        return None


def own_usage() -> Usage:
    """What this process uses now."""
    used = usage(os.getpid())
    assert used is not None
    return used


def _peak_rss(pid: int) -> int:
    """The kernel's own record, which psutil does not read; 0 outside Linux."""
    try:
        match = re.search(r"^VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(match.group(1)) * 1024 if match else 0


def children(pid: int) -> list[int]:
    """The running processes that a process has started."""
    try:
        return [child.pid for child in psutil.Process(pid).children() if alive(child.pid)]
    except psutil.NoSuchProcess:
        return []


def alive(pid: int) -> bool:
    """Whether a process is running; a zombie is not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


class UsageMonitor:
    """Looks at a process and its children every 0.2 s for as long as its `with` block runs.

    `parent` and `workers` (by process id) hold the greatest figures seen of each. `look` is called after every look.
    """

    def __init__(self, pid: int, look: Callable[[], object] = lambda: None) -> None:
        self.parent: Usage | None = None
        self.workers: dict[int, Usage] = {}
        self._pid, self._look = pid, look
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> UsageMonitor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        workers: list[int] = []
        looks = 0
        while not self._over.wait(LOOK_EVERY_S):
            if now := usage(self._pid):
                self.parent = now.most(self.parent) if self.parent else now
            if not workers or looks % CHILDREN_EVERY == 0:
                workers = children(self._pid)
            looks += 1
            for worker in workers:
                if now := usage(worker):
                    self.workers[worker] = now.most(self.workers[worker]) if worker in self.workers else now
            self._look()
