"""Promises kept or broken, and the runs that they are about."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring.usage import MIB, Usage, UsageMonitor

WORKERS = 2


class BrokenPromiseError(Exception):
    """What a run did not keep to."""


def promise(kept: bool, text: str) -> None:
    """Prints what was found, and stops the case if that is not what was promised."""
    print(f"  {'kept' if kept else 'BROKEN'}: {text}", flush=True)
    if not kept:
        raise BrokenPromiseError(text)


def mib(size: float) -> str:
    """Bytes for people."""
    return f"{size / MIB:.0f} MiB"


def perch_run(source: Path, model: Path, target: Path, *options: str) -> subprocess.Popen[str]:
    """The command, in a process of its own."""
    command = [sys.executable, "-m", "runtime", source, "--model", model, "-o", target, "--quiet"]
    command += ["--workers", WORKERS, "--outputs", "embedding", *options]
    return subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True)


@dataclass(frozen=True)
class Watched:
    """What a run that went well used, and how long it took."""

    seconds: float
    parent: Usage
    workers: list[Usage]


def watched_run(source: Path, model: Path, target: Path, look: Callable[[int], object] = lambda pid: None) -> Watched:
    """A run under observation; `look` is called again and again with its process id."""
    started = time.monotonic()
    process = perch_run(source, model, target)
    with UsageMonitor(process.pid, lambda: look(process.pid)) as watch:
        _, errors = process.communicate()
    promise(process.returncode == 0, f"perch-run ended with code {process.returncode} {errors.strip()}".strip())
    assert watch.parent is not None
    return Watched(time.monotonic() - started, watch.parent, list(watch.workers.values()))
