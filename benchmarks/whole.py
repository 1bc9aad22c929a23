"""A whole run, from sound files to rows, in a process of its own, and what it and its workers use."""

from __future__ import annotations

import os
import pickle
import queue
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import Usage, Watch
from runtime import run_soundscapes
from runtime.child import Child, serve
from runtime.errors import PerchError


@dataclass(frozen=True)
class Plan:
    """What is run, without a sink."""

    recordings: tuple[Path, ...]
    artifact: Path
    outputs: tuple[str, ...]
    device: str
    workers: int
    batch_size: int


@dataclass(frozen=True)
class Whole:
    """What came of it. `cpu_s` is the workers' processor time from their start on, `None` where nothing tells it."""

    windows_per_s: float
    start_up_s: float
    elapsed_s: float
    parent: Usage | None
    workers: tuple[Usage, ...]

    @property
    def busy(self) -> float | None:
        """Processor time over time, of a worker: above 1 it has more threads at work than its one."""
        return sum(used.cpu_s for used in self.workers) / len(self.workers) / self.elapsed_s if self.workers else None


def run_whole(plan: Plan) -> Whole:
    """Runs a plan.

    Raises:
        PerchError: it cannot be run, or not all recordings can be read.
    """
    inbox: queue.SimpleQueue[tuple[Child, Any]] = queue.SimpleQueue()
    child = Child("benchmarks.whole", plan, inbox)
    try:
        _, answer = inbox.get()
        if isinstance(answer, Whole):
            return answer
        raise answer or PerchError(f"the process of a whole run {child.last_words()}")
    finally:
        child.stop()


def main() -> None:
    """Runs the plan that comes in, once."""
    receive, send = serve()
    plan: Plan = pickle.load(receive)
    with Watch(os.getpid()) as watch:
        try:
            result = run_soundscapes(
                plan.recordings,
                plan.artifact,
                outputs=plan.outputs,
                device=plan.device,
                workers=plan.workers,
                batch_size=plan.batch_size,
                progress=False,
            )
        except PerchError as error:
            send(error)
            return
    if result.failures:
        send(PerchError(f"{result.failures[0].path}: {result.failures[0].reason}"))
        return
    timing = result.timing
    send(
        Whole(
            windows_per_s=float(timing["windows_per_s"]),
            start_up_s=float(timing["start_up_s"]),
            elapsed_s=float(timing["elapsed_s"]),
            parent=watch.parent,
            workers=tuple(watch.workers.values()),
        )
    )
