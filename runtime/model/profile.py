"""The fastest setup measured on this machine, which `perch-bench throughput` writes and runs use.

Profiles lie in a small JSON file in the user's cache folder, with an entry for each artifact and device. An entry is
ignored where processor, cores, GPUs or ONNX Runtime differ from those it was measured with; a file that is damaged or
cannot be read is ignored too.
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
"""The environment variable that names another file."""
MOST = 4096
"""Greater counts mean that the file is damaged."""


@dataclass(frozen=True)
class Setup:
    """How much runs at once: worker processes, CPU threads of each, and windows of one call."""

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
    """The file that holds the profiles."""
    # platformdirs would look elsewhere on macOS, and miss the profiles that exist.
    if named := os.environ.get(VARIABLE):
        return Path(named)
    cache = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    return Path(cache or Path.home() / ".cache", "perch-onnx", "profile.json")


def read_profile(artifact_sha256: str, device: str) -> Profile | None:
    """This machine's profile of an artifact on "cpu" or "cuda:N"; None if no profile applies."""
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
    """Stores a setup as this machine's profile of an artifact on a device; returns the file.

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
    """Entries by artifact and device; empty if the file is missing or damaged."""
    try:
        entries = json.loads(profile_path().read_text())
    except (OSError, ValueError, RecursionError, RuntimeError):  # RuntimeError: there is no home folder
        return {}
    return entries if isinstance(entries, dict) else {}


def _machine(device: str) -> Mapping[str, Any]:
    """What a profile depends on."""
    gpus = [] if device == "cpu" else cuda.gpus()
    return {"processor": processor(), "cores": usable_cores(), "gpus": gpus, "onnxruntime": ort.__version__}
