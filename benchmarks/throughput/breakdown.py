"""Where the time goes: every piece of the way alone, and the whole way, at the best setup and at one worker.

Pieces are run, not estimated: as many processes as a run has workers do nothing but decode, or nothing but the
backbone. In each round all have their turn.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from benchmarks.throughput.figures import Measurements, Parts
from benchmarks.throughput.full_run import Plan, enough, run_whole
from benchmarks.throughput.sweep import Bench
from benchmarks.throughput.workers import Crew, Equipment, Piece
from benchmarks.throughput.writing import formats, seconds_a_row
from runtime.errors import InputError
from runtime.progress import progress_bar

READING: tuple[Piece, ...] = ("decode", "windows", "resample_48k")


def measure_parts(found: Measurements, bench: Bench, floor: Path | None) -> None:
    """Fills in a file's parts and what writing costs. `floor` is another file, whose backbone is the floor.

    Raises:
        PerchError: a process cannot be started, or ended; or the floor's backbone cannot be told.
    """
    best = found.best.setup
    found.parts = [Parts(setup) for setup in dict.fromkeys([replace(best, workers=1), best])]
    rounds = bench.effort.part_rounds
    with (
        _floors(found, floor) as floors,
        progress_bar(rounds * len(found.parts), desc="stages and whole runs") as bar,
    ):
        begun = time.monotonic()
        for number in range(rounds):
            started = time.monotonic()
            for parts in found.parts[:: -1 if number % 2 else 1]:
                _pieces(found, parts, bench, floors)
                parts.runs.append(run_whole(_plan(found, parts, bench, watched=number == 0)))
                bar.update()
            for ending in formats(found.artifact, found.outputs):
                rate = 1 / seconds_a_row(found.artifact, found.outputs, ending)
                found.writing.setdefault(ending, []).append(rate)
            now = time.monotonic()
            if now + (now - started) > begun + bench.effort.parts_s:
                break


def _pieces(found: Measurements, parts: Parts, bench: Bench, floors: Mapping[Piece, Path]) -> None:
    setup = parts.setup
    heads: tuple[Piece, ...] = ("embedding",) if "backbone" in floors and len(found.outputs) > 1 else ()
    on_graph: tuple[Piece, ...] = (*floors, *heads, "graph")
    equipment = Equipment(found.path, bench.device, setup.threads, bench.recordings, floors)
    with Crew(equipment, setup.workers) as crew:
        for piece in (*READING, *on_graph):
            # For a GPU many decode, and one process computes.
            count = setup.workers if bench.device == "cpu" or piece in READING else 1
            parts.processes[piece] = count
            crew.work(piece, count, setup.batch_size, 0.0)
            rate, _ = crew.work(piece, count, setup.batch_size, bench.effort.slice_s)
            parts.rates.setdefault(piece, []).append(rate)


def _plan(found: Measurements, parts: Parts, bench: Bench, watched: bool) -> Plan:
    """A whole run that takes about as long as is wanted."""
    setup = parts.setup
    rate = min(parts.rates["graph"][0], parts.rates["windows"][0])
    recordings = enough(bench.recordings, found.artifact, rate * bench.effort.whole_s, setup.workers)
    return Plan(recordings, found.path, found.outputs, bench.device, setup, watched)


@contextlib.contextmanager
def _floors(found: Measurements, floor: Path | None) -> Iterator[dict[Piece, Path]]:
    """The backbones as files, while they are needed: the file's own, if it can be told, and another's."""
    from benchmarks.throughput.backbone import backbone  # imports onnx, for which --help need not wait

    with tempfile.TemporaryDirectory(prefix="perch-bench-") as folder:
        floors: dict[Piece, Path] = {}
        try:
            own = backbone(found.path)
            floors["backbone"] = Path(folder, "backbone.onnx")
            floors["backbone"].write_bytes(own)
        except InputError as error:
            found.no_floor = str(error)
        if floor is not None:
            floors["floor"] = Path(folder, "floor.onnx")
            floors["floor"].write_bytes(backbone(floor))
        yield floors
