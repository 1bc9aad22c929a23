"""Windows a second of every combination that was measured, and what follows from them."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from functools import reduce
from typing import Any, Literal

from benchmarks.processes import Usage
from benchmarks.throughput.crew import Piece
from benchmarks.throughput.whole import Whole
from benchmarks.throughput.writing import Format
from runtime.artifact import Artifact

What = Piece | Format | Literal["run"]
"""A piece of the way alone; the whole way; writing its rows."""
GRAPHS: tuple[Piece, ...] = ("backbone", "embedding", "scores")
READING: tuple[Piece, ...] = ("decode", "windows", "resample_48k")
RUN_BATCH_SIZE = 2
"""Of whole runs, and of what they are compared with: what a run takes on the CPU unless told otherwise."""


@dataclass(frozen=True)
class Key:
    """What a measurement is of. `batch_size` is 0 where there are no batches."""

    what: What
    workers: int = 1
    batch_size: int = 0


@dataclass
class Measurements:
    """Rates, a value a round; and by number of workers the whole runs that were timed and the one that was watched.

    `own_floor` is whether the floor is the artifact's own backbone.
    """

    artifact: Artifact
    workers: tuple[int, ...]
    batch_sizes: tuple[int, ...]
    own_floor: bool
    rates: dict[Key, list[float]] = field(default_factory=dict)
    runs: dict[int, list[Whole]] = field(default_factory=dict)
    watched: dict[int, Whole] = field(default_factory=dict)

    @property
    def run_batch_size(self) -> int:
        """`RUN_BATCH_SIZE`, unless that was not measured."""
        return RUN_BATCH_SIZE if RUN_BATCH_SIZE in self.batch_sizes else self.batch_sizes[0]

    def rate(self, what: What, workers: int = 1, batch_size: int | None = None) -> float:
        """The median, in windows a second; at the whole runs' batch size if there is one and it is not given."""
        sizes = (batch_size,) if batch_size is not None else (0, self.run_batch_size)
        (key,) = (key for size in sizes if (key := Key(what, workers, size)) in self.rates)
        return statistics.median(self.rates[key])

    def spread(self, key: Key) -> float:
        """Greatest over least rate."""
        return max(self.rates[key]) / min(self.rates[key])

    @property
    def noise(self) -> float:
        """The median of all spreads."""
        return statistics.median(map(self.spread, self.rates))

    def stages(self, workers: int) -> dict[str, float]:
        """Seconds that one process takes for a window, stage by stage, while `workers` are at work.

        Those that cannot be run alone are differences of medians: below zero means lost in the noise.
        """
        seconds = {what: workers / self.rate(what, workers) for what in (*GRAPHS, "decode", "windows")}
        return {
            "decode": seconds["decode"],
            "resample": seconds["windows"] - seconds["decode"],
            "frontend": seconds["embedding"] - seconds["backbone"],
            "backbone": seconds["backbone"],
            "head": seconds["scores"] - seconds["embedding"],
        }

    def over_floor(self, piece: Piece, workers: int) -> float:
        """How many times the floor's time a graph takes."""
        return self.rate("backbone" if self.own_floor else "floor", workers) / self.rate(piece, workers)

    def over_parts(self, workers: int) -> float:
        """How many times as long a whole run takes as the graph alone and reading alone, one after the other."""
        parts = 1 / self.rate("scores", workers) + 1 / self.rate("windows", workers)
        return 1 / self.rate("run", workers) / parts

    def scaling(self, what: What, workers: int) -> float:
        """How many times as fast it is as with the fewest workers that were measured."""
        return self.rate(what, workers) / self.rate(what, min(self.workers))

    @property
    def best(self) -> Key:
        """The fastest combination of workers and batch size for embeddings and scores."""
        return max(
            (key for key in self.rates if key.what == "scores"), key=lambda key: statistics.median(self.rates[key])
        )

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        rates = [
            {
                **asdict(key),
                "windows_per_s": (median := statistics.median(values)),
                "times_real_time": median * self.artifact.window_s,
                "spread": self.spread(key),
            }
            for key, values in self.rates.items()
        ]
        return {
            "rates": rates,
            "stages_s_a_window": {workers: self.stages(workers) for workers in self.workers},
            "write_s_a_row": {ending: 1 / self.rate(ending) for ending in ("csv", "parquet")},
            "ratios": {workers: self._ratios(workers) for workers in self.workers},
            "processes": {workers: self.processes(workers) for workers in self.workers},
            "best": asdict(self.best),
            "noise": self.noise,
        }

    def _ratios(self, workers: int) -> dict[str, float]:
        return {
            "embedding_over_floor": self.over_floor("embedding", workers),
            "scores_over_floor": self.over_floor("scores", workers),
            "run_over_graph_and_reading": self.over_parts(workers),
            "graph_scaling": self.scaling("scores", workers),
            "run_scaling": self.scaling("run", workers),
            "run_over_graph_scaling": self.scaling("run", workers) / self.scaling("scores", workers),
        }

    def processes(self, workers: int) -> dict[str, Any]:
        """What whole runs used; of the workers the one that used most."""
        runs, watched = self.runs[workers], self.watched[workers]
        busy = [run.busy for run in runs if run.busy is not None]
        return {
            "start_up_s": statistics.median(run.start_up_s for run in runs),
            "busy": statistics.median(busy) if busy else None,
            "parent": asdict(watched.parent) if watched.parent else None,
            "worker": asdict(reduce(Usage.most, watched.workers)) if watched.workers else None,
        }
