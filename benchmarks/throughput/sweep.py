"""The sweep: times every setup of every file, from sound files to outputs, in rounds that measure each once.

Processes are started anew in every round, so that there are never more of them than one setup needs. The first round
also measures memory, small setups before large ones, and drops setups that are far slower than the best. Rounds then
go on while there is time.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from benchmarks.measuring.usage import Usage
from benchmarks.throughput.figures import Configuration, FileFigures
from benchmarks.throughput.full_run import RunPlan, lead, recordings_for, time_full_run
from benchmarks.throughput.workers import WorkerConfig, Workers
from convert.proof.synthetic import write_soundscape
from runtime.console.progress import progress_bar

KEPT, FAR_SLOWER = 10, 0.75
"""After the first round the ten fastest setups stay, and others whose rate is above this share of the fastest."""
MOST_ROUNDS, OVERTIME = 7, 1.8
LONG_SLICES = 2.0
"""A batch that takes more slices of time than this needs no warm-up: the cost of the first one is lost in it."""
LEAST_WINDOWS = 48
"""Windows of each decoder in a full run on a GPU, at least."""


@dataclass(frozen=True)
class Effort:
    """How much to measure.

    The sweep takes `rounds` or, if that is None, as many as fit into `sweep_s` for each file; up to 1.8 times that long
    if there would otherwise be fewer than `least_rounds`. A workload is repeated for `slice_s` in each round. Then
    follow `part_rounds` of single steps and full runs, fewer if they take longer than `parts_s`. A full run takes about
    `whole_s`.
    """

    rounds: int | None
    least_rounds: int
    sweep_s: float
    slice_s: float
    part_rounds: int
    parts_s: float
    whole_s: float


DEFAULT = Effort(rounds=None, least_rounds=3, sweep_s=180.0, slice_s=1.0, part_rounds=3, parts_s=150.0, whole_s=8.0)
QUICK = Effort(rounds=None, least_rounds=2, sweep_s=30.0, slice_s=0.5, part_rounds=1, parts_s=0.0, whole_s=3.0)


@dataclass(frozen=True)
class Conditions:
    """What is the same for all files. `memory_limit` is what a run may use, in bytes."""

    recordings: tuple[Path, ...]
    device: str
    memory_limit: int
    effort: Effort


def sweep(files: Sequence[FileFigures], conditions: Conditions) -> None:
    """Measures the files' configurations and fills them in.

    Raises:
        PerchError: a process cannot be started, or ended; or the recordings cannot be read.
    """
    effort = conditions.effort
    sweepers = [_Sweeper(file, conditions) for file in files]
    begun, number = time.monotonic(), 0
    total = sum(len(file.configurations) for file in files)
    with progress_bar(total * (effort.rounds or effort.least_rounds), desc="round 1") as bar:
        while number < (effort.rounds or MOST_ROUNDS):
            started = time.monotonic()
            for sweeper in sweepers[:: -1 if number % 2 else 1]:
                for group in sweeper.groups()[:: -1 if number % 2 else 1]:
                    sweeper.measure(group, number)
                    bar.update(len(group))
            number += 1
            if number == 1:
                for sweeper in sweepers:
                    sweeper.drop_slow()
            now = time.monotonic()
            limit_s = effort.sweep_s * len(files) * (1.0 if number >= effort.least_rounds else OVERTIME)
            if effort.rounds is None and now + (now - started) > begun + limit_s:
                break
            left = sum(len(group) for sweeper in sweepers for group in sweeper.groups())
            bar.total = int(bar.n) + left * max(1, (effort.rounds or effort.least_rounds) - number)
            bar.set_description(f"round {number + 1}")


class _Sweeper:
    """The sweep of one file."""

    def __init__(self, file: FileFigures, conditions: Conditions) -> None:
        self._file, self._conditions = file, conditions
        self._parent = 0
        self._alone: dict[int, Usage] = {}
        """What a single worker uses, by batch size."""

    def groups(self) -> list[list[Configuration]]:
        """The configurations still measured: on the CPU grouped by the processes that serve them, else one by one."""
        measured = [each for each in self._file.configurations if each.note is None]
        if self._conditions.device != "cpu":
            return [[each] for each in measured]
        return [list(group) for _, group in groupby(measured, lambda each: (each.setup.workers, each.setup.threads))]

    def measure(self, group: list[Configuration], number: int) -> None:
        """Measures a group in the round of this number."""
        if self._conditions.device != "cpu":
            self._full_run(group[0])
        elif number == 0:
            self._first(group)
        else:
            self._again(group[:: -1 if number % 2 else 1])

    def drop_slow(self) -> None:
        """Drops the configurations that are far slower than the best."""
        ranking = [each for each in self._file.ranking if each.rates]
        for each in ranking[KEPT:]:
            if each.rate < FAR_SLOWER * ranking[0].rate:
                each.note = each.note or "far slower: one round"

    def _full_run(self, each: Configuration) -> None:
        """On a GPU, whose decoders and single scorer work side by side, only a full run tells the rate."""
        conditions, file = self._conditions, self._file
        rate = max(other.rate for other in file.configurations)
        windows = lead(each.setup) + max(rate * conditions.effort.slice_s, LEAST_WINDOWS * each.setup.workers)
        recordings = recordings_for(windows, conditions.recordings, file.artifact, each.setup.workers)
        plan = RunPlan(recordings, file.path, file.outputs, conditions.device, each.setup, watched=not each.rates)
        run = time_full_run(plan)
        each.rates.append(run.windows_per_s)
        if run.complaint is not None:
            each.note, each.usable = run.complaint, False
        elif run.memory is not None:
            self._fits(each, run.memory)

    def _first(self, group: list[Configuration]) -> None:
        """The first round. Small batches and few workers come first, so that the memory of more can be foreseen."""
        setup = group[0].setup
        candidates = [each for each in group if self._may_fit(each)]
        if not candidates:
            return
        if not self._parent:
            self._parent = self._parent_memory()
        with self._start(setup.workers, setup.threads) as processes:
            for each in candidates:
                used = self._time(processes, each)
                if setup.workers == 1:
                    self._alone.setdefault(each.setup.batch_size, used[0])
                if not self._fits(each, self._parent + sum(worker.pss for worker in used)):
                    break
        for each in candidates:
            if not each.rates:
                each.note, each.usable = "not measured: a smaller batch is over the memory limit", False

    def _again(self, group: list[Configuration]) -> None:
        setup = group[0].setup
        with self._start(setup.workers, setup.threads) as processes:
            for each in group:
                self._time(processes, each)

    def _time(self, processes: Workers, each: Configuration) -> list[Usage]:
        """Measures a rate, warm; returns what each process uses."""
        workers, size = each.setup.workers, each.setup.batch_size
        slice_s, fastest = self._conditions.effort.slice_s, self._file.ranking[0].rate
        if not fastest or workers * size / fastest < LONG_SLICES * slice_s:
            processes.work("rows", workers, size, 0.0, short=True)
        rate, used = processes.work("rows", workers, size, slice_s)
        each.rates.append(rate)
        return used

    def _start(self, workers: int, threads: int) -> Workers:
        conditions = self._conditions
        return Workers(WorkerConfig(self._file.path, conditions.device, threads, conditions.recordings, {}), workers)

    def _parent_memory(self) -> int:
        """Bytes that the parent process of a run uses; 0 if the run was over before it could be looked at."""
        conditions, file = self._conditions, self._file
        with tempfile.TemporaryDirectory(prefix="perch-bench-") as folder:
            recording = Path(folder, "one.wav")
            write_soundscape(recording, 0, 5.0)
            setup = file.configurations[0].setup
            plan = RunPlan((recording,), file.path, file.outputs, conditions.device, setup, watched=True)
            parent = time_full_run(plan).parent
        return parent.pss if parent else 0

    def _may_fit(self, each: Configuration) -> bool:
        """Whether the setup may fit into memory, to judge by a single worker; notes it if not."""
        alone = self._alone.get(each.setup.batch_size)
        if alone is None or (needed := self._parent + alone.of(each.setup.workers)) <= self._conditions.memory_limit:
            return True
        each.note, each.usable, each.memory = "not measured: over the memory limit", False, needed
        return False

    def _fits(self, each: Configuration, memory: int) -> bool:
        """Notes the memory of a setup; whether it is within the limit."""
        each.memory = memory
        if memory > self._conditions.memory_limit:
            each.note, each.usable = "over the memory limit", False
        return each.usable
