"""Memory: what a process uses, and what is free."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

RESERVE = 0.1
"""Share of the free memory that is left to other programs."""
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class MemoryUse:
    """Memory of one process in bytes: all of it, shared pages divided among their users, and what it does not share."""

    total: int
    private: int

    def of(self, processes: int) -> int:
        """What this many such processes use together."""
        return self.total + (processes - 1) * self.private


def own_memory() -> MemoryUse:
    """What this process uses; outside Linux, which alone divides shared pages, `total` is the resident memory."""
    used = psutil.Process().memory_full_info()
    return MemoryUse(getattr(used, "pss", used.rss), used.uss)


def available_memory() -> int:
    """Bytes that are free, within the limit of this container, less a reserve for other programs."""
    free = [psutil.virtual_memory().available]
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        if limit != "max":
            free.append(int(limit) - int((CGROUP / "memory.current").read_text()))
    except (OSError, ValueError):  # no container, or cgroups of another version
        pass
    return max(0, round(min(free) * (1 - RESERVE)))
