"""Memory: what processes take together, and what there is for them."""

from __future__ import annotations

import argparse
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring.usage import usage

RESERVE = 0.1
"""Share of the memory that is free which is left to others."""
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
MEMINFO, CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Taken:
    """Bytes of one process: all, shared pages by share, and what one more of its kind would take."""

    whole: int
    private: int

    def of(self, processes: int) -> int:
        """What so many of its kind would take."""
        return self.whole + (processes - 1) * self.private


def own() -> Taken | None:
    """What this process takes: proportional on Linux, elsewhere the most that was resident; None on Windows."""
    if (used := usage(os.getpid())) is not None:
        return Taken(used.pss, used.private)
    if sys.platform == "win32":
        return None
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Taken(most, most)


def size(text: str) -> int:
    """`4GB`, `3.5GiB`, `800MB` or a number of bytes."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]I?B)?", text.strip().upper())
    if match is None or not float(match.group(1)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size of memory; write 4GB or 800MB")
    return int(float(match.group(1)) * UNITS[match.group(2) or ""])


def available() -> int | None:
    """Memory that is free here, within this container's limit, less a reserve; None where the system does not tell."""
    free = []
    try:
        found = re.search(r"^MemAvailable:\s*(\d+) kB", MEMINFO.read_text(), re.MULTILINE)
        free += [int(found.group(1)) * 1024] if found else []
        limit = (CGROUP / "memory.max").read_text().strip()
        if limit != "max":
            free.append(int(limit) - int((CGROUP / "memory.current").read_text()))
    except (OSError, ValueError):
        pass
    return max(0, round(min(free) * (1 - RESERVE))) if free else None
