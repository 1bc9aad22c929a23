"""The figures of a file: what was measured, and what follows from it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

from benchmarks.measuring.timing import figure
from benchmarks.measuring.usage import Usage
from benchmarks.throughput.full_run import FullRun
from benchmarks.throughput.workers import Workload
from benchmarks.throughput.writing import Format
from runtime.errors import InputError
from runtime.model.artifact import Artifact
from runtime.model.profile import Setup


@dataclass
class Configuration:
    """A setup with its windows/s of each round, from sound files to outputs, and the bytes that a run of it uses.

    `note` says why it was not measured, or not in all rounds, or cannot be used. Only a `usable` one can be the best.
    """

    setup: Setup
    rates: list[float] = field(default_factory=list)
    memory: int | None = None
    note: str | None = None
    usable: bool = True

    @property
    def rate(self) -> float:
        """The median; 0 if it was not measured."""
        return statistics.median(self.rates) if self.rates else 0.0


@dataclass
class Breakdown:
    """Where the time goes at one setup.

    `rates` are windows/s of each workload alone, round by round, and `processes` how many processes did it at the same
    time. `runs` are full runs, of which the first is watched.
    """

    setup: Setup
    rates: dict[Workload, list[float]] = field(default_factory=dict)
    processes: dict[Workload, int] = field(default_factory=dict)
    runs: list[FullRun] = field(default_factory=list)

    @property
    def run_rates(self) -> list[float]:
        """Windows/s of the full runs."""
        return [run.windows_per_s for run in self.runs]

    @property
    def run_rate(self) -> float:
        """The median of the full runs."""
        return statistics.median(self.run_rates)

    def rate(self, workload: Workload) -> float:
        """The median of a workload."""
        return statistics.median(self.rates[workload])

    def stages(self) -> dict[str, float]:
        """Seconds that one process takes for a window, by stage, while all processes are at work.

        A stage that cannot be run alone is a difference of medians; below zero it is lost in the noise. Where the
        backbone cannot be found, the whole graph is one stage.
        """
        seconds = {workload: self.processes[workload] / self.rate(workload) for workload in self.rates}
        stages = {"decode": seconds["decode"], "resample": seconds["windows"] - seconds["decode"]}
        if "backbone" not in seconds:
            return {**stages, "graph": seconds["graph"]}
        embedding = seconds.get("embedding", seconds["graph"])
        stages |= {"frontend": embedding - seconds["backbone"], "backbone": seconds["backbone"]}
        return {**stages, "head": seconds["graph"] - embedding} if "embedding" in seconds else stages

    def ratios(self) -> dict[str, float]:
        """Times divided by the floor's, and a full run's divided by those of reading and of the graph together."""
        floor: Workload = "floor" if "floor" in self.rates else "backbone"
        compared: tuple[Workload, ...] = ("embedding", "graph") if floor in self.rates else ()
        ratios = {f"{name}_over_floor": self.rate(floor) / self.rate(name) for name in compared if name in self.rates}
        apart = 1 / self.rate("graph") + 1 / self.rate("windows")
        return {**ratios, "run_over_graph_and_reading": 1 / self.run_rate / apart}

    def used(self) -> dict[str, Any]:
        """What full runs used; for the workers, the greatest of each figure."""
        watched, busy = self.runs[0], [run.busy for run in self.runs if run.busy is not None]
        return {
            "start_up_s": statistics.median(run.start_up_s for run in self.runs),
            "busy": statistics.median(busy) if busy else None,
            "memory_bytes": watched.memory,
            "parent": asdict(watched.parent) if watched.parent else None,
            "worker": asdict(reduce(Usage.most, watched.workers)) if watched.workers else None,
        }

    def as_json(self) -> dict[str, Any]:
        """All figures of the setup."""
        return {
            "setup": asdict(self.setup),
            "stages_s_a_window": self.stages(),
            "pieces_windows_per_s": {workload: figure(values) for workload, values in self.rates.items()},
            "run_windows_per_s": figure(self.run_rates),
            "ratios": self.ratios(),
            "processes": self.used(),
        }


@dataclass
class FileFigures:
    """All figures of a file. `no_floor` says why its backbone cannot be found, if it cannot."""

    path: Path
    artifact: Artifact
    outputs: tuple[str, ...]
    configurations: list[Configuration]
    no_floor: str | None = None
    breakdowns: list[Breakdown] = field(default_factory=list)
    writing: dict[Format, list[float]] = field(default_factory=dict)

    @property
    def ranking(self) -> list[Configuration]:
        """Configurations, the fastest first; those without a measurement come last."""
        return sorted(self.configurations, key=lambda each: -each.rate)

    @property
    def best(self) -> Configuration:
        """The fastest usable configuration.

        Raises:
            InputError: none is usable.
        """
        for each in self.ranking:
            if each.usable:
                return each
        least = min(each.memory or 0 for each in self.configurations)
        raise InputError(f"no setup of {self.path} fits into --memory; the smallest needs {least / 10**9:.2f} GB")

    @property
    def precision(self) -> str:
        """The file's precision, and its head's where that differs."""
        options = self.artifact.options
        precision, head = options.get("precision", "float32"), options.get("head", "float32")
        return f"{precision}, head {head}" if head != "float32" else str(precision)

    def rounds(self) -> Iterator[list[float]]:
        """The rounds of everything that was measured more than once."""
        every = [each.rates for each in self.configurations]
        for breakdown in self.breakdowns:
            every += [*breakdown.rates.values(), breakdown.run_rates]
        yield from (values for values in [*every, *self.writing.values()] if len(values) > 1)

    def as_json(self) -> dict[str, Any]:
        """All figures of the file."""
        window_s, best = self.artifact.window_s, self.best
        unmeasured: dict[str, Any] = {"median": None, "spread": None, "values": []}
        return {
            "file": str(self.path),
            "artifact_sha256": self.artifact.artifact_sha256,
            "model_family": self.artifact.family,
            "precision": self.precision,
            "outputs": self.outputs,
            "configurations": [
                {
                    "rank": rank if each.rates else None,
                    **asdict(each.setup),
                    "windows_per_s": figure(each.rates) if each.rates else unmeasured,
                    "times_real_time": each.rate * window_s if each.rates else None,
                    "memory_bytes": each.memory,
                    "usable": each.usable,
                    "note": each.note,
                }
                for rank, each in enumerate(self.ranking, 1)
            ],
            "best": {**asdict(best.setup), "windows_per_s": best.rate, "memory_bytes": best.memory},
            "parts": [breakdown.as_json() for breakdown in self.breakdowns],
            "write_rows_per_s": {ending: figure(values) for ending, values in self.writing.items()},
            "no_floor": self.no_floor,
        }
