"""`run_archive`: recordings in, a dataset folder out, on as many machines as there are."""

from __future__ import annotations

import functools
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.archive.folder import Folder, LocalFolder, open_folder
from runtime.archive.ledger import Ledger, read_ledger
from runtime.archive.manifest import NAME, Manifest, read_manifest
from runtime.archive.part import FAILED, FAILURE, OK, ROWS, STATUS, PartWriter, UnitStatus, drop_units
from runtime.archive.plan import Plan
from runtime.archive.planning import Planner
from runtime.archive.scoring import UnitScorer
from runtime.archive.summary import ArchiveSummary
from runtime.archive.unit import Shard, Unit, shard_of
from runtime.audio.paths import FoundRecordings, Sources, find_recordings
from runtime.console.log import log
from runtime.console.progress import ProgressReports
from runtime.errors import InputError
from runtime.model.artifact import Artifact
from runtime.model.identity import read_true_artifact
from runtime.model.session import check_install, choose_device
from runtime.request.archive import ArchiveOptions
from runtime.request.field import options_of
from runtime.request.inputs import read_classes_of
from runtime.request.keywords import takes_request
from runtime.request.request import Request
from runtime.rows.arrow import import_pyarrow
from runtime.rows.grid import Grid
from runtime.rows.metadata import columns_of
from runtime.shield import Shield
from runtime.workers.engines import EngineFactory
from runtime.workers.job import Job, make_job
from runtime.workers.setup import choose_setup

SLICE = 4096
"""Units handed to the workers at once."""
LOOKED_FOR = 50
"""Of so many recordings at least one must be where the units' root is said to be."""
NOT_HERE = {
    "sink": "the rows go to the dataset; leave it out",
    "deadline_s": "a dataset has no deadline: end the run at any time, and repeat it",
    "on_deadline": "a dataset has no deadline",
    "fill": "rows without a score are null; give it where the dataset is merged into a CSV",
    "smooth": "a dataset holds scores as the model gives them; give it where the dataset is merged",
    "detections": "a dataset holds all scores; ask for detections where it is merged",
}
"""Options of a request that a dataset cannot have, and why."""


P = ParamSpec("P")


class ArchiveInterrupted(KeyboardInterrupt):
    """Ctrl-C, or another signal that raises KeyboardInterrupt, during a run on an archive."""

    def __init__(self, summary: ArchiveSummary) -> None:
        super().__init__("interrupted")
        self.summary = summary
        """What was done so far. It is committed."""


@dataclass(frozen=True)
class Archive:
    """A run on an archive that is ready to score: its dataset, manifest and ledger, and where recordings lie.

    `root` is the folder that units' recordings are below; None where they are at the paths in the manifest.
    """

    folder: Folder
    manifest: Manifest
    ledger: Ledger
    artifact: Artifact
    job: Job
    root: str | None
    shard: Shard | None
    retry_failed: bool

    @property
    def plan(self) -> Plan:
        return self.manifest.plan

    @functools.cached_property
    def mine(self) -> NDArray[np.bool_]:
        """Which units of the manifest are this run's, done or not."""
        return np.ones(len(self.manifest), np.bool_) if self.shard is None else self.shard.mask(self.manifest.work)

    @functools.cached_property
    def todo(self) -> NDArray[np.int64]:
        """The rows of the manifest whose units are still to be done."""
        done = self.ledger.ids(OK if self.retry_failed else None)
        return np.flatnonzero(self.mine & ~self.manifest.among(done))

    @property
    def failed_before(self) -> int:
        """How many of this run's units failed in an earlier run, and are not tried again."""
        return 0 if self.retry_failed else int((self.mine & self.manifest.among(self.ledger.ids(FAILURE))).sum())

    @property
    def label(self) -> str:
        """What this run's parts are called after."""
        return "all" if self.shard is None else f"{self.shard.number:03d}of{self.shard.count:03d}"

    def place(self, unit: Unit) -> Path:
        """Where a unit's recording lies."""
        return Path(os.path.abspath(unit.path if self.root is None else os.path.join(self.root, unit.below)))

    def check_places(self) -> None:
        """Raises InputError if the recordings lie somewhere else."""
        places = [self.place(unit) for unit in self.manifest.units(self.todo[:LOOKED_FOR])]
        if places and not any(map(os.path.lexists, places)):
            raise InputError(
                f"{places[0]} is not there, nor are the next {len(places)} recordings of {self.folder}/{NAME}; "
                "name the folder in which they lie now"
            )


class _RunArchive(Protocol[P]):
    """`run_archive` for type checkers, with the options `P` as keywords."""

    def __call__(
        self,
        soundscapes: Sources,
        model: str | Path,
        out: str | Path,
        shard: str | None = ...,
        plan: bool = ...,
        retry_failed: bool = ...,
        *args: P.args,
        **options: P.kwargs,
    ) -> ArchiveSummary: ...


def _with_options(request: Callable[P, Request]) -> Callable[[Callable[..., ArchiveSummary]], _RunArchive[P]]:
    return takes_request


@_with_options(Request)
def run_archive(
    soundscapes: Sources,
    model: str | Path,
    out: str | Path,
    shard: str | None = None,
    plan: bool = False,
    retry_failed: bool = False,
    *,
    request: Request,
) -> ArchiveSummary:
    """Scores an archive in units of at most ten minutes, into a folder that any number of runs may fill at once.

    What is done stays done: repeating the call does what is missing, whoever did the rest. `merge_archive` makes one
    file of it; `pandas.read_parquet(out + "/rows")` reads what there is.

    It takes the options of `run_soundscapes`, except for `sink`, `resume`, `deadline_s`, `on_deadline`, `fill`,
    `smooth` and `detections`: the last three go with `merge_archive`.

    Args:
        soundscapes: a folder (read recursively), a glob, a path, or several paths.
        model: a file that `perch-convert` made.
        out: the folder of the dataset, made if it does not exist.
        shard: which share of the units to do, such as "3/20". None: the one of this task, in a SLURM array; else all.
        plan: whether to write the manifest only, and to score nothing.
        retry_failed: whether to try units again that failed. Otherwise they count as done.
        request: the options of a run.

    Returns:
        What was done, and what failed. A unit that fails does not stop the others.

    Raises:
        InputError: an argument cannot be used, there is nothing to score, `out` holds the rows of another run, or a
            file in it is damaged.
        ArtifactError: `model` is missing, damaged, or not made by this project.
        DeviceError: the device cannot be used; the message names what is missing.
        OutputError: `out` cannot be written. What was committed stays.
        PerchError: the processes that score cannot be started, or all of them were lost.
        ArchiveInterrupted: Ctrl-C during scoring. What was done is committed.
    """
    return run_archive_request(
        soundscapes, model, out, request, ArchiveOptions(shard=shard, plan=plan, retry_failed=retry_failed)
    )


def run_archive_request(
    soundscapes: Sources,
    model: str | Path,
    out: str | Path,
    request: Request,
    options: ArchiveOptions,
    engine: EngineFactory | None = None,
) -> ArchiveSummary:
    """Does what `run_archive` does, with another engine than the device's if one is given."""
    started = time.monotonic()
    archive, summary = prepare(soundscapes, model, out, request, options)
    if not options.plan and len(archive.todo):
        archive.check_places()
        score(archive, summary, request.progress, engine)
    summary.elapsed_s = time.monotonic() - started
    if summary.interrupted:
        raise ArchiveInterrupted(summary)
    return summary


def prepare(
    soundscapes: Sources, model: str | Path, out: str | Path, request: Request, options: ArchiveOptions
) -> tuple[Archive, ArchiveSummary]:
    """Plans an archive's work, or reads the plan that is there.

    Raises:
        PerchError: see `run_archive`.
    """
    check_install()
    import_pyarrow()
    check_request(request)
    shard, folder = shard_of(options.shard), open_folder(out)
    artifact, device = read_true_artifact(model), choose_device(request.device)
    before = read_manifest(folder)
    searches = before is None or shard is None
    found = find_recordings(soundscapes) if searches else FoundRecordings((), (), Path(), skipped=0)
    if searches and not found.paths:
        raise InputError(found.nothing(soundscapes))
    if found.warning is not None:
        log.warning(found.warning)
    inputs = read_classes_of(found, model, request, every_row=False)
    setup, why = choose_setup(artifact, device, request, None if before is None else before.plan.options)
    job = make_job(artifact, model, request, device, setup, inputs.wanted)
    columns = columns_of(artifact, job, found.root, inputs.taxonomy)
    plan = Plan(artifact.artifact_sha256, job.options, columns, Grid.of(artifact, job))
    if before is None:
        _check_empty(folder)
    else:
        plan.check_same(before.plan, str(folder))
    ledger = read_ledger(folder, before)
    manifest, changed = _planned(folder, plan, before, ledger, found, request) if searches else (before, ())
    assert manifest is not None
    archive = Archive(folder, manifest, ledger, artifact, job, _root(soundscapes), shard, options.retry_failed)
    summary = ArchiveSummary(
        path=str(folder),
        units=len(manifest),
        shard=shard,
        share=int(archive.mine.sum()),
        before=int(archive.mine.sum()) - len(archive.todo),
        failed_before=archive.failed_before,
        changed=changed,
        unread_folders=found.lost,
        passed_over=found.passed_over(),
        setup=f"workers {setup.workers}, threads {setup.threads}, batch {setup.batch_size}: {why}",
    )
    if isinstance(folder, LocalFolder):
        folder.remove_leftovers()
    return archive, summary


def check_request(request: Request) -> None:
    """Raises InputError if an option means nothing for a dataset."""
    for each in options_of(Request):
        if each.name in NOT_HERE and getattr(request, each.name) != each.default:
            raise InputError(f"{each.name} cannot be given for a dataset: {NOT_HERE[each.name]}")


def _planned(
    folder: Folder, plan: Plan, before: Manifest | None, ledger: Ledger, found: FoundRecordings, request: Request
) -> tuple[Manifest, list[str]]:
    """The manifest of all recordings that were found, written to the dataset; and recordings that changed."""
    planner = Planner(plan, before, ledger.ids())
    manifest = planner.manifest(found, request.progress is True)
    if before is None and not folder.write_once(NAME, manifest.to_bytes()):  # another run was faster
        theirs = read_manifest(folder)
        assert theirs is not None
        plan.check_same(theirs.plan, str(folder))
        manifest = theirs
    elif before is not None and manifest is not before:
        folder.write(NAME, manifest.to_bytes())
    return manifest, planner.changed


def _check_empty(folder: Folder) -> None:
    """Raises InputError if a folder without a manifest holds anything but a dataset's files."""
    foreign = next((name for name in folder.files() if not name.startswith((ROWS, STATUS))), None)
    if foreign is not None:
        raise InputError(f"{folder} is no dataset, and holds {foreign}; name a new folder")


def _root(soundscapes: Sources) -> str | None:
    """The folder that all recordings are below, if a single one was named."""
    sources = [soundscapes] if isinstance(soundscapes, (str, Path)) else list(soundscapes)
    return str(sources[0]) if len(sources) == 1 and os.path.isdir(sources[0]) else None


def score(archive: Archive, summary: ArchiveSummary, report: object, engine: EngineFactory | None) -> None:
    """Scores what is to be done, commits it part by part, and notes in the summary what was done."""
    share = 1 / archive.manifest.table["parts"].to_numpy()
    total, before = float(share[archive.mine].sum()), float(share[archive.mine].sum() - share[archive.todo].sum())
    writer = PartWriter(archive.folder, archive.plan, archive.label, platform.node())
    scorer = UnitScorer(archive.plan, archive.artifact, archive.job, archive.place, engine)
    done: list[str] = []
    with Shield() as shield:
        try:
            with (
                shield.noting_interrupt(),
                scorer,
                ProgressReports(round(total), before, report) as progress,  # type: ignore[arg-type]
            ):
                for begin in range(0, len(archive.todo), SLICE):
                    units = list(archive.manifest.units(archive.todo[begin : begin + SLICE]))
                    for scored in scorer.score(units, lambda windows: progress.add(windows=windows)):
                        summary.add(shield(functools.partial(writer.add, scored)))
                        progress.add(done=1 / scored.unit.parts)
                        done.append(scored.unit.id)
        finally:
            shield.finish(writer.close)
        summary.interrupted = shield.interrupted
    ended = time.monotonic()
    summary.windows_per_s = summary.windows / max(ended - (scorer.ready or ended), 1e-9)
    if archive.retry_failed:
        clear_failed(archive.folder, archive.ledger, set(done))


def clear_failed(folder: Folder, ledger: Ledger, done_again: set[str]) -> None:
    """Takes units that were done again out of the parts of those that had failed."""
    files: dict[str, list[UnitStatus]] = {}
    for status in ledger.statuses(ledger.entries):
        if status.file.removesuffix(".parquet").endswith(FAILED):
            files.setdefault(status.file, []).append(status)
    for name, statuses in files.items():
        if done_again.intersection(status.unit_id for status in statuses):
            drop_units(folder, name, sorted(statuses, key=lambda status: status.at), done_again)
