"""How many windows a second, and where the time goes: every piece of the way alone, and the whole way.

Pieces are run, not estimated: as many processes as a run has workers do nothing but decode, or nothing but the
backbone. In each round every combination has its turn, every other round in the opposite order, so that a machine that
slows down slows all of them.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.throughput.crew import OUTPUTS, Crew, Equipment, Piece
from benchmarks.throughput.floor import backbone
from benchmarks.throughput.measurements import GRAPHS, READING, Key, Measurements
from benchmarks.throughput.whole import Plan, run_whole
from benchmarks.throughput.writing import seconds_a_row
from runtime.artifact import Artifact, read_artifact
from runtime.errors import InputError
from runtime.progress import progress_bar


@dataclass(frozen=True)
class Effort:
    """How much is measured. `slice_s` is how long a piece is worked on in a round."""

    workers: tuple[int, ...]
    batch_sizes: tuple[int, ...]
    rounds: int
    slice_s: float


def measure(
    path: Path, recordings: Sequence[Path], device: str, effort: Effort, floor: Path | None = None
) -> Measurements:
    """Measures a converted file.

    Args:
        path: the file, with the heads `label` and `embedding`.
        recordings: sound files.
        device: "cpu" or "cuda:N".
        effort: how much of it.
        floor: another converted file, whose backbone is the floor; the file's own if None.

    Raises:
        PerchError: a file cannot be used, or a process cannot be started.
    """
    artifact = read_artifact(path)
    _check(artifact, path, effort)
    found = Measurements(artifact, effort.workers, effort.batch_sizes, floor is None)
    plan = Plan(tuple(recordings), path, OUTPUTS["scores"], device, 1, found.run_batch_size)
    with (
        _floors(path, floor) as floors,
        Crew(Equipment(path, floors, device, tuple(recordings)), max(effort.workers)) as crew,
    ):
        _rounds(_Bench(found, crew, plan, effort.slice_s), list(_keys(found)), effort.rounds)
    return found


@dataclass(frozen=True)
class _Bench:
    """Where measurements are made, and where they go."""

    found: Measurements
    crew: Crew
    plan: Plan
    slice_s: float

    def warm_up(self, key: Key) -> None:
        """A first time, which does not count; of a whole run it is the one that is watched."""
        if key.what == "run":
            self.found.watched[key.workers] = run_whole(replace(self.plan, workers=key.workers, watched=True))
        elif key.what != "csv" and key.what != "parquet":
            self.crew.windows_per_s(key.what, key.workers, key.batch_size, 0.0)

    def measure(self, key: Key) -> None:
        """Adds a rate."""
        if key.what == "run":
            whole = run_whole(replace(self.plan, workers=key.workers))
            self.found.runs.setdefault(key.workers, []).append(whole)
            rate = whole.windows_per_s
        elif key.what == "csv" or key.what == "parquet":
            rate = 1 / seconds_a_row(self.found.artifact, key.what)
        else:
            rate = self.crew.windows_per_s(key.what, key.workers, key.batch_size, self.slice_s)
        self.found.rates.setdefault(key, []).append(rate)


def _rounds(bench: _Bench, keys: list[Key], rounds: int) -> None:
    with progress_bar((rounds + 1) * len(keys), desc="warm up") as bar:
        for key in keys:
            bench.warm_up(key)
            bar.update()
        for turn in range(rounds):
            for key in keys[:: -1 if turn % 2 else 1]:
                bar.set_description(f"{key.what}, {key.workers} at once")
                bench.measure(key)
                bar.update()


def _keys(found: Measurements) -> Iterator[Key]:
    """All combinations, those that are compared with each other side by side."""
    graphs: tuple[Piece, ...] = GRAPHS if found.own_floor else ("floor", *GRAPHS)
    for workers in found.workers:
        for size in found.batch_sizes:
            yield from (Key(graph, workers, size) for graph in graphs)
            if size == found.run_batch_size:
                yield Key("run", workers, size)
                yield from (Key(piece, workers) for piece in READING)
    yield Key("csv")
    yield Key("parquet")


def _check(artifact: Artifact, path: Path, effort: Effort) -> None:
    for name in OUTPUTS["scores"]:
        artifact.head(name)
    if not artifact.free_batch and effort.batch_sizes != (1,):
        raise InputError(f"{path} takes one window at a time; measure it with --batch-sizes 1")


@contextlib.contextmanager
def _floors(path: Path, floor: Path | None) -> Iterator[dict[Piece, Path]]:
    """The backbones as files, while they are needed."""
    sources: list[tuple[Piece, Path]] = [("backbone", path)]
    if floor is not None:
        sources.append(("floor", floor))
    with tempfile.TemporaryDirectory() as folder:
        floors: dict[Piece, Path] = {}
        for piece, source in sources:
            floors[piece] = Path(folder, f"{piece}.onnx")
            floors[piece].write_bytes(backbone(source))
        yield floors
