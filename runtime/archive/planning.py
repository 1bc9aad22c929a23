"""From recordings to units. Only headers are read, by processes of their own: a file can crash the library that reads
it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from runtime.archive.manifest import Manifest, manifest_schema, unit_columns
from runtime.archive.plan import Plan
from runtime.archive.unit import OPENING_WINDOWS, Unit, unit_id
from runtime.audio.clock import began
from runtime.audio.paths import FoundRecordings
from runtime.console.progress import progress_bar
from runtime.errors import InputError
from runtime.files import utf8
from runtime.remote import Location, absolute_path, joined
from runtime.rows.arrow import import_pyarrow, sort_table
from runtime.workers.outlines import TIMEOUT_S, Outline, Outliners, OutlineSetup
from runtime.workers.protocol import Task
from runtime.workers.schedule import Schedule
from runtime.workers.supervisor import Supervisor

SLICE = 4096
"""Recordings planned at once."""
READ_WHOLE = frozenset((".ogg", ".oga", ".opus", ".mp3"))
"""Formats whose length takes reading all of the file. They are read in one part anyway, and opened here only to count
their channels."""
BYTES_A_SECOND = 8_000
"""Of these formats, about."""


@dataclass(frozen=True)
class _Known:
    """A recording that was planned before; `done` is whether rows of it are committed, `has_unknown_channels` whether
    its header could not be read then, and each channel has units."""

    size: int
    name: str
    done: bool
    has_unknown_channels: bool


@dataclass(frozen=True)
class _Found:
    """A recording that is to be planned."""

    path: Location
    below: str
    name: str
    size: int
    mtime_ns: int


class Planner:
    """Makes a manifest, or adds to one what is new.

    Args:
        plan: what rows depend on, and how recordings are cut.
        before: the manifest that is there.
        done: the ids of units whose rows are committed, an Arrow array.
        anew: whether recordings that changed since are planned anew, and those whose channels nobody could count;
            otherwise their units stay as they are.
    """

    def __init__(self, plan: Plan, before: Manifest | None = None, done: Any = None, anew: bool = False) -> None:
        self._plan, self._before, self._anew = plan, before, anew
        self._known = {} if before is None else _known(before, done)
        self.changed: list[str] = []
        """Recordings that changed after rows of them were committed, and whose units stayed as they are."""
        self._names = {known.name for known in self._known.values()}
        root = "" if before is None else before.plan.columns.about["root"]
        self._planned = {absolute_path(joined(root, below)): below for below in self._known}
        self.replaced: list[str] = []
        """The ids of units that are no longer in the manifest, since their recordings changed."""

    def manifest(self, recordings: FoundRecordings, progress: bool) -> Manifest:
        """The units of recordings, and of those that were planned before.

        Raises:
            InputError: the recordings were planned below another folder.
        """
        if self._known and not any(below in self._known for below in recordings.below):
            raise InputError(
                f"none of the recordings that were planned is in {recordings.root}; name the folder that was named "
                "then, or another output"
            )
        pa = import_pyarrow()
        grid, tables, again = self._plan.grid, [], list[str]()
        setup = OutlineSetup(grid.sample_rate, grid.window, grid.hop, grid.part_windows)
        outliners = Outliners(setup, recordings.paths)
        with (
            progress_bar(len(recordings.paths), progress, unit=" recordings", desc="planning") as bar,
            Supervisor(outliners, TIMEOUT_S) as supervisor,
        ):
            for begin in range(0, len(recordings.paths), SLICE):
                end = min(begin + SLICE, len(recordings.paths))
                found = [each for i in range(begin, end) if (each := self._new(recordings, i)) is not None]
                again += [utf8(each.below) for each in found if each.below in self._known]
                units = self._units(found, supervisor, outliners)
                tables.append(pa.table(unit_columns(units, grid.part_windows), manifest_schema()))
                bar.update(end - begin)
        if self._before is None:
            return Manifest(self._plan, pa.concat_tables(tables))
        if not any(len(table) for table in tables):
            return self._before
        stale = np.isin(self._before.table["below"].to_numpy(zero_copy_only=False), again)
        planned = {id for table in tables for id in table["unit_id"].to_pylist()}
        before = self._before.table.filter(pa.array(stale))["unit_id"].to_pylist()
        self.replaced = [id for id in before if id not in planned]
        table = pa.concat_tables([self._before.table.filter(pa.array(~stale)), *tables])
        return Manifest(
            self._before.plan,
            sort_table(table, ("below", "ascending"), ("channel", "ascending"), ("part", "ascending")),
        )

    def _new(self, recordings: FoundRecordings, number: int) -> _Found | None:
        """A recording if it must be planned; None if it was."""
        path, below, name = recordings.paths[number], recordings.below[number], recordings.names[number]
        known = self._known.get(below)
        try:
            status = path.stat()
        except OSError:  # scoring it will say why, unless that is done
            return None if known is not None else _Found(path, below, name, 0, 0)
        if known is not None and known.size == status.st_size and not (self._anew and known.has_unknown_channels):
            return None
        if known is not None and known.done and not self._anew:
            self.changed.append(str(path))
            return None
        if known is None and absolute_path(path) in self._planned:
            raise InputError(
                f"{path} was planned as {self._planned[absolute_path(path)]}, below another folder; name the folder "
                "that was named then, or another output"
            )
        return _Found(path, below, self._name(known, below, name), status.st_size, status.st_mtime_ns)

    def _name(self, known: _Known | None, below: str, name: str) -> str:
        """What the rows of a recording are called. Names stay as they were planned, and are unique."""
        if known is not None:
            return known.name
        bare = PurePosixPath(below).with_suffix("").as_posix()
        return next(each for each in (name, bare, below) if self._is_new(each))

    def _is_new(self, name: str) -> bool:
        if name in self._names:
            return False
        self._names.add(name)
        return True

    def _units(self, found: Sequence[_Found], supervisor: Supervisor, outliners: Outliners) -> Iterator[Unit]:
        outliners.found.clear()
        every = self._plan.columns.by_channel
        tasks = [Task(i, each.path) for i, each in enumerate(found) if every or not _is_read_whole(each.path)]
        for _ in supervisor.events(Schedule(tasks, lambda: True, self._plan.grid.part_windows)):
            pass
        for i, each in enumerate(found):
            yield from units_of(each, outliners.found.get(i, Outline()), self._plan)


def units_of(found: _Found, outline: Outline, plan: Plan) -> Iterator[Unit]:
    """The units of a recording: its parts; where windows are around events, all of it. Of each channel, if asked."""
    every = plan.columns.by_channel
    channels = range(1, max(1, outline.channels) + 1) if every else (None,)
    grid = plan.grid
    parts = 1 if grid.around_events else outline.parts
    windows = outline.windows
    for channel, part in itertools.product(channels, range(parts)):
        first, end = part * grid.part_windows, (part + 1) * grid.part_windows if part < parts - 1 else None
        if windows is None:
            work = found.size / BYTES_A_SECOND * grid.sample_rate / grid.hop
        else:
            time = began(outline.written, found.path.stem, grid.timezone)
            work = len(grid.wanted(time, np.arange(first, min(windows, end or windows))))
        yield Unit(
            unit_id(plan.fingerprint, found.below, found.size, first, end, channel),
            found.below,
            str(found.path),
            found.name,
            found.size,
            found.mtime_ns,
            part,
            parts,
            windows,
            work + OPENING_WINDOWS,
            channel,
            outline.channels if every else None,
        )


def _known(before: Manifest, done: Any) -> Mapping[str, _Known]:
    known: dict[str, _Known] = {}
    for unit, is_done in zip(before.units(), before.among(done).tolist(), strict=True):
        earlier = known.get(unit.below)
        is_done = is_done or (earlier is not None and earlier.done)
        known[unit.below] = _Known(unit.size, unit.name, is_done, unit.channels == 0)
    return known


def _is_read_whole(path: Location) -> bool:
    return path.suffix.lower() in READ_WHOLE
