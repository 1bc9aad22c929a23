"""What was measured to be fastest on this machine, for runs to use: `perch-bench throughput` writes it.

A small JSON file in the user's cache folder, with an entry for each artifact and device. An entry holds for the machine
it was measured on: where processor, cores or ONNX Runtime are others it is as if it were not there. So is a file that
is damaged or cannot be read.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnxruntime as ort

from runtime.cores import processor, usable_cores
from runtime.errors import OutputError, reason
from runtime.files import replacing
from runtime.model import cuda

VARIABLE = "PERCH_ONNX_PROFILE"
"""Names another file than the one in the user's cache folder."""
MOST = 4096
"""Greater counts than this were not measured by anybody."""


@dataclass(frozen=True)
class Setup:
    """How much works at once: processes, threads that each of them computes with on the CPU, windows of one call."""

    workers: int
    threads: int
    batch_size: int

    def __str__(self) -> str:
        return f"workers {self.workers}, threads {self.threads}, batch {self.batch_size}"


@dataclass(frozen=True)
class Profile:
    """The fastest setup, how fast it was, and when that was measured."""

    setup: Setup
    windows_per_s: float
    date: str

    def __str__(self) -> str:
        return f"measured on this machine by perch-bench throughput on {self.date}"


def profile_path() -> Path:
    """Where profiles are kept."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    cache = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    return Path(cache or Path.home() / ".cache", "perch-onnx", "profile.json")


def read_profile(artifact_sha256: str, device: str) -> Profile | None:
    """This machine's profile of an artifact on "cpu" or "cuda:N", if there is one that holds."""
    try:
        entry = _entries()[artifact_sha256][device]
        if entry["machine"] != _machine(device):
            return None
        setup = Setup(**{name: int(count) for name, count in entry["setup"].items()})
        profile = Profile(setup, float(entry["windows_per_s"]), datetime.date.fromisoformat(entry["date"]).isoformat())
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    return profile if all(1 <= count <= MOST for count in asdict(setup).values()) else None


def write_profile(artifact_sha256: str, device: str, setup: Setup, windows_per_s: float) -> Path:
    """Keeps a setup as this machine's profile, beside those of other artifacts and devices; where it was written.

    Raises:
        OutputError: it cannot be written.
        InputError: its path is a folder's or a device's.
    """
    path = profile_path()
    entries = _entries()
    of_artifact = entries.get(artifact_sha256)
    entries[artifact_sha256] = {
        **(of_artifact if isinstance(of_artifact, dict) else {}),
        device: {
            "setup": asdict(setup),
            "windows_per_s": windows_per_s,
            "date": datetime.date.today().isoformat(),
            "machine": _machine(device),
        },
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {path} ({reason(error)}); name another file in {VARIABLE}") from None
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(entries, indent=1) + "\n")
    return path


def _entries() -> dict[str, Any]:
    """By artifact and device; none if the file is missing or damaged."""
    try:
        entries = json.loads(profile_path().read_text())
    except (OSError, ValueError, RecursionError, RuntimeError):  # RuntimeError: there is no home
        return {}
    return entries if isinstance(entries, dict) else {}


def _machine(device: str) -> Mapping[str, Any]:
    """What a profile was measured with."""
    gpus = [] if device == "cpu" else cuda.gpus()
    return {"processor": processor(), "cores": usable_cores(), "gpus": gpus, "onnxruntime": ort.__version__}
