"""What is measured, in which order, and how much of it in the time that there is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from benchmarks.baseline import notebook
from benchmarks.deadline.contestants import ONNX, PUBLISHED, Contestant, PerchOnnx, TensorFlow
from benchmarks.deadline.projection import SOUNDSCAPES, Projection
from benchmarks.deadline.scaled import Outcome, Scarcity
from benchmarks.measuring.environment import Others
from benchmarks.measuring.timing import noise, take_turns
from runtime.cores import usable_cores
from runtime.progress import progress_bar

POLICIES: tuple[Literal["fill", "interpolate"], ...] = ("fill", "interpolate")
PILOT = 2
"""Soundscapes for each core in the run that warms up and tells how long others will take; rounds have no fewer."""
SURE = 0.9
"""Share of the time left that is planned for."""
TERMINATED = 0.1
"""Share of the budget that a notebook's four first calls may take, for it to be run under the scaled deadline."""


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    `budget_s` is for the whole command. A turn in a round takes about `onnx_s` or `tensorflow_s`, but one soundscape at
    least and, of TensorFlow, `tensorflow_files` at most. `scaled` soundscapes are scored under a scaled deadline, if it
    is not 0. `made` are made where there are none.
    """

    budget_s: float
    rounds: int
    onnx_s: float
    tensorflow_s: float
    tensorflow_files: int
    scaled: int
    made: int = SOUNDSCAPES


DEFAULT = Effort(budget_s=540, rounds=3, onnx_s=8, tensorflow_s=36, tensorflow_files=8, scaled=24)
DEMO = Effort(budget_s=180, rounds=3, onnx_s=2, tensorflow_s=20, tensorflow_files=4, scaled=0)
QUICK = Effort(budget_s=100, rounds=3, onnx_s=4, tensorflow_s=10, tensorflow_files=4, scaled=8, made=12)


@dataclass
class Found:
    """All that was measured.

    `start_ups` are perch-onnx's, of every run. `skipped` says why the notebook was not run under the scaled deadline,
    if it was not.
    """

    cores: int
    projections: dict[str, Projection] = field(default_factory=dict)
    files_a_round: dict[str, int] = field(default_factory=dict)
    first_calls: dict[str, dict[str, float]] = field(default_factory=dict)
    scaled_soundscapes: int = 0
    full_s: float = 0.0
    start_ups: list[float] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    skipped: str | None = None
    noise: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self, deadline_s: float) -> dict[str, Any]:
        """All of it, each side under its name."""
        ways = {name: projection.as_json(self.cores, deadline_s) for name, projection in self.projections.items()}
        for name, way in ways.items():
            way |= {"files_a_round": self.files_a_round[name], **self.first_calls.get(name, {})}
        scaled = {
            "soundscapes": self.scaled_soundscapes,
            "full_s": self.full_s,
            "outcomes": {name: outcome.as_json() for name, outcome in self.outcomes.items()},
            "skipped": self.skipped,
        }
        ways[ONNX]["start_ups_s"] = self.start_ups
        return {"cores": self.cores, "ways": ways, "scaled": scaled, "noise": self.noise}


class Measurement:
    """Measures perch-onnx and TensorFlow's ways on soundscapes.

    Args:
        perch, ways: who competes; `ways` may be none.
        paths: one-minute soundscapes.
        effort: how much of it.
        started: when the command began, on the monotonic clock.
    """

    def __init__(
        self, perch: PerchOnnx, ways: Mapping[str, TensorFlow], paths: Sequence[Path], effort: Effort, started: float
    ) -> None:
        self._perch, self._ways, self._paths, self._effort = perch, ways, paths, effort
        self._contestants: dict[str, Contestant] = {ONNX: perch, **ways}
        self._ends = started + effort.budget_s
        self._found = Found(usable_cores())

    def run(self) -> Found:
        """All of it."""
        found, effort, others = self._found, self._effort, Others()
        sides = len(self._contestants)
        steps = sides * (1 + effort.rounds) + (4 if effort.scaled else 0)
        with progress_bar(steps, desc="warm up") as bar:
            rate = self._warm_up(bar.update)
            self._plan(rate)
            bar.set_description("rounds")
            rounds = self._rounds(bar.update)
            if effort.scaled:
                bar.set_description("scaled deadline")
                self._scaled(bar.update)
        for name, values in rounds.items():
            found.projections[name] = Projection(self._contestants[name].start_up_s, values)
        for name in sorted(found.projections, key=lambda name: found.projections[name].total_s):
            self._whole(name)
        found.start_ups = self._perch.start_ups
        found.noise = noise(list(rounds.values()), others.share())
        return found

    def _left(self) -> float:
        return self._ends - time.monotonic()

    def _warm_up(self, done: Callable[[], object]) -> float:
        """Everybody once; perch-onnx's seconds a soundscape."""
        pilot = self._paths[: PILOT * self._found.cores]
        rate = self._perch.seconds(pilot) / len(pilot)
        done()
        for name, way in self._ways.items():
            way.warm_up()
            times = {"load_s": way.load_s, "first_call_s": way.first_call_s, "next_call_s": way.call_s}
            self._found.first_calls[name] = times
            done()
        return rate

    def _plan(self, rate: float) -> None:
        """How many soundscapes each gets in a round: of perch-onnx as many as fit, unless all will be measured."""
        effort, files, start_up_s = self._effort, self._found.files_a_round, self._perch.start_up_s
        for name, way in self._ways.items():
            files[name] = self._bounded(effort.tensorflow_s / way.call_s, 1, effort.tensorflow_files)
        tensorflow_s = effort.rounds * sum(files[name] * way.call_s for name, way in self._ways.items())
        scaled_s = 3 * (start_up_s + effort.scaled * rate) if effort.scaled else 0.0
        free = SURE * self._left() - tensorflow_s - scaled_s - (self._terminated_s if self._terminates else 0.0)
        least_s = effort.rounds * (start_up_s + effort.onnx_s)
        all_fit = len(self._paths) >= SOUNDSCAPES and least_s + start_up_s + SOUNDSCAPES * rate < free
        turn_s = effort.onnx_s if all_fit else max(effort.onnx_s, free / effort.rounds - start_up_s)
        files[ONNX] = self._bounded(turn_s / rate, PILOT * self._found.cores, SOUNDSCAPES)

    @property
    def _terminated_s(self) -> float:
        """What the notebook takes at least, whatever its TERMINATE_TIME: the first call of each thread."""
        return notebook.THREADS * self._ways[PUBLISHED].call_s

    @property
    def _terminates(self) -> bool:
        """Whether it is worth its time to run it under a scaled deadline."""
        return PUBLISHED in self._ways and self._terminated_s < TERMINATED * self._effort.budget_s

    def _bounded(self, count: float, least: int, most: int) -> int:
        return min(len(self._paths), most, max(least, int(count)))

    def _rounds(self, done: Callable[[], object]) -> dict[str, list[float]]:
        """Seconds a soundscape of each, a round after the other; each round has soundscapes of its own."""
        turns = {
            name: partial(self._turn, contestant.seconds, self._slices(self._found.files_a_round[name]))
            for name, contestant in self._contestants.items()
        }
        return take_turns(turns, self._effort.rounds, lambda _: done())

    def _turn(self, seconds: Callable[[Sequence[Path]], float], slices: Callable[[], Sequence[Path]]) -> float:
        paths = slices()
        return seconds(paths) / len(paths)

    def _slices(self, size: int) -> Callable[[], Sequence[Path]]:
        """The next so many soundscapes, from the start again after the last one."""
        starts = iter(range(0, 10**9, size))
        count = len(self._paths)

        def following() -> Sequence[Path]:
            start = next(starts)
            return [self._paths[i % count] for i in range(start, start + size)]

        return following

    def _scaled(self, done: Callable[[], object]) -> None:
        found, paths = self._found, self._paths[: self._effort.scaled]
        scarcity = Scarcity(self._perch, paths)
        found.scaled_soundscapes, found.full_s = len(paths), scarcity.full_s
        done()
        for policy in POLICIES:
            found.outcomes[f"{ONNX}, {policy}"] = scarcity.run(policy)
            done()
        if self._terminates:
            found.outcomes[f"{PUBLISHED}, TERMINATE_TIME"] = scarcity.run_notebook(self._ways[PUBLISHED])
        elif PUBLISHED in self._ways:
            found.skipped = f"{PUBLISHED} was not run under it: its first four calls, side by side, take too long here"
        done()

    def _whole(self, name: str) -> None:
        """Measures all soundscapes, where they are there and the time is."""
        projected = self._found.projections[name]
        if len(self._paths) < SOUNDSCAPES or projected.total_s > SURE * self._left():
            return
        paths = self._paths[:SOUNDSCAPES]
        if name == ONNX:
            whole_s = self._perch.run(paths, progress=True).timing.elapsed_s
        else:
            whole_s = self._ways[name].start_up_s + self._ways[name].seconds(paths)
        self._found.projections[name] = Projection(projected.start_up_s, projected.rounds, whole_s)
