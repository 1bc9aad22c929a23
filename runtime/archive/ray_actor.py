"""What a process on a Ray cluster does for an archive: it scores groups of units, and commits their rows itself."""

from __future__ import annotations

import platform
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from runtime.archive.folder import Folder, LocalFolder
from runtime.archive.manifest import NAME
from runtime.archive.part import PartWriter, UnitStatus
from runtime.archive.plan import Plan
from runtime.archive.scoring import UnitScorer
from runtime.archive.unit import Unit
from runtime.console.version import __version__
from runtime.errors import PerchError
from runtime.model.artifact import Artifact
from runtime.model.ensemble import read_true_models, shown
from runtime.remote import Location, is_there
from runtime.workers.job import Job

Group = Sequence[tuple[Unit, Location]]
"""Units, and where their recordings lie."""


@dataclass(frozen=True)
class Work:
    """What all actors of a run need. `some` are recordings of the archive that are there, as the driver sees it."""

    folder: Folder
    plan: Plan
    artifact: Artifact
    job: Job
    label: str
    some: Sequence[Location]
    version: str


@dataclass(frozen=True)
class Outcome:
    """The units of a group that are done and committed, and why the others are not."""

    done: Sequence[UnitStatus]
    error: PerchError | None = None


class _StoppedError(Exception):
    """The run was interrupted."""


class UnitActor:
    """Scores groups of units. Its worker processes outlive a group."""

    def __init__(self, work: Work) -> None:
        self._work, self._stopped = work, threading.Event()
        self._places: dict[str, Location] = {}
        self._scorer: UnitScorer | None = None

    def refusal(self) -> str | None:
        """Why this node cannot take part; None if it can."""
        work = self._work
        try:
            model = read_true_models(work.job.models).artifact_sha256
        except PerchError as error:
            return self._said(str(error))
        if work.version != __version__:
            return self._said(f"perch-onnx is {__version__} there, and {work.version} where the run was started")
        if model != work.plan.model:
            return self._said(f"{shown(work.job.models)} is another model there")
        if isinstance(work.folder, LocalFolder) and not (work.folder.path / NAME).is_file():
            return self._said(f"{work.folder}/{NAME} is not there; the folder must be on a disk that all nodes share")
        if work.some and not any(map(is_there, work.some)):
            return self._said(f"{work.some[0]} is not there, nor are the recordings after it")
        return None

    def score(self, group: Group) -> Outcome:
        """Scores units, and commits what is done before it returns."""
        work, done, error = self._work, list[UnitStatus](), None
        self._places = {unit.id: place for unit, place in group}
        writer = PartWriter(work.folder, work.plan, work.label)
        try:
            try:
                for scored in self._started().score([unit for unit, _ in group], self._came):
                    done.append(writer.add(scored))
            except (PerchError, _StoppedError) as failed:
                error = failed if isinstance(failed, PerchError) else None
                self._end()
            finally:
                writer.close()
        except PerchError as failed:  # what stands in no part is not done, and nobody knows which
            return Outcome((), failed)
        return Outcome(done, error)

    def stop(self) -> None:
        """Makes `score`, which runs in another thread, commit what is done and return."""
        self._stopped.set()

    def _said(self, why: str) -> str:
        return f"{platform.node()}: {why}"

    def _started(self) -> UnitScorer:
        if self._scorer is None:
            work = self._work
            self._scorer = UnitScorer(work.plan, work.artifact, work.job, lambda unit: self._places[unit.id])
            self._scorer.__enter__()
        return self._scorer

    def _came(self, windows: int) -> None:
        if self._stopped.is_set():
            raise _StoppedError

    def _end(self) -> None:
        """Ends the worker processes; the next group gets new ones."""
        scorer, self._scorer = self._scorer, None
        if scorer is not None:
            scorer.__exit__(None, None, None)
