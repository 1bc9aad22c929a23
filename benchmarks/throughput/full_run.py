"""A full run, from sound files to rows, in a process of its own, and what it and its workers use."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import Any, cast

from benchmarks.measuring.usage import Usage, UsageMonitor
from runtime.audio.recording import Recording
from runtime.console.log import log
from runtime.errors import PerchError
from runtime.model.artifact import Artifact
from runtime.model.profile import Setup
from runtime.model.session import Device
from runtime.request.request import Request
from runtime.run import run_request
from runtime.workers.child import Child, serve
from runtime.workers.stages import SPARE_SLOTS, Stages


@dataclass(frozen=True)
class RunPlan:
    """What to run, without writing rows. `watched` says whether to look at memory and threads, which takes time;
    `staged` whether decoders and one scorer share the work on a CPU, too, as they do on a GPU.
    """

    recordings: tuple[Path, ...]
    artifact: Path
    outputs: tuple[str, ...]
    device: str
    setup: Setup
    watched: bool = False
    staged: bool = False


@dataclass(frozen=True)
class FullRun:
    """The figures of a run.

    `windows_per_s` is that of its last `windows`. Where decoders and a scorer share the work, those that were decoded
    while the scorer started do not count, unless there are no others.
    `busy` is the workers' processor time, over the time of the run and over their threads: above 1 more threads are at
    work than there should be. It is None on Windows. `parent` and `workers` are what was seen if the run was watched.
    `complaint` is a warning of the run about memory, such as that of a GPU that ran out.
    """

    windows_per_s: float
    windows: int
    start_up_s: float
    busy: float | None
    parent: Usage | None
    workers: tuple[Usage, ...]
    complaint: str | None

    @property
    def memory(self) -> int | None:
        """Bytes of all processes together, each at its greatest, shared pages counted once; None if not watched."""
        return self.parent.pss + sum(worker.pss for worker in self.workers) if self.parent else None


def time_full_run(plan: RunPlan) -> FullRun:
    """Runs a plan.

    Raises:
        PerchError: it cannot be run, or not all recordings can be read.
    """
    inbox: queue.SimpleQueue[tuple[Child, Any]] = queue.SimpleQueue()
    child = Child("benchmarks.throughput.full_run", plan, inbox)
    try:
        _, answer = inbox.get()
        if isinstance(answer, FullRun):
            return answer
        raise answer or PerchError(f"the process of a full run {child.last_words()}")
    finally:
        child.stop()


def recordings_for(windows: float, recordings: Sequence[Path], artifact: Artifact, workers: int) -> tuple[Path, ...]:
    """The first recordings that together hold this many windows, as many for each worker; all if they hold fewer."""
    taken, count = 0, 0
    while taken < len(recordings) and (not taken or count < windows or taken % workers):
        recording = Recording(recordings[taken], artifact.sample_rate, artifact.window_samples)
        count += recording.promised_windows() or 0
        taken += 1
    return tuple(recordings[:taken])


def lead(setup: Setup) -> int:
    """How many windows the decoders of a run can have ready before the scorer starts."""
    return (setup.workers + SPARE_SLOTS) * setup.batch_size


def steady_rate(came: Sequence[tuple[float, int]], lead: int) -> tuple[float, int] | None:
    """Windows/s after the first `lead`, and how many these are; None if there are none.

    `came` are times, and how many windows had been scored then.
    """
    later = [(at, windows) for at, windows in came if windows >= lead]
    if not later or later[0][1] == later[-1][1]:
        return None
    windows = later[-1][1] - later[0][1]
    return windows / (later[-1][0] - later[0][0]), windows


def main() -> None:
    """The process of a full run: receives a plan, runs it, sends its figures or the error."""
    receive, send = serve()
    plan: RunPlan = pickle.load(receive)
    try:
        send(_run(plan))
    except PerchError as error:
        send(error)


def _run(plan: RunPlan) -> FullRun:
    monitor, setup, came = UsageMonitor(os.getpid()), plan.setup, list[tuple[float, int]]()
    warnings = BufferingHandler(sys.maxsize)
    log.addHandler(warnings)
    with monitor if plan.watched else contextlib.nullcontext():
        request = Request(
            outputs=plan.outputs,
            device=cast(Device, plan.device),
            workers=setup.workers,
            threads=setup.threads,
            batch_size=setup.batch_size,
            progress=lambda progress: came.append((time.monotonic(), progress.windows)),
        )
        result = run_request(plan.recordings, plan.artifact, request, Stages if plan.staged else None)
    if result.failures:
        raise PerchError(f"{result.failures[0].path}: {result.failures[0].reason}")
    timing, times = result.timing, os.times()
    steady = steady_rate(came, lead(setup)) if plan.staged or plan.device != "cpu" else None
    windows_per_s, windows = steady or (timing.windows_per_s, timing.windows)
    cpu_s = times.children_user + times.children_system
    complaints = [text for each in warnings.buffer if "memory" in (text := each.getMessage())]
    return FullRun(
        windows_per_s=windows_per_s,
        windows=windows,
        start_up_s=timing.start_up_s,
        busy=None if sys.platform == "win32" else cpu_s / setup.workers / setup.threads / timing.elapsed_s,
        parent=monitor.parent,
        workers=tuple(monitor.workers.values()),
        complaint=complaints[0] if complaints else None,
    )
