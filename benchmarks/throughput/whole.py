"""A whole run, from sound files to rows, in a process of its own, and what it and its workers use."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import queue
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from benchmarks.measuring.processes import Usage, Watch
from runtime import run_soundscapes
from runtime.audio.recording import Recording
from runtime.errors import PerchError
from runtime.log import log
from runtime.model.artifact import Artifact
from runtime.model.profile import Setup
from runtime.model.session import Device
from runtime.workers.child import Child, serve


@dataclass(frozen=True)
class Plan:
    """What is run, without a sink. `watched` is whether memory and threads are looked at, which takes time."""

    recordings: tuple[Path, ...]
    artifact: Path
    outputs: tuple[str, ...]
    device: str
    setup: Setup
    watched: bool = False


@dataclass(frozen=True)
class Whole:
    """What came of it.

    `busy` is the workers' processor time over the time they were there, by worker and thread: above 1 they have more
    threads at work than they should; None where the system does not tell. `parent` and `workers` are what was seen, if
    somebody looked. `complaint` is what it warned of, such as a GPU's memory that ran out.
    """

    windows_per_s: float
    start_up_s: float
    busy: float | None
    parent: Usage | None
    workers: tuple[Usage, ...]
    complaint: str | None

    @property
    def memory(self) -> int | None:
        """Proportional memory of all processes together, each at its most; None if nobody looked."""
        return self.parent.pss + sum(worker.pss for worker in self.workers) if self.parent else None


def run_whole(plan: Plan) -> Whole:
    """Runs a plan.

    Raises:
        PerchError: it cannot be run, or not all recordings can be read.
    """
    inbox: queue.SimpleQueue[tuple[Child, Any]] = queue.SimpleQueue()
    child = Child("benchmarks.throughput.whole", plan, inbox)
    try:
        _, answer = inbox.get()
        if isinstance(answer, Whole):
            return answer
        raise answer or PerchError(f"the process of a whole run {child.last_words()}")
    finally:
        child.stop()


def enough(recordings: Sequence[Path], artifact: Artifact, windows: float, workers: int) -> tuple[Path, ...]:
    """The first recordings that have so many windows together, as many for each worker; all if they have fewer."""
    taken, count = 0, 0
    while taken < len(recordings) and (not taken or count < windows or taken % workers):
        recording = Recording(recordings[taken], artifact.sample_rate, artifact.window_samples)
        count += recording.promised_windows() or 0
        taken += 1
    return tuple(recordings[:taken])


class _Warnings(logging.Handler):
    """Keeps what a run warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def main() -> None:
    """Runs the plan that comes in, once."""
    receive, send = serve()
    plan: Plan = pickle.load(receive)
    watch, warned = Watch(os.getpid()), _Warnings()
    log.addHandler(warned)
    setup = plan.setup
    with watch if plan.watched else contextlib.nullcontext():
        try:
            result = run_soundscapes(
                plan.recordings,
                plan.artifact,
                outputs=plan.outputs,
                device=cast(Device, plan.device),
                workers=setup.workers,
                threads=setup.threads,
                batch_size=setup.batch_size,
                progress=False,
            )
        except PerchError as error:
            send(error)
            return
    if result.failures:
        send(PerchError(f"{result.failures[0].path}: {result.failures[0].reason}"))
        return
    timing = result.timing
    cpu_s = _cpu_of_children()
    complaints = [text for text in warned.texts if "memory" in text]
    send(
        Whole(
            windows_per_s=timing.windows_per_s,
            start_up_s=timing.start_up_s,
            busy=None if cpu_s is None else cpu_s / setup.workers / setup.threads / timing.elapsed_s,
            parent=watch.parent,
            workers=tuple(watch.workers.values()),
            complaint=complaints[0] if complaints else None,
        )
    )


def _cpu_of_children() -> float | None:
    """Processor seconds of all children that have ended."""
    if sys.platform == "win32":
        return None
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
