"""The processes of a run: some score its recordings, one reads headers."""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

from runtime.model.artifact import Artifact
from runtime.remote import Location
from runtime.workers.engines import EngineFactory, engine_for
from runtime.workers.headers import Headers
from runtime.workers.job import Job
from runtime.workers.protocol import Ready
from runtime.workers.schedule import Schedule
from runtime.workers.supervisor import Event, Supervisor


class Scorer(Protocol):
    """Whoever scores the recordings of a run."""

    def events(
        self, schedule: Schedule, deadline: float | None, timeout_s: float
    ) -> Generator[Event | Ready, None, None]:
        """See `Supervisor.events`."""

    def promised_windows(self, path: Location, until: float) -> int | None:
        """See `Headers.promised_windows`."""


class Processes:
    """Scores files in child processes, by `engine` if one is given, else by the one for the job's device.

    `hurry` is whether there will be little time to ask for the length of a recording that nobody read.
    """

    def __init__(self, artifact: Artifact, job: Job, engine: EngineFactory | None, hurry: bool) -> None:
        self._artifact, self._job, self._engine = artifact, job, engine or engine_for
        self._headers = Headers(artifact, job, at_once=hurry)

    def __enter__(self) -> Processes:
        self._headers.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._headers.__exit__()

    def events(
        self, schedule: Schedule, deadline: float | None, timeout_s: float
    ) -> Generator[Event | Ready, None, None]:
        """See `Supervisor.events`."""
        with Supervisor(self._engine(self._job, self._artifact), timeout_s) as supervisor:
            yield from supervisor.events(schedule, deadline)

    def promised_windows(self, path: Location, until: float) -> int | None:
        """See `Headers.promised_windows`."""
        return self._headers.promised_windows(path, until)
