"""What was measured of a file, and what follows from it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

from benchmarks.measuring.timing import figure
from benchmarks.measuring.usage import Usage
from benchmarks.throughput.full_run import Whole
from benchmarks.throughput.workers import Piece
from benchmarks.throughput.writing import Format
from runtime.errors import InputError
from runtime.model.artifact import Artifact
from runtime.model.profile import Setup


@dataclass
class Configuration:
    """A setup from sound files to outputs: windows a second of each round, and memory of all processes of a run.

    `out` is why it was not measured, or not in all rounds, or cannot be used; `usable` whether it can be the best.
    """

    setup: Setup
    rates: list[float] = field(default_factory=list)
    memory: int | None = None
    out: str | None = None
    usable: bool = True

    @property
    def rate(self) -> float:
        """The median; 0 if there is none."""
        return statistics.median(self.rates) if self.rates else 0.0


@dataclass
class Parts:
    """Pieces of the way alone at one setup, windows a second of each round; and whole runs, the first of them watched.

    `processes` is how many did each piece at once.
    """

    setup: Setup
    rates: dict[Piece, list[float]] = field(default_factory=dict)
    processes: dict[Piece, int] = field(default_factory=dict)
    runs: list[Whole] = field(default_factory=list)

    @property
    def run_rates(self) -> list[float]:
        """Of the whole runs."""
        return [run.windows_per_s for run in self.runs]

    @property
    def run_rate(self) -> float:
        """The whole runs' median."""
        return statistics.median(self.run_rates)

    def rate(self, piece: Piece) -> float:
        """A piece's median."""
        return statistics.median(self.rates[piece])

    def stages(self) -> dict[str, float]:
        """Seconds that one process takes for a window, stage by stage, while all are at work.

        Those that cannot be run alone are differences of medians: below zero means lost in the noise. Where the
        backbone cannot be told, the graph is one stage.
        """
        seconds = {piece: self.processes[piece] / self.rate(piece) for piece in self.rates}
        stages = {"decode": seconds["decode"], "resample": seconds["windows"] - seconds["decode"]}
        if "backbone" not in seconds:
            return {**stages, "graph": seconds["graph"]}
        embedding = seconds.get("embedding", seconds["graph"])
        stages |= {"frontend": embedding - seconds["backbone"], "backbone": seconds["backbone"]}
        return {**stages, "head": seconds["graph"] - embedding} if "embedding" in seconds else stages

    def ratios(self) -> dict[str, float]:
        """Times over the floor's, and of whole runs over that of their parts one after the other."""
        floor: Piece = "floor" if "floor" in self.rates else "backbone"
        over: tuple[Piece, ...] = ("embedding", "graph") if floor in self.rates else ()
        ratios = {f"{piece}_over_floor": self.rate(floor) / self.rate(piece) for piece in over if piece in self.rates}
        parts = 1 / self.rate("graph") + 1 / self.rate("windows")
        return {**ratios, "run_over_graph_and_reading": 1 / self.run_rate / parts}

    def used(self) -> dict[str, Any]:
        """What whole runs used; of the workers the one that used most."""
        watched, busy = self.runs[0], [run.busy for run in self.runs if run.busy is not None]
        return {
            "start_up_s": statistics.median(run.start_up_s for run in self.runs),
            "busy": statistics.median(busy) if busy else None,
            "memory_bytes": watched.memory,
            "parent": asdict(watched.parent) if watched.parent else None,
            "worker": asdict(reduce(Usage.most, watched.workers)) if watched.workers else None,
        }

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "setup": asdict(self.setup),
            "stages_s_a_window": self.stages(),
            "pieces_windows_per_s": {piece: figure(values) for piece, values in self.rates.items()},
            "run_windows_per_s": figure(self.run_rates),
            "ratios": self.ratios(),
            "processes": self.used(),
        }


@dataclass
class Measurements:
    """All of a file. `no_floor` is why its backbone cannot be told, if it cannot."""

    path: Path
    artifact: Artifact
    outputs: tuple[str, ...]
    configurations: list[Configuration]
    no_floor: str | None = None
    parts: list[Parts] = field(default_factory=list)
    writing: dict[Format, list[float]] = field(default_factory=dict)

    @property
    def ranking(self) -> list[Configuration]:
        """The fastest first; last those that were not measured."""
        return sorted(self.configurations, key=lambda each: -each.rate)

    @property
    def best(self) -> Configuration:
        """The fastest that can be used.

        Raises:
            InputError: none can.
        """
        for each in self.ranking:
            if each.usable:
                return each
        least = min(each.memory or 0 for each in self.configurations)
        raise InputError(f"no setup of {self.path} fits into --memory; the smallest takes {least / 10**9:.2f} GB")

    @property
    def precision(self) -> str:
        """Of the file, and of its head where that is another."""
        options = self.artifact.options
        whole, head = options.get("precision", "float32"), options.get("head", "float32")
        return f"{whole}, head {head}" if head != "float32" else str(whole)

    def values(self) -> Iterator[list[float]]:
        """The rounds of all that was measured in more than one."""
        every = [each.rates for each in self.configurations]
        for parts in self.parts:
            every += [*parts.rates.values(), parts.run_rates]
        yield from (values for values in [*every, *self.writing.values()] if len(values) > 1)

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        window_s, ranks = self.artifact.window_s, {}
        for rank, each in enumerate(self.ranking, 1):
            rates = figure(each.rates) if each.rates else {"median": None, "spread": None, "values": []}
            ranks[rank] = {
                "rank": rank if each.rates else None,
                **asdict(each.setup),
                "windows_per_s": rates,
                "times_real_time": each.rate * window_s if each.rates else None,
                "memory_bytes": each.memory,
                "usable": each.usable,
                "note": each.out,
            }
        return {
            "file": str(self.path),
            "artifact_sha256": self.artifact.artifact_sha256,
            "model_family": self.artifact.family,
            "precision": self.precision,
            "outputs": self.outputs,
            "configurations": list(ranks.values()),
            "best": {**asdict(self.best.setup), "windows_per_s": self.best.rate, "memory_bytes": self.best.memory},
            "parts": [parts.as_json() for parts in self.parts],
            "write_rows_per_s": {ending: figure(values) for ending, values in self.writing.items()},
            "no_floor": self.no_floor,
        }
