"""What a figure was measured on, and whether the machine was left alone meanwhile."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import time
from pathlib import Path
from typing import Any

import onnxruntime

from runtime.cores import processor as processor  # others take it from here
from runtime.cores import usable_cores

PACKAGES = ("perch-onnx", "tensorflow", "onnx", "tf2onnx", "numpy", "soundfile", "soxr")
BUSY = 0.1
"""Above this share of the processors that others took, figures are said to be disturbed."""
GIB = 2**30


def environment() -> dict[str, Any]:
    """Date, machine and versions; what is not installed is left out."""
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
        "memory_gib": memory_gib(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }


def memory_gib() -> float | None:
    """Memory of the machine; None where the system does not tell."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB, 1)
    except (AttributeError, ValueError, OSError):
        return None


class Others:
    """How much of the processors others took while something was measured: programs of the machine and its host.

    What this process and its children took is not counted; children count once they have ended.
    """

    def __init__(self) -> None:
        self._begun = _taken()
        self._started = time.monotonic()

    def share(self) -> float | None:
        """Of all processors' time since this was made, 0 to 1; None where the system does not tell."""
        now = _taken()
        elapsed = (time.monotonic() - self._started) * (os.cpu_count() or 1)
        if now is None or self._begun is None:
            return None
        return min(1.0, max(0.0, (now - self._begun) / elapsed))


def _taken() -> float | None:
    """Processor seconds, since the machine's start, that all took but this process and its children."""
    try:
        first = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    except OSError:
        return None
    user, nice, system, _idle, _waiting, interrupt, soft_interrupt, stolen = map(int, first)
    all_s = (user + nice + system + interrupt + soft_interrupt + stolen) / os.sysconf("SC_CLK_TCK")
    return all_s - sum(os.times()[:4])
