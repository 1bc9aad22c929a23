"""Where the time goes: every step alone, and full runs, at the best setup and with one worker.

Steps are timed, not estimated: as many processes as a run has workers do nothing but decode, or nothing but the
backbone. Each round measures every one of them once.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from benchmarks.throughput.figures import Breakdown, FileFigures
from benchmarks.throughput.full_run import RunPlan, lead, recordings_for, time_full_run
from benchmarks.throughput.sweep import Conditions
from benchmarks.throughput.workers import WorkerConfig, Workers, Workload
from benchmarks.throughput.writing import formats, seconds_a_row
from runtime.console.progress import progress_bar
from runtime.errors import InputError

READING: tuple[Workload, ...] = ("decode", "windows", "resample_48k")


def measure_breakdowns(file: FileFigures, conditions: Conditions, floor: Path | None) -> None:
    """Fills in a file's breakdowns and the cost of writing. `floor` is another file, whose backbone is the floor.

    Raises:
        PerchError: a process cannot be started, or ended; or the floor's backbone cannot be found.
    """
    best = file.best.setup
    file.breakdowns = [Breakdown(setup) for setup in dict.fromkeys([replace(best, workers=1), best])]
    rounds = conditions.effort.part_rounds
    with (
        _floors(file, floor) as floors,
        progress_bar(rounds * len(file.breakdowns), desc="steps and full runs") as bar,
    ):
        begun = time.monotonic()
        for number in range(rounds):
            started = time.monotonic()
            for breakdown in file.breakdowns[:: -1 if number % 2 else 1]:
                _time_steps(file, breakdown, conditions, floors)
                breakdown.runs.append(time_full_run(_plan(file, breakdown, conditions, watched=number == 0)))
                bar.update()
            for ending in formats(file.artifact, file.outputs):
                rate = 1 / seconds_a_row(file.artifact, file.outputs, ending)
                file.writing.setdefault(ending, []).append(rate)
            now = time.monotonic()
            if now + (now - started) > begun + conditions.effort.parts_s:
                break


def _time_steps(
    file: FileFigures, breakdown: Breakdown, conditions: Conditions, floors: Mapping[Workload, Path]
) -> None:
    setup = breakdown.setup
    embedding: tuple[Workload, ...] = ("embedding",) if "backbone" in floors and len(file.outputs) > 1 else ()
    computing: tuple[Workload, ...] = (*floors, *embedding, "graph")
    config = WorkerConfig(file.path, conditions.device, setup.threads, conditions.recordings, floors)
    with Workers(config, setup.workers) as processes:
        for workload in (*READING, *computing):
            # On a GPU all processes decode, but a single one computes.
            count = setup.workers if conditions.device == "cpu" or workload in READING else 1
            breakdown.processes[workload] = count
            processes.work(workload, count, setup.batch_size, 0.0)
            rate, _ = processes.work(workload, count, setup.batch_size, conditions.effort.slice_s)
            breakdown.rates.setdefault(workload, []).append(rate)


def _plan(file: FileFigures, breakdown: Breakdown, conditions: Conditions, watched: bool) -> RunPlan:
    """A full run that takes about `whole_s`."""
    setup = breakdown.setup
    windows = min(breakdown.rates["graph"][0], breakdown.rates["windows"][0]) * conditions.effort.whole_s
    if conditions.device != "cpu":
        windows += lead(setup)
    recordings = recordings_for(windows, conditions.recordings, file.artifact, setup.workers)
    return RunPlan(recordings, file.path, file.outputs, conditions.device, setup, watched)


@contextlib.contextmanager
def _floors(file: FileFigures, floor: Path | None) -> Iterator[dict[Workload, Path]]:
    """Backbones as temporary files: the file's own, if it can be found, and that of `floor`."""
    from benchmarks.throughput.backbone import cut_backbone  # imports onnx, for which --help need not wait

    with tempfile.TemporaryDirectory(prefix="perch-bench-") as folder:
        floors: dict[Workload, Path] = {}
        try:
            own = cut_backbone(file.path)
            floors["backbone"] = Path(folder, "backbone.onnx")
            floors["backbone"].write_bytes(own)
        except InputError as error:
            file.no_floor = str(error)
        if floor is not None:
            floors["floor"] = Path(folder, "floor.onnx")
            floors["floor"].write_bytes(cut_backbone(floor))
        yield floors
