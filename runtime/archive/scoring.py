"""Scores units: each by itself, in any order, as a plain run scores the parts of its recordings."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

import numpy as np

from runtime.archive.plan import Plan
from runtime.archive.unit import Unit
from runtime.errors import PerchError, counted
from runtime.model.artifact import Artifact
from runtime.remote import Location
from runtime.rows.assembly import assembled
from runtime.rows.block import Block, unscored
from runtime.rows.lengths import Lengths
from runtime.rows.naming import Naming
from runtime.rows.received import Received
from runtime.rows.scoring import TIMEOUT_S
from runtime.workers.engines import engine_for
from runtime.workers.headers import Headers
from runtime.workers.job import Job
from runtime.workers.protocol import Done, Ready, Rows, Task
from runtime.workers.schedule import Schedule
from runtime.workers.supervisor import Supervisor

AHEAD = 64
"""Units that wait for a worker: enough for any machine's."""


@dataclass(frozen=True)
class ScoredUnit:
    """The rows of a unit, or those that there are if it failed.

    `windows` is how many its recording has, or promises; None if unknown. `seconds` is how long a worker had it.
    `began` is when the recording was begun; None if unknown.
    """

    unit: Unit
    block: Block
    failure: str | None
    notes: tuple[str, ...]
    windows: int | None
    seconds: float
    began: datetime | None = None


class UnitSchedule(Schedule):
    """Hands out units, of which it takes only a few from their source before it needs them.

    Args:
        units: the units, in the order in which they are handed out.
        place: where the recording of each lies.
        part_windows: how many windows a part has at most.
    """

    def __init__(self, units: Iterable[Unit], place: Callable[[Unit], Location], part_windows: int) -> None:
        super().__init__((), lambda: True, part_windows)
        self._units, self._place = enumerate(units), place
        self.units: dict[int, Unit] = {}
        """Units that are not done, by the numbers of their tasks."""
        self.started: dict[int, float] = {}
        """When each was handed out."""
        self.left = 0
        """How many were given up, with all that would have come after them."""
        self._take()

    def next(self) -> Task | None:
        self._take()
        if (task := super().next()) is not None:
            self.started[task.recording] = time.monotonic()
        return task

    def stop(self, reason: str) -> None:
        self.left = self.open + sum(1 for _ in self._units)
        super().stop(reason)

    def _take(self) -> None:
        for number, unit in itertools.islice(self._units, max(0, AHEAD - len(self._waiting))):
            self.units[number] = unit
            place, channels = self._place(unit), (unit.channel, unit.channels)
            self._put(Task(number, place, unit.part, unit.parts, channel=channels[0], channels=channels[1]))


class UnitScorer:
    """Scores units in processes that live until it is left.

    Args:
        plan: what rows hold, and how recordings are cut.
        artifact, job: see `Processes`.
        place: where the recording of a unit lies.
    """

    def __init__(self, plan: Plan, artifact: Artifact, job: Job, place: Callable[[Unit], Location]) -> None:
        self._plan, self._job, self._place = plan, job, place
        timeout_s = job.request.recording_timeout_s or TIMEOUT_S
        self._supervisor = Supervisor(engine_for(job, artifact), timeout_s)
        self._headers = Headers(artifact, job, at_once=False)
        self._naming = Naming(plan.grid.window, plan.grid.hop, plan.grid.sample_rate)
        self.ready: float | None = None
        """When the first worker was ready, on the monotonic clock."""

    def __enter__(self) -> Self:
        self._supervisor.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._supervisor.__exit__(*error)
        self._headers.__exit__(*error)

    def score(self, units: Iterable[Unit], came: Callable[[int], object]) -> Generator[ScoredUnit, None, None]:
        """Each unit, as soon as it is done; `came` is told how many windows have just been scored, first none when a
        worker is ready.

        Raises:
            PerchError: no process can be started, or none can load the model.
        """
        schedule = UnitSchedule(units, self._place, self._plan.grid.part_windows)
        waiting: dict[int, Received] = {}
        for event in self._supervisor.events(schedule):
            if isinstance(event, Ready):
                self.ready = self.ready or time.monotonic()
                came(0)
                continue
            task, message = event.task, event.message
            number, unit = task.recording, schedule.units[task.recording]
            if number not in waiting:
                waiting[number] = self._received(number, task.path, unit)
            if isinstance(message, Done) and message.lost:  # no worker read it; its header may say how long it is
                promised = self._headers.promised_windows(task.path, math.inf)
                message = replace(message, windows=promised)
            waiting[number].add(task, message)
            if isinstance(message, Rows):
                came(message.windows)
            elif isinstance(message, Done):
                del schedule.units[number]
                seconds = time.monotonic() - schedule.started.pop(number)
                yield self._scored(unit, waiting.pop(number), task.path, seconds)
        if schedule.left:  # a warning said why
            raise PerchError(f"{counted(schedule.left, 'unit')} not scored; repeat the same command to go on")

    def _received(self, number: int, path: Location, unit: Unit) -> Received:
        received = Received.nothing(number, path)
        received.parts, received.promised = unit.parts, unit.windows if unit.parts > 1 else None
        return received

    def _scored(self, unit: Unit, received: Received, path: Location, seconds: float) -> ScoredUnit:
        """The rows of a unit that is done."""
        grid, done = self._plan.grid, received.done[unit.part]
        change = _change(unit, received, path)
        failure = change or done.failure
        if change is not None:  # which of its rows are right, nobody knows
            received.rows.clear()
            received.promised = None
            received.done[unit.part] = replace(done, failure=failure, windows=None)
        origin = grid.origin(received, path, unit.below)
        if grid.around_events:
            indices = received.indices
        else:
            lengths = Lengths(
                {received.number: received}, 1, grid.part_windows, grid.hop, grid.sample_rate, guess=False
            )
            count = lengths.part(received, unit.part, final=True)
            assert count is not None
            indices = grid.wanted(origin.began, unit.part * grid.part_windows + np.arange(count))
        columns, name = self._plan.columns, unit.rows_name
        block = assembled(unit.path, name, received, unit.part, indices, columns, self._naming, origin)
        return ScoredUnit(unit, block, failure, done.notes, received.done[unit.part].windows, seconds, origin.began)


def lost_unit(unit: Unit, plan: Plan, why: str) -> ScoredUnit:
    """A unit of which there are no rows, since nobody could score it."""
    none = np.empty(0)
    block = Block(unit.path, [], none, none, np.empty(0, "<U12"), unscored(plan.columns, 0))
    return ScoredUnit(unit, block, why, (), unit.windows, 0.0)


def _change(unit: Unit, received: Received, path: Location) -> str | None:
    """Why a recording is not the one that was planned; None if it is, or is not there."""
    try:
        size = path.stat().st_size
    except OSError:
        return None
    if {received.size, size} == {unit.size}:
        return None
    return f"has changed since it was planned: it had {unit.size:,} bytes then, and has {size:,} now"
