"""The steps of `perch-bench cuda`, in order: what later ones use or what matters most comes first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.cuda.step import Context, Step
from benchmarks.cuda.steps import agreement, ceiling, doctor, faults, files, memory, nodes, speed
from benchmarks.cuda.steps.faults import TRIES
from benchmarks.cuda.steps.filler import PATIENCE_S
from benchmarks.cuda.steps.runs import MOST_S


@dataclass(frozen=True)
class Timed:
    """A step, and how many seconds of six minutes it gets. What earlier steps leave is shared among later ones."""

    module: Step
    seconds: float
    by_tf32: bool = False
    """Whether it has a process for what it measures without TF32, and another for TF32."""
    silent_s: float = Context.silent_s
    """How long it may keep nothing."""
    anew: bool = False
    """Whether another call measures all of it again, and does not go on where an earlier one was cut short."""


STEPS: Mapping[str, Timed] = {
    "doctor": Timed(doctor, 60, anew=True),
    "ceiling": Timed(ceiling, 25, by_tf32=True, anew=True),
    "agreement": Timed(agreement, 50, by_tf32=True),
    "speed": Timed(speed, 125, by_tf32=True),
    "nodes": Timed(nodes, 30, by_tf32=True),
    "files": Timed(files, 50),
    "memory": Timed(memory, 20),
    "faults": Timed(faults, 40, silent_s=TRIES * MOST_S + PATIENCE_S, anew=True),
}
