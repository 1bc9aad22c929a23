"""The processor: its name, and how many of its cores this process may use."""

from __future__ import annotations

import os
import platform
from pathlib import Path

TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/{}"
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """Physical cores in this process's affinity mask, at most its container's CPU quota, rounded down.

    loky's `cpu_count` rounds the quota up and takes 0.2 s to import, in every worker.
    """
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = {(_read(cpu, "physical_package_id"), _read(cpu, "core_id")) for cpu in cpus}
    count = len(cpus) if (None, None) in cores else len(cores)
    return max(1, min(count, _quota() or count))


def processor() -> str:
    """The processor's name; the architecture where the system gives no name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _read(cpu: int, name: str) -> str | None:
    try:
        return Path(TOPOLOGY.format(cpu, name)).read_text().strip()
    except OSError:
        return None


def _quota() -> int | None:
    try:
        limit, period = QUOTA.read_text().split()
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(1, int(limit) // int(period))
