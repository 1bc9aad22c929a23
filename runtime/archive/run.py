"""`run_archive`: recordings in, a dataset folder out, on as many machines as there are."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import ParamSpec, Protocol

from runtime.archive.part import FAILURE, PartWriter
from runtime.archive.preparation import Archive, prepare
from runtime.archive.ray_cluster import score_on_ray
from runtime.archive.scoring import ScoredUnit, UnitScorer
from runtime.archive.summary import ArchiveSummary
from runtime.audio.paths import Sources
from runtime.console.progress import ProgressReports, Report
from runtime.model.ensemble import Models
from runtime.request.archive import ArchiveOptions
from runtime.request.keywords import takes_request
from runtime.request.request import Request
from runtime.shield import Shield

P = ParamSpec("P")


class ArchiveInterrupted(KeyboardInterrupt):
    """Ctrl-C, or another signal that raises KeyboardInterrupt, during a run on an archive."""

    def __init__(self, summary: ArchiveSummary) -> None:
        super().__init__("interrupted")
        self.summary = summary
        """What was done so far. It is committed."""


class _RunArchive(Protocol[P]):
    """`run_archive` for type checkers, with the options `P` as keywords."""

    def __call__(
        self,
        soundscapes: Sources,
        model: Models,
        out: str | Path,
        shard: str | None = ...,
        plan: bool = ...,
        retry_failed: bool = ...,
        ray: str | None = ...,
        *args: P.args,
        **options: P.kwargs,
    ) -> ArchiveSummary: ...


def _with_options(request: Callable[P, Request]) -> Callable[[Callable[..., ArchiveSummary]], _RunArchive[P]]:
    return takes_request


@_with_options(Request)
def run_archive(
    soundscapes: Sources,
    model: Models,
    out: str | Path,
    shard: str | None = None,
    plan: bool = False,
    retry_failed: bool = False,
    ray: str | None = None,
    *,
    request: Request,
) -> ArchiveSummary:
    """Scores an archive in units of at most ten minutes, into a folder that any number of runs may fill at once.

    What is done stays done: repeating the call does what is missing, whoever did the rest. `merge_archive` makes one
    file of it; `pandas.read_parquet(out + "/rows")` reads what there is.

    It takes the options of `run_soundscapes`, except for `sink`, `resume`, `deadline_s`, `on_deadline`, and those that
    go with `merge_archive`: `fill`, `file_scale`, `smooth`, `blend`, `blend_of` and `detections`.

    Args:
        soundscapes: a folder (read recursively), a glob, a path, or several paths.
        model: a file that `perch-convert` made, or several (see `run_soundscapes`).
        out: the folder of the dataset, made if it does not exist.
        shard: which share of the units to do, such as "3/20". None: the one of this task, in a SLURM array; else all.
        plan: whether to write the manifest only, and to score nothing.
        retry_failed: whether to try units again that failed. Otherwise they count as done.
        ray: do the units on a Ray cluster: the address of one, or "auto" for the one that this machine is part of, else
            one that is started here. None: on this machine alone.
        request: the options of a run.

    Returns:
        What was done, and what failed. A unit that fails does not stop the others.

    Raises:
        InputError: an argument cannot be used, there is nothing to score, `out` holds the rows of another run, or a
            file in it is damaged.
        ArtifactError: `model` is missing, damaged, or not made by this project.
        DeviceError: the device cannot be used, or computes wrongly; the message says why.
        OutputError: `out` cannot be written. What was committed stays.
        PerchError: the processes that score cannot be started, or all of them were lost.
        ArchiveInterrupted: Ctrl-C during scoring. What was done is committed.
    """
    return run_archive_request(
        soundscapes, model, out, request, ArchiveOptions(shard=shard, plan=plan, retry_failed=retry_failed, ray=ray)
    )


def run_archive_request(
    soundscapes: Sources, model: Models, out: str | Path, request: Request, options: ArchiveOptions
) -> ArchiveSummary:
    """Does what `run_archive` does."""
    started = time.monotonic()
    archive, summary = prepare(soundscapes, model, out, request, options)
    if not options.plan and len(archive.todo):
        archive.check_places()
        if options.ray is None:
            score(archive, summary, request.progress)
        else:
            score_on_ray(archive, summary, request.progress, options.ray)
    summary.elapsed_s = time.monotonic() - started
    if summary.interrupted:
        raise ArchiveInterrupted(summary)
    return summary


def score(archive: Archive, summary: ArchiveSummary, report: Report) -> None:
    """Scores what is to be done, commits it part by part, and notes in the summary what was done."""
    writer = PartWriter(archive.folder, archive.plan, archive.label)
    scorer = UnitScorer(archive.plan, archive.artifact, archive.job, archive.place)
    failed, again = set(archive.ledger.ids(FAILURE).to_pylist()), set[str]()

    def keep(scored: ScoredUnit) -> None:
        summary.add(writer.add(scored))
        again.update(failed.intersection([scored.unit.id]))

    with Shield() as shield:
        try:
            with shield.noting_interrupt(), contextlib.closing(_scored(archive, scorer, report)) as units:
                for scored in units:
                    shield(functools.partial(keep, scored))
        finally:
            shield.finish(writer.close)
            shield.finish(lambda: archive.ledger.clear_failed(archive.folder, again))
        summary.interrupted = shield.interrupted
    ended = time.monotonic()
    summary.windows_per_s = summary.windows / max(ended - (scorer.ready or ended), 1e-9)


def _scored(archive: Archive, scorer: UnitScorer, report: Report) -> Generator[ScoredUnit, None, None]:
    """The units that were to be done, as they are done."""
    total, before = archive.recordings
    with scorer, ProgressReports(round(total), before, report) as progress:

        def came(windows: int) -> None:
            progress.start()
            progress.add(windows=windows)

        for scored in scorer.score(archive.manifest.units(archive.todo), came):
            yield scored
            progress.add(done=1 / scored.unit.parts)
