"""The whole benchmark: what is measured, in which order, and how much of it fits into the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Literal

from benchmarks.baseline import notebook
from benchmarks.deadline.contestants import ONNX, PUBLISHED, Contestant, PerchOnnx, TensorFlow
from benchmarks.deadline.projection import SOUNDSCAPES, TimeProjection
from benchmarks.deadline.short_deadline import ShortDeadline, ShortDeadlineResult
from benchmarks.measuring.environment import OtherLoad
from benchmarks.measuring.timing import noise, take_turns
from runtime.console.progress import progress_bar
from runtime.cores import usable_cores

POLICIES: tuple[Literal["fill", "interpolate"], ...] = ("fill", "interpolate")
PILOT = 2
"""Soundscapes for each core in the first run, which warms up and shows how long others take; rounds have no fewer."""
PLANNED = 0.9
"""Share of the time left that plans may use."""
FIRST_CALLS = 0.1
"""The notebook is run under the short deadline only if its first four calls take less than this share of the budget."""


@dataclass(frozen=True)
class Budget:
    """How much to measure.

    `total_s` is for the whole command. One side's part of a round takes about `onnx_s` or `tensorflow_s`, but is at
    least one soundscape and, for TensorFlow, at most `tensorflow_files`. `short_deadline` is how many soundscapes are
    scored under a short deadline, 0 for none. `made` is how many synthetic ones to make if the user has none.
    """

    total_s: float
    rounds: int
    onnx_s: float
    tensorflow_s: float
    tensorflow_files: int
    short_deadline: int
    made: int = SOUNDSCAPES


DEFAULT = Budget(total_s=540, rounds=3, onnx_s=8, tensorflow_s=36, tensorflow_files=8, short_deadline=24)
DEMO = Budget(total_s=240, rounds=5, onnx_s=3, tensorflow_s=18, tensorflow_files=4, short_deadline=0)
QUICK = Budget(total_s=100, rounds=3, onnx_s=4, tensorflow_s=10, tensorflow_files=4, short_deadline=8, made=12)


@dataclass
class DeadlineFigures:
    """All that was measured, by side.

    `start_ups` are those of every run of perch-onnx. `full_s` is a run without a deadline of the soundscapes that the
    `results` under a short deadline are about. `skipped` says why the notebook was not run under it, if it was not.
    """

    cores: int
    projections: dict[str, TimeProjection] = field(default_factory=dict)
    files_a_round: dict[str, int] = field(default_factory=dict)
    first_calls: dict[str, dict[str, float]] = field(default_factory=dict)
    short_deadline_soundscapes: int = 0
    full_s: float = 0.0
    start_ups: list[float] = field(default_factory=list)
    results: dict[str, ShortDeadlineResult] = field(default_factory=dict)
    skipped: str | None = None
    noise: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self, deadline_s: float) -> dict[str, Any]:
        """All figures, those of each side under its name."""
        ways = {name: projection.as_json(self.cores, deadline_s) for name, projection in self.projections.items()}
        for name, way in ways.items():
            way |= {"files_a_round": self.files_a_round[name], **self.first_calls.get(name, {})}
        short_deadline = {
            "soundscapes": self.short_deadline_soundscapes,
            "full_s": self.full_s,
            "outcomes": {name: result.as_json() for name, result in self.results.items()},
            "skipped": self.skipped,
        }
        ways[ONNX]["start_ups_s"] = self.start_ups
        return {"cores": self.cores, "ways": ways, "scaled": short_deadline, "noise": self.noise}


class DeadlineBenchmark:
    """Measures perch-onnx and TensorFlow's ways on soundscapes.

    Args:
        perch, ways: the contestants; `ways` of calling TensorFlow may be empty.
        paths: one-minute soundscapes.
        budget: how much to measure.
        started: when the command began, on the monotonic clock.
    """

    def __init__(
        self, perch: PerchOnnx, ways: Mapping[str, TensorFlow], paths: Sequence[Path], budget: Budget, started: float
    ) -> None:
        self._perch, self._ways, self._paths, self._budget = perch, ways, paths, budget
        self._contestants: dict[str, Contestant] = {ONNX: perch, **ways}
        self._ends = started + budget.total_s
        self._figures = DeadlineFigures(usable_cores())

    def run(self) -> DeadlineFigures:
        """Measures everything."""
        figures, budget, load = self._figures, self._budget, OtherLoad()
        sides = len(self._contestants)
        steps = sides * (1 + budget.rounds) + (4 if budget.short_deadline else 0)
        with progress_bar(steps, desc="warm up") as bar:
            rate = self._warm_up(bar.update)
            self._plan(rate)
            bar.set_description("rounds")
            rounds = self._rounds(bar.update)
            if budget.short_deadline:
                bar.set_description("short deadline")
                self._short_deadline(bar.update)
        for name, values in rounds.items():
            figures.projections[name] = TimeProjection(self._contestants[name].start_up_s, values)
        for name in sorted(figures.projections, key=lambda name: figures.projections[name].total_s):
            self._measure_all(name)
        figures.start_ups = self._perch.start_ups
        figures.noise = noise(list(rounds.values()), load.share())
        return figures

    def _left(self) -> float:
        return self._ends - time.monotonic()

    def _warm_up(self, done: Callable[[], object]) -> float:
        """Runs each side once; returns the seconds a soundscape of perch-onnx."""
        pilot = self._paths[: PILOT * self._figures.cores]
        rate = self._perch.seconds(pilot) / len(pilot)
        done()
        for name, way in self._ways.items():
            way.warm_up()
            times = {"load_s": way.load_s, "first_call_s": way.first_call_s, "next_call_s": way.call_s}
            self._figures.first_calls[name] = times
            done()
        return rate

    def _plan(self, rate: float) -> None:
        """Chooses how many soundscapes a round has: for perch-onnx as many as fit, unless all are measured later."""
        budget, files, start_up_s = self._budget, self._figures.files_a_round, self._perch.start_up_s
        for name, way in self._ways.items():
            files[name] = self._bounded(budget.tensorflow_s / way.call_s, 1, budget.tensorflow_files)
        tensorflow_s = budget.rounds * sum(files[name] * way.call_s for name, way in self._ways.items())
        short_s = 3 * (start_up_s + budget.short_deadline * rate) if budget.short_deadline else 0.0
        free = PLANNED * self._left() - tensorflow_s - short_s - (self._terminated_s if self._terminates else 0.0)
        least_s = budget.rounds * (start_up_s + budget.onnx_s)
        all_fit = len(self._paths) >= SOUNDSCAPES and least_s + start_up_s + SOUNDSCAPES * rate < free
        turn_s = budget.onnx_s if all_fit else max(budget.onnx_s, free / budget.rounds - start_up_s)
        files[ONNX] = self._bounded(turn_s / rate, PILOT * self._figures.cores, SOUNDSCAPES)

    @property
    def _terminated_s(self) -> float:
        """The least time of a notebook, whatever its TERMINATE_TIME: the first call of each thread."""
        return notebook.THREADS * self._ways[PUBLISHED].call_s

    @property
    def _terminates(self) -> bool:
        """Whether to run the notebook under the short deadline."""
        return PUBLISHED in self._ways and self._terminated_s < FIRST_CALLS * self._budget.total_s

    def _bounded(self, count: float, least: int, most: int) -> int:
        return min(len(self._paths), most, max(least, int(count)))

    def _rounds(self, done: Callable[[], object]) -> dict[str, list[float]]:
        """Seconds a soundscape of each side, round by round; each round takes other soundscapes."""
        turns = {
            name: partial(self._turn, contestant.seconds, cycle(self._paths), self._figures.files_a_round[name])
            for name, contestant in self._contestants.items()
        }
        return take_turns(turns, self._budget.rounds, lambda _: done())

    @staticmethod
    def _turn(seconds: Callable[[Sequence[Path]], float], soundscapes: Iterator[Path], count: int) -> float:
        """Seconds a soundscape of the next `count` ones."""
        return seconds(list(islice(soundscapes, count))) / count

    def _short_deadline(self, done: Callable[[], object]) -> None:
        figures, paths = self._figures, self._paths[: self._budget.short_deadline]
        short = ShortDeadline(self._perch, paths)
        figures.short_deadline_soundscapes, figures.full_s = len(paths), short.full_s
        done()
        for policy in POLICIES:
            figures.results[f"{ONNX}, {policy}"] = short.run(policy)
            done()
        if self._terminates:
            figures.results[f"{PUBLISHED}, TERMINATE_TIME"] = short.run_notebook(self._ways[PUBLISHED])
        elif PUBLISHED in self._ways:
            figures.skipped = (
                f"{PUBLISHED} was not run under it: its first four calls, at the same time, take too long here"
            )
        done()

    def _measure_all(self, name: str) -> None:
        """Measures all 700 soundscapes instead of projecting them, if there are so many and time is left."""
        projected = self._figures.projections[name]
        if len(self._paths) < SOUNDSCAPES or projected.total_s > PLANNED * self._left():
            return
        paths = self._paths[:SOUNDSCAPES]
        if name == ONNX:
            measured_s = self._perch.run(paths, progress=True).timing.elapsed_s
        else:
            measured_s = self._ways[name].start_up_s + self._ways[name].seconds(paths)
        self._figures.projections[name] = TimeProjection(projected.start_up_s, projected.rounds, measured_s)
