"""Promises, and the runs that keep or break them."""

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
    """A promise that a run broke."""


def promise(kept: bool, text: str) -> None:
    """Prints whether a promise was kept; a broken one ends the case."""
    print(f"  {'kept' if kept else 'BROKEN'}: {text}", flush=True)
    if not kept:
        raise BrokenPromiseError(text)


def mib(size: float) -> str:
    """Bytes as text in MiB."""
    return f"{size / MIB:.0f} MiB"


def perch_run(source: Path, model: Path, target: Path, *options: str) -> subprocess.Popen[str]:
    """Starts perch-run in a process of its own."""
    command = [sys.executable, "-m", "runtime", source, "--model", model, "-o", target, "--quiet"]
    command += ["--workers", WORKERS, "--outputs", "embedding", *options]
    return subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True)


@dataclass(frozen=True)
class WatchedRun:
    """The time and the use of memory of a successful run."""

    seconds: float
    parent: Usage
    workers: list[Usage]


def watched_run(
    source: Path, model: Path, target: Path, look: Callable[[int], object] = lambda pid: None
) -> WatchedRun:
    """Runs perch-run and watches it; `look` is called with its process id every 0.2 s."""
    started = time.monotonic()
    process = perch_run(source, model, target)
    with UsageMonitor(process.pid, lambda: look(process.pid)) as watch:
        _, errors = process.communicate()
    promise(process.returncode == 0, f"perch-run ended with code {process.returncode} {errors.strip()}".strip())
    assert watch.parent is not None
    return WatchedRun(time.monotonic() - started, watch.parent, list(watch.workers.values()))
