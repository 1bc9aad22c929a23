"""What processes use, as Linux tells it: memory, threads, processor time, open files."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

LOOK_EVERY_S = 0.2
MIB = 2**20


@dataclass(frozen=True)
class Usage:
    """What one process uses, memory in bytes.

    `peak_rss` is the most that was resident so far; `pss` counts shared pages by share; `private` are those that no
    other process has, which is what one more process costs.
    """

    threads: int
    files: int
    cpu_s: float
    rss: int
    peak_rss: int
    pss: int
    private: int

    def most(self, other: Usage) -> Usage:
        """The greater of each."""
        theirs = asdict(other)
        return Usage(**{name: max(value, theirs[name]) for name, value in asdict(self).items()})


def usage(pid: int) -> Usage | None:
    """What a process uses now; None if it is gone."""
    folder = Path(f"/proc/{pid}")
    try:
        status, maps = (folder / "status").read_text(), (folder / "smaps_rollup").read_text()
        stat = (folder / "stat").read_text().rpartition(")")[2].split()
        files = len(os.listdir(folder / "fd"))
    except OSError:
        return None
    if "VmRSS" not in status or "Pss:" not in maps:  # a zombie
        return None
    return Usage(
        threads=_number(status, "Threads"),
        files=files,
        cpu_s=(int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK"),
        rss=_number(status, "VmRSS") * 1024,
        peak_rss=_number(status, "VmHWM") * 1024,
        pss=_number(maps, "Pss") * 1024,
        private=(_number(maps, "Private_Clean") + _number(maps, "Private_Dirty")) * 1024,
    )


def children(pid: int) -> list[int]:
    """The processes that a process started and that are alive, those of all its threads."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            found += map(int, (task / "children").read_text().split())
        except OSError:  # it ended meanwhile
            continue
    return [child for child in found if alive(child)]


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Watch:
    """Looks again and again at a process and its children while something goes on.

    `parent` and `workers` (by process id) hold the most that was seen of each. `look` is called after every look.
    """

    def __init__(self, pid: int, look: Callable[[], object] = lambda: None) -> None:
        self.parent: Usage | None = None
        self.workers: dict[int, Usage] = {}
        self._pid, self._look = pid, look
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            if now := usage(self._pid):
                self.parent = now.most(self.parent) if self.parent else now
            for worker in children(self._pid):
                if now := usage(worker):
                    self.workers[worker] = now.most(self.workers[worker]) if worker in self.workers else now
            self._look()


def _number(text: str, name: str) -> int:
    match = re.search(rf"^{name}:\s*(\d+)", text, re.MULTILINE)
    return int(match.group(1)) if match else 0
