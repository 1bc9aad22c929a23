"""Memory: what a process uses, and what is free."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from runtime.memory import free_in_container

RESERVE = 0.1
"""Share of the free memory that is left to other programs."""


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
    free, here = psutil.virtual_memory().available, free_in_container()
    return round((free if here is None else min(free, here)) * (1 - RESERVE))
