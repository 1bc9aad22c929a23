"""The sweep: every setup of every file, from sound files to outputs, in rounds in which all take turns.

Processes are started anew in every round, so that never more of them are there than one setup needs. The first round
measures memory, small setups before large ones, and drops what is far slower than the best; then rounds go on while
there is time.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring.memory import Taken
from benchmarks.throughput.figures import Configuration, Measurements
from benchmarks.throughput.full_run import Plan, enough, run_whole
from benchmarks.throughput.setups import by_crew
from benchmarks.throughput.workers import Crew, Equipment
from convert.proof.synthetic import write_soundscape
from runtime.progress import progress_bar

KEPT, FAR_SLOWER = 10, 0.75
"""After the first round so many of the fastest go on, and all others above this share of the fastest's rate."""
MOST_ROUNDS, OVERTIME = 7, 1.8
LONG = 2.0
"""A call that takes more slices of time than this hides what a first one costs, and needs no warming up."""
LEAST_WINDOWS = 48
"""Of each decoder, in a whole run for a GPU."""


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    `rounds` of the sweep, or if None as many as fit into `sweep_s` for each file, with some overtime where that makes
    them `least_rounds`; `slice_s` is how long a piece is worked on in a round. Then `part_rounds` of pieces and of
    whole runs, fewer if these take longer than `parts_s`; `whole_s` is about what a whole run takes.
    """

    rounds: int | None
    least_rounds: int
    sweep_s: float
    slice_s: float
    part_rounds: int
    parts_s: float
    whole_s: float


@dataclass(frozen=True)
class Bench:
    """What all files are measured with. `bound` is the memory that may be taken, in bytes, if it is bounded."""

    recordings: tuple[Path, ...]
    device: str
    bound: int | None
    effort: Effort


def sweep(files: Sequence[Measurements], bench: Bench) -> None:
    """Fills in the files' configurations.

    Raises:
        PerchError: a process cannot be started, or ended; or the recordings cannot be read.
    """
    effort = bench.effort
    sweepers = [_Sweeper(found, bench) for found in files]
    begun, number = time.monotonic(), 0
    total = sum(len(found.configurations) for found in files)
    with progress_bar(total * (effort.rounds or effort.least_rounds), desc="round 1") as bar:
        while number < (effort.rounds or MOST_ROUNDS):
            started = time.monotonic()
            for sweeper in sweepers[:: -1 if number % 2 else 1]:
                for setups in sweeper.crews()[:: -1 if number % 2 else 1]:
                    sweeper.turn(setups, number)
                    bar.update(len(setups))
            number += 1
            if number == 1:
                for sweeper in sweepers:
                    sweeper.drop()
            now = time.monotonic()
            time_for = effort.sweep_s * len(files) * (1.0 if number >= effort.least_rounds else OVERTIME)
            if effort.rounds is None and now + (now - started) > begun + time_for:
                break
            left = sum(len(setups) for sweeper in sweepers for setups in sweeper.crews())
            bar.total = int(bar.n) + left * max(1, (effort.rounds or effort.least_rounds) - number)
            bar.set_description(f"round {number + 1}")


class _Sweeper:
    """The sweep of one file."""

    def __init__(self, found: Measurements, bench: Bench) -> None:
        self._found, self._bench = found, bench
        self._parent = 0
        self._alone: dict[int, Taken] = {}
        """What a single worker takes, by batch."""

    def crews(self) -> list[list[Configuration]]:
        """What is still measured, by what the same processes can serve; on a GPU each by itself."""
        by_setup = {each.setup: each for each in self._found.configurations if each.out is None}
        if self._bench.device != "cpu":
            return [[each] for each in by_setup.values()]
        return [[by_setup[setup] for setup in setups] for _, setups in by_crew(list(by_setup))]

    def turn(self, setups: list[Configuration], number: int) -> None:
        """A round of some of them."""
        if self._bench.device != "cpu":
            self._run(setups[0])
        elif number == 0:
            self._first(setups)
        else:
            self._again(setups[:: -1 if number % 2 else 1])

    def drop(self) -> None:
        """Ends the sweep for what is far slower than the best."""
        ranking = [each for each in self._found.ranking if each.rates]
        for each in ranking[KEPT:]:
            if each.rate < FAR_SLOWER * ranking[0].rate:
                each.out = each.out or "far slower: one round"

    def _run(self, each: Configuration) -> None:
        """On a GPU: a whole run, since decoders and the one process that feeds the GPU work side by side."""
        bench, found = self._bench, self._found
        rate = max(other.rate for other in found.configurations)
        windows = max(rate * bench.effort.slice_s, LEAST_WINDOWS * each.setup.workers)
        recordings = enough(bench.recordings, found.artifact, windows, each.setup.workers)
        run = run_whole(Plan(recordings, found.path, found.outputs, bench.device, each.setup, watched=not each.rates))
        each.rates.append(run.windows_per_s)
        if run.complaint is not None:
            each.out, each.usable = run.complaint, False
        elif run.memory is not None:
            self._note(each, run.memory)

    def _first(self, setups: list[Configuration]) -> None:
        """Small batches come before large ones, and few workers before many, so that memory can be told ahead."""
        crew = setups[0].setup
        fitting = [each for each in setups if self._may_fit(each)]
        if not fitting:
            return
        if not self._parent:
            self._parent = self._parents_memory()
        with self._crew(crew.workers, crew.threads) as members:
            for each in fitting:
                memory = self._rate(members, each)
                told = [taken for taken in memory if taken is not None]
                if len(told) < len(memory):
                    continue
                if crew.workers == 1:
                    self._alone.setdefault(each.setup.batch_size, told[0])
                if not self._note(each, self._parent + sum(taken.whole for taken in told)):
                    break
        for each in fitting:
            if not each.rates:
                each.out, each.usable = "not measured: a smaller batch is over the memory bound", False

    def _again(self, setups: list[Configuration]) -> None:
        crew = setups[0].setup
        with self._crew(crew.workers, crew.threads) as members:
            for each in setups:
                self._rate(members, each)

    def _rate(self, members: Crew, each: Configuration) -> list[Taken | None]:
        """Measures it, warm, and returns the memory of each process."""
        workers, size = each.setup.workers, each.setup.batch_size
        slice_s, fastest = self._bench.effort.slice_s, self._found.ranking[0].rate
        if not fastest or workers * size / fastest < LONG * slice_s:
            members.work("rows", workers, size, 0.0, short=True)
        rate, memory = members.work("rows", workers, size, slice_s)
        each.rates.append(rate)
        return memory

    def _crew(self, workers: int, threads: int) -> Crew:
        bench = self._bench
        return Crew(Equipment(self._found.path, bench.device, threads, bench.recordings, {}), workers)

    def _parents_memory(self) -> int:
        """What the parent of a run takes; 0 where that cannot be told."""
        bench, found = self._bench, self._found
        setup = found.configurations[0].setup
        with tempfile.TemporaryDirectory(prefix="perch-bench-") as folder:
            recording = Path(folder, "one.wav")
            write_soundscape(recording, 0, 5.0)
            plan = Plan((recording,), found.path, found.outputs, bench.device, setup, watched=True)
            parent = run_whole(plan).parent
        return parent.pss if parent else 0

    def _may_fit(self, each: Configuration) -> bool:
        """Whether it is worth a try, by what a single worker takes."""
        alone, bound = self._alone.get(each.setup.batch_size), self._bench.bound
        if alone is None or bound is None or (needed := self._parent + alone.of(each.setup.workers)) <= bound:
            return True
        each.out, each.usable, each.memory = "not measured: over the memory bound", False, needed
        return False

    def _note(self, each: Configuration, memory: int) -> bool:
        """Keeps what a setup took; whether that is within the bound."""
        each.memory = memory
        if self._bench.bound is not None and memory > self._bench.bound:
            each.out, each.usable = "over the memory bound", False
        return each.usable
