"""`merge_archive`: a dataset as one file, the same that a plain run over the archive would write."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from pathlib import Path

import numpy as np

from runtime.archive.folder import LocalFolder, open_folder
from runtime.archive.ledger import Ledger, read_ledger
from runtime.archive.manifest import NAME, Manifest, read_manifest
from runtime.archive.part import UnitStatus
from runtime.archive.plan import Plan
from runtime.archive.stored import StoredRows
from runtime.archive.unit import Unit
from runtime.audio.paths import FoundRecordings
from runtime.classes.taxonomy import read_taxonomy
from runtime.console.progress import progress_bar
from runtime.errors import InputError, counted
from runtime.files import check_outputs
from runtime.remote import Location, located
from runtime.request.detections import Detections
from runtime.request.field import options_of
from runtime.request.request import Request
from runtime.request.scores import BlendOf
from runtime.rows.block import Block, Columns
from runtime.rows.formats.choice import choose_format, sink_path
from runtime.rows.postprocessing import Postprocessing
from runtime.rows.sinks import FinalRows, Target
from runtime.rows.summary import Failure, Note
from runtime.rows.table import Table
from runtime.workers.protocol import Done, Opened, Task

OF_MERGE = ("sink", "fill", "smooth", "file_scale", "blend", "blend_of", "detections", "taxonomy", "progress")
"""The options of a request that a merge has; the dataset decides the others."""


@dataclass(kw_only=True)
class MergeSummary:
    """What a merge wrote."""

    sink: Path
    """The file or folder."""
    recordings: int
    """How many recordings have rows in it."""
    counts: dict[str, int] = field(default_factory=dict)
    """How many rows have each status."""
    failures: list[Failure] = field(default_factory=list)
    """Recordings that could not be read, or not to their end."""
    notes: list[Note] = field(default_factory=list)
    """What is odd about recordings that were scored nevertheless."""
    unknown: Sequence[str] = ()
    """What there is to say about recordings whose time or site is unknown."""
    detected: str = ""
    """What there is to say about detections, if they were asked for."""

    def summary(self) -> str:
        """What was written, in a few lines."""
        rows = ", ".join(f"{count:,} {status}" for status, count in self.counts.items())
        lines, recordings = [self.detected] if self.detected else [], counted(self.recordings, "recording")
        lines.append(f"{counted(sum(self.counts.values()), 'row')} ({rows or 'none'}) of {recordings}")
        if self.failures:
            lines.append(f"could not be read completely: {len(self.failures):,} of {recordings}")
        return "\n".join([*lines, *self.unknown])


def merge_archive(
    out: str | Path,
    sink: str | Path,
    *,
    fill: float = -1000.0,
    file_scale: int | None = None,
    smooth: Sequence[float] | None = None,
    blend: Sequence[float] | None = None,
    blend_of: BlendOf = "scores",
    detections: Detections | None = None,
    taxonomy: str | Path | None = None,
    progress: bool = True,
) -> MergeSummary:
    """Writes a finished dataset as one file: the same bytes that a plain run over the archive would have written.

    Args:
        out: the dataset that `run_archive` filled.
        sink: where the rows go; see `run_soundscapes`.
        fill: what a CSV holds in rows without a score.
        file_scale: of how many of a class's highest scores in a recording the mean scales the others; see
            `run_soundscapes`. None: no scaling.
        smooth: weights of a window and its neighbours, such as (1, 2, 1); see `run_soundscapes`. None: no smoothing.
        blend: weights of the models of the dataset, in their order, such as (0.6, 0.4); see `run_soundscapes`. None:
            each model's scores.
        blend_of: what `blend` takes the mean of: "scores" or "ranks".
        detections: what to write instead of all scores. None: all scores.
        taxonomy: a CSV that says what the names of classes in detections mean. None: what the run was given.
        progress: whether to show a bar, on a terminal or in a notebook.

    Returns:
        How many rows there are, and which recordings failed.

    Raises:
        InputError: units are missing, a part is damaged, or an argument cannot be used.
        OutputError: `sink` cannot be written.
    """
    request = Request(
        sink=sink,
        fill=fill,
        file_scale=file_scale,
        smooth=smooth,
        blend=blend,
        blend_of=blend_of,
        detections=detections,
        taxonomy=taxonomy,
        progress=progress,
    )
    return merge_request(out, request)


def merge_request(out: str | Path, request: Request) -> MergeSummary:
    """Does what `merge_archive` does. Raises what it raises."""
    for each in options_of(Request):
        if each.name not in OF_MERGE and getattr(request, each.name) != each.default:
            raise InputError(f"{each.name} cannot be given for a merge: the rows are there already; leave it out")
    if request.sink is None:
        raise InputError("a merge needs a sink, the file to write; name one with -o (sink=…)")
    format, path = choose_format(request.sink, request.detections), sink_path(request.sink)
    folder = open_folder(out)
    if (manifest := read_manifest(folder)) is None:
        raise InputError(f"{folder} is no dataset: it has no {NAME}")
    if isinstance(folder, LocalFolder) and path.resolve().is_relative_to(folder.path.resolve()):
        raise InputError(f"{path} lies in the dataset {folder}, which holds nothing else; name a file outside of it")
    ledger = read_ledger(folder, manifest)
    check_complete(manifest, ledger, str(folder))
    columns = _columns(manifest.plan, request)
    postprocessing = Postprocessing.of(columns, request)
    recordings = _recordings(manifest)
    writes = {"-o": format.files(path, recordings.names)}
    reads = request.detections.reads if request.detections is not None else {}
    check_outputs(writes, {"the taxonomy": request.taxonomy, **reads})
    Target(path, format, postprocessing.written, request.fill, recordings.names)  # checks that it can be written
    stored = StoredRows(folder, columns, manifest.plan.grid)
    merged = MergedRows(manifest, ledger, stored, recordings, columns, request.progress is True)
    format.write(FinalRows(lambda: merged, postprocessing, None), path, postprocessing.written, request.fill)
    report, detected = merged.table.report, format.detected
    return MergeSummary(
        sink=path,
        recordings=len(recordings.paths),
        counts=dict(report.counts),
        failures=report.failures,
        notes=report.notes,
        unknown=report.unknown(columns.more if format.says_origin else (), len(recordings.paths)),
        detected="" if detected is None or request.detections is None else detected.summary(request.detections),
    )


def check_complete(manifest: Manifest, ledger: Ledger, where: str) -> None:
    """Raises InputError if units are missing."""
    missing = np.flatnonzero(~manifest.among(ledger.ids()))
    if len(missing):
        first = next(manifest.units(missing[:1]))
        raise InputError(
            f"{where} lacks {len(missing):,} of {counted(len(manifest), 'unit')}, the first of {first.path}; let a run "
            "do them first"
        )


class MergedRows:
    """The rows of all units, in order: what their workers sent passes through a run's table once more.

    They can be iterated over again, also side by side; `table` is that of the last time that was begun.
    """

    def __init__(
        self,
        manifest: Manifest,
        ledger: Ledger,
        stored: StoredRows,
        recordings: FoundRecordings,
        columns: Columns,
        progress: bool,
    ) -> None:
        self._manifest, self._ledger, self._stored = manifest, ledger, stored
        self._recordings, self._columns, self._progress = recordings, columns, progress
        self.table = self._new_table()

    def _new_table(self) -> Table:
        return Table(self._recordings, self._columns, self._manifest.plan.grid)

    def __iter__(self) -> Iterator[Block]:
        table = self.table = self._new_table()
        places = {id: row for row, id in enumerate(self._ledger.table["unit_id"].to_pylist())}
        shown, self._progress = self._progress, False  # the first time alone
        with progress_bar(len(self._recordings.paths), shown, unit=" recordings", desc="merging") as bar:
            for number, (_, units) in enumerate(
                groupby(self._manifest.units(), key=lambda unit: (unit.below, unit.channel))
            ):
                for unit in units:
                    (status,) = self._ledger.statuses(self._ledger.table.slice(places[unit.id], 1))
                    self._add(table, number, unit, status)
                    for block, _ in table.ready():
                        yield block
                bar.update(1)
            yield from table.rest(lambda path: None)

    def _add(self, table: Table, number: int, unit: Unit, status: UnitStatus) -> None:
        """Has the table take what a worker sent about a unit."""
        task = Task(number, self._recordings.paths[number], unit.part, unit.parts)
        began = None if status.began is None else datetime.fromisoformat(status.began)
        if unit.part == 0:
            table.add(task, Opened(unit.parts, unit.windows if unit.parts > 1 else None, began=began))
        table.add(task, self._stored.rows(status))
        table.add(task, Done(status.reason, status.windows, notes=tuple(status.notes), began=began))


def _recordings(manifest: Manifest) -> FoundRecordings:
    """The recordings of a manifest, with their sizes: they need not be there any more."""
    first = [unit for unit in manifest.units() if unit.part == 0]
    paths = tuple(located(unit.path, unit.size, unit.mtime_ns) for unit in first)
    sizes: dict[Location, int] = {path: unit.size for path, unit in zip(paths, first)}
    root = manifest.plan.columns.about["root"]
    return FoundRecordings(paths, tuple(unit.rows_name for unit in first), root, skipped=0, sizes=sizes)


def _columns(plan: Plan, request: Request) -> Columns:
    """What the merged rows hold: those of the dataset, smoothed if that is asked for."""
    columns = plan.columns
    if request.weights is not None:
        options = {**json.loads(columns.about["options"]), "smooth": request.weights}
        columns = replace(columns, about={**columns.about, "options": json.dumps(options)})
    if request.taxonomy is not None:
        columns = replace(columns, taxonomy=read_taxonomy(request.taxonomy))
    return columns
