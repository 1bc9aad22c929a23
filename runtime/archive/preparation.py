"""What a run on an archive needs before it scores: its manifest, what is done of it, and its share."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from runtime.archive.folder import Folder, LocalFolder, open_folder
from runtime.archive.ledger import Ledger, read_ledger
from runtime.archive.manifest import NAME, Manifest, read_manifest
from runtime.archive.part import FAILURE, OK, ROWS, STATUS
from runtime.archive.plan import Plan
from runtime.archive.planning import Planner
from runtime.archive.summary import ArchiveSummary, strangers
from runtime.archive.unit import Shard, Unit, shard_of
from runtime.audio.extensions import is_recording
from runtime.audio.paths import FoundRecordings, Sources, find_recordings
from runtime.console.log import log
from runtime.errors import InputError
from runtime.files import check_writable
from runtime.model.artifact import Artifact
from runtime.model.ensemble import Models, named_models, read_true_models, shown
from runtime.model.session import check_install, choose_device
from runtime.remote import Location, absolute_path, is_there, is_url, joined, local_path, located
from runtime.request.archive import ArchiveOptions
from runtime.request.field import options_of
from runtime.request.inputs import read_classes_of
from runtime.request.request import Request
from runtime.rows.arrow import import_pyarrow
from runtime.rows.grid import Grid
from runtime.rows.metadata import columns_of
from runtime.rows.summary import class_lines
from runtime.workers.job import Job, make_job
from runtime.workers.setup import choose_setup

LOOKED_FOR = 50
"""Of so many of the next recordings, and of as many of all, one must be where the units' root is said to be."""
NOT_HERE = {
    "sink": "the rows go to the dataset; leave it out",
    "deadline_s": "a dataset has no deadline: end the run at any time, and repeat it",
    "on_deadline": "a dataset has no deadline",
    "fill": "rows without a score are null; give it where the dataset is merged into a CSV",
    "smooth": "a dataset holds scores as the model gives them; give it where the dataset is merged",
    "file_scale": "a dataset holds scores as the model gives them; give it where the dataset is merged",
    "blend": "a dataset holds the scores of each model; give it where the dataset is merged",
    "blend_of": "a dataset holds the scores of each model; give it where the dataset is merged",
    "detections": "a dataset holds all scores; ask for detections where it is merged",
}
"""Options of a request that a dataset cannot have, and why."""


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
    def recordings(self) -> tuple[float, float]:
        """How many recordings are this run's, and how many of them were done before; parts count as shares."""
        share = 1 / self.manifest.table["parts"].to_numpy()
        mine = float(share[self.mine].sum())
        return mine, mine - float(share[self.todo].sum())

    @property
    def failed_before(self) -> int:
        """How many of this run's units failed in an earlier run, and are not tried again."""
        return 0 if self.retry_failed else int((self.mine & self.manifest.among(self.ledger.ids(FAILURE))).sum())

    @property
    def label(self) -> str:
        """What this run's parts are called after."""
        return "all" if self.shard is None else f"{self.shard.number:03d}of{self.shard.count:03d}"

    def place(self, unit: Unit) -> Location:
        """Where a unit's recording lies."""
        path = unit.path if self.root is None else joined(self.root, unit.below)
        return located(absolute_path(path), unit.size, unit.mtime_ns)

    def check_places(self) -> None:
        """Raises InputError if the recordings lie somewhere else."""
        anywhere = np.linspace(0, len(self.manifest) - 1, min(LOOKED_FOR, len(self.manifest)), dtype=np.int64)
        places = [self.place(unit) for rows in (self.todo[:LOOKED_FOR], anywhere) for unit in self.manifest.units(rows)]
        if places and not any(map(is_there, places)):
            raise InputError(
                f"none of the recordings of {self.folder}/{NAME} is there, such as {places[0]}; name the "
                "folder in which they lie now"
            )


def prepare(
    soundscapes: Sources, model: Models, out: str | Path, request: Request, options: ArchiveOptions
) -> tuple[Archive, ArchiveSummary]:
    """Plans an archive's work, or reads the plan that is there.

    Raises:
        PerchError: see `run_archive`.
    """
    check_install()
    import_pyarrow()
    check_request(request)
    shard, folder = shard_of(options.shard), open_folder(out)
    models = named_models(model)
    artifact, device = read_true_models(models), choose_device(request.device)
    before = read_manifest(folder)
    searches = before is None or shard is None
    found = find_recordings(soundscapes) if searches else FoundRecordings((), (), Path(), skipped=0)
    if searches and not found.paths:
        raise InputError(found.nothing(soundscapes))
    if found.warning is not None:
        log.warning(found.warning)
    inputs = read_classes_of(found, models, request, every_row=False)
    setup, why = choose_setup(artifact, device, request, None if before is None else before.plan.options)
    job = make_job(artifact, models, request, device, setup, inputs.wanted)
    columns = columns_of(artifact, job, found.root, inputs.taxonomy)
    plan = Plan(artifact.artifact_sha256, job.options, columns, Grid.of(artifact, job))
    if before is None:
        _check_empty(folder)
    else:
        plan.check_same(before.plan, str(folder))
    if artifact.parity_warning is not None:
        log.warning("%s: %s", shown(models), artifact.parity_warning)
    ledger = read_ledger(folder, before)
    planner = Planner(plan, before, ledger.ids(), anew=options.retry_failed)
    manifest = _planned(planner, folder, plan, before, ledger, found, request) if searches else before
    assert manifest is not None
    if manifest is not before:  # it may name units of which there are parts: of a run that was faster, or of before
        ledger = read_ledger(folder, manifest)
    ledger.clear_failed(folder)  # what a run left that was killed
    archive = Archive(folder, manifest, ledger, artifact, job, _root(soundscapes), shard, options.retry_failed)
    summary = _summary(archive, planner, found, why)
    if isinstance(folder, LocalFolder):
        check_writable(folder.path / NAME)
        folder.remove_leftovers()
    return archive, summary


def _summary(archive: Archive, planner: Planner, found: FoundRecordings, why: str) -> ArchiveSummary:
    """What there is to say of a run before it scores; `why` is the reason for its setup."""
    job, share = archive.job, int(archive.mine.sum())
    where = f"{job.device} in TF32" if job.tf32 else job.device
    return ArchiveSummary(
        path=str(archive.folder),
        units=len(archive.manifest),
        shard=archive.shard,
        share=share,
        before=share - len(archive.todo),
        failed_before=archive.failed_before,
        changed=planner.changed,
        unread_folders=found.lost,
        passed_over=found.passed_over(),
        setup=f"on {where}, {job.setup}: {why}",
        several=job.overlap is not None,
        remarks=tuple(_remarks(archive.artifact, job, archive.ledger)),
    )


def _remarks(artifact: Artifact, job: Job, ledger: Ledger) -> Iterator[str]:
    """What a summary says of the classes, the model and the dataset."""
    if ledger.strangers:
        yield strangers(ledger.strangers)
    yield from class_lines(job.class_maps)
    if artifact.ill_conditioned is not None:
        yield f"the model is {artifact.ill_conditioned}"


def check_request(request: Request, but: Sequence[str] = ()) -> None:
    """Raises InputError if an option, `but` some, means nothing for a dataset."""
    for each in options_of(Request):
        if each.name in NOT_HERE and each.name not in but and getattr(request, each.name) != each.default:
            raise InputError(f"{each.name} cannot be given for a dataset: {NOT_HERE[each.name]}")


def _planned(
    planner: Planner,
    folder: Folder,
    plan: Plan,
    before: Manifest | None,
    ledger: Ledger,
    found: FoundRecordings,
    request: Request,
) -> Manifest:
    """The manifest of all recordings that were found, written to the dataset."""
    manifest = planner.manifest(found, request.progress is True)
    if before is None and not folder.write_once(NAME, manifest.to_bytes()):  # another run was faster
        theirs = read_manifest(folder)
        assert theirs is not None
        plan.check_same(theirs.plan, str(folder))
        return theirs
    if before is not None and manifest is not before:
        ledger.clear(folder, set(planner.replaced))
        folder.write(NAME, manifest.to_bytes())
    return manifest


def _check_empty(folder: Folder) -> None:
    """Raises InputError if a folder without a manifest holds anything but a dataset's files."""
    foreign = next((name for name in folder.files() if not name.startswith((ROWS, STATUS))), None)
    if foreign is not None:
        raise InputError(f"{folder} is no dataset, and holds {foreign}; name a new folder")


def _root(soundscapes: Sources) -> str | None:
    """The folder that all recordings are below, if a single one was named."""
    sources = [soundscapes] if isinstance(soundscapes, (str, Path)) else list(soundscapes)
    if len(sources) != 1:
        return None
    source = local_path(str(sources[0])) or sources[0]
    is_folder = not is_recording(PurePosixPath(source).suffix.lower()) if is_url(source) else os.path.isdir(source)
    return str(source) if is_folder else None
