"""Timing of calls that return when the device is done."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

MOST = 2000


def seconds_each(run: Callable[[], object], lasting_s: float) -> list[float]:
    """How long each call takes, repeated for so long, at least once. The caller has warmed up."""
    taken: list[float] = []
    until = time.perf_counter() + lasting_s
    while not taken or (time.perf_counter() < until and len(taken) < MOST):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return taken


def seconds(run: Callable[[], object], lasting_s: float) -> float:
    """The median of `seconds_each`."""
    return statistics.median(seconds_each(run, lasting_s))


def first_s(run: Callable[[], object]) -> float:
    """How long one call takes: the first, which also chooses kernels and allocates."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
