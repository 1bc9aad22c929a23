"""How many workers and threads a run uses, in what batches, and why."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from runtime.cores import usable_cores
from runtime.model.artifact import Artifact
from runtime.model.ensemble import members_of
from runtime.model.profile import Setup, read_profile
from runtime.request.request import Request

CPU_BATCH = 2
"""Small batches stay in a core's cache."""
WINDOW_BYTES, MOST_BATCH = 48 * 2**20, 128
"""Memory that one window is assumed to need on a GPU (three times that of its activations on the CPU), and the
largest useful batch: larger ones are no faster."""
ASK = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from runtime.model.cuda import loading
from runtime.model.cuda_calls import free_bytes
with loading():
    print(free_bytes(sys.argv[2]))
"""
ASK_S = 60.0


def default_batch(artifact: Artifact, device: str) -> int:
    """How many windows are computed at once on "cpu" or "cuda:N". Several models share a GPU's memory.

    A graph that takes one window at a time would be called for each window of a batch, padding included.
    """
    if not artifact.free_batch:
        return 1
    return CPU_BATCH if device == "cpu" else gpu_batch(device, len(members_of(artifact)))


def gpu_batch(device: str, models: int) -> int:
    """A batch that fits in half of the free memory for each of so many models; 32 where that is unknown.

    A process of its own asks the card: whoever asks holds some hundred MB of it until the process ends.
    """
    command = [sys.executable, "-P", "-c", ASK, json.dumps(sys.path), device]
    try:
        asked = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=ASK_S, check=True)
        free = int(asked.stdout.split()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return 32
    room = free // 2 // models // WINDOW_BYTES
    return max(1, min(MOST_BATCH, 1 << max(0, room.bit_length() - 1)))


def choose_setup(
    artifact: Artifact, device: str, request: Request, unfinished: Mapping[str, Any] | None = None
) -> tuple[Setup, str]:
    """The workers, threads and batch for "cpu" or "cuda:N", and the reason for this choice.

    This machine's profile was measured as a whole and is used as a whole: if the request names any of the three, the
    others are chosen as if there were no profile. Rows depend on threads and batch, so a run that resumes an
    `unfinished` one takes both from its journal unless the request names them.
    """
    named = {name: getattr(request, name) for name in ("workers", "threads", "batch_size")}
    named = {name: count for name, count in named.items() if count is not None}
    profile = None if named or unfinished else read_profile(artifact.base_sha256, device)
    if profile is not None:
        return profile.setup, str(profile)
    before = unfinished or {}
    kept = {name: count for name in ("threads", "batch_size") if type(count := before.get(name)) is int and count > 0}
    taken = kept | named
    on_cpu = device == "cpu"
    threads = taken.get("threads", 1)
    setup = Setup(
        workers=taken.get("workers") or max(1, usable_cores() // (threads if on_cpu else 1)),
        threads=threads,
        batch_size=taken.get("batch_size") or default_batch(artifact, device),
    )
    why = "as in the run that is resumed" if kept.keys() - named.keys() else "as asked" if named else "default"
    return setup, why
