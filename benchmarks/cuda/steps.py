"""The steps of `perch-bench cuda`, in order: what later ones use or what matters most comes first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.cuda import agreement, ceiling, doctor, faults, files, memory, nodes, speed
from benchmarks.cuda.step import Step


@dataclass(frozen=True)
class Timed:
    """A step, and how many seconds of six minutes it gets. What earlier steps leave is shared among later ones."""

    module: Step
    seconds: float


STEPS: Mapping[str, Timed] = {
    "doctor": Timed(doctor, 15),
    "ceiling": Timed(ceiling, 20),
    "agreement": Timed(agreement, 45),
    "speed": Timed(speed, 140),
    "nodes": Timed(nodes, 30),
    "files": Timed(files, 50),
    "memory": Timed(memory, 20),
    "faults": Timed(faults, 40),
}
