"""Where figures were measured, and whether the machine did other work meanwhile."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import time
from typing import Any

import onnxruntime
import psutil

from runtime.cores import processor, usable_cores

PACKAGES = ("perch-onnx", "tensorflow", "onnx", "tf2onnx", "numpy", "soundfile", "soxr")
BUSY = ("user", "nice", "system", "irq", "softirq", "steal")
"""Processor times other than idle ones, as far as the system reports them; those of guests are part of `user`."""
GIB = 2**30


def environment() -> dict[str, Any]:
    """Date, machine and versions; packages that are not installed are left out."""
    versions = {"onnxruntime": onnxruntime.__version__}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "cores": usable_cores(),
        "memory_gib": round(psutil.virtual_memory().total / GIB, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }


class OtherLoad:
    """The share of the processors that other programs, and other machines on the same host, took during a measurement.

    The time of this process and its children is not counted, that of a child only once it has ended.
    """

    def __init__(self) -> None:
        self._before_s = _others_s()
        self._started = time.monotonic()

    def share(self) -> float:
        """Of the time of all processors since this object was made, 0 to 1."""
        elapsed_s = (time.monotonic() - self._started) * (os.cpu_count() or 1)
        return min(1.0, max(0.0, (_others_s() - self._before_s) / elapsed_s))


def _others_s() -> float:
    """Processor seconds since the machine started, less those of this process and of its children that have ended."""
    times = psutil.cpu_times()
    return sum(getattr(times, name, 0.0) for name in BUSY) - sum(os.times()[:4])
