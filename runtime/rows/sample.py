"""A sample submission: the recordings that its rows name, and a run's rows arranged to match it exactly."""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.audio.paths import FoundRecordings
from runtime.errors import InputError, counted, some
from runtime.files import composed
from runtime.remote import Location, path_below
from runtime.rows.block import Block, Columns, Origin, count_statuses, unscored, writable

END = re.compile(r"(?:\d+\.?\d*|\.\d+)", re.ASCII)
NEAR_S = 0.005
"""How far a row's end may be from a window's: ends are often rounded."""
PAGE_BYTES = 32 * 2**20
"""Rows are put in order page by page. Where the sample keeps each recording's rows together one page is held at a time,
since recordings are scored in its order; else up to all of them, which for a submission is little."""
LEAST_HOP_S = 0.5
NAMES_NONE = (
    "the sample submission names none of the recordings: its classes are taken, and rows are the recordings' own"
)


class Lack(IntEnum):
    """Why a recording lacks a row that a sample submission has."""

    NO_SUCH_WINDOW = 0
    UNREADABLE = 1
    NOT_REACHED = 2


class SampleSubmission:
    """The rows of a sample submission that decides which rows there are, and their order.

    Args:
        row_ids: its rows.
        recordings: all recordings.
        sample_rate: of windows, in Hz.
        window: samples of a window.
        hop: samples from one window's start to the next.

    Raises:
        InputError: a row could be of several recordings.
    """

    def __init__(
        self, row_ids: Sequence[str], recordings: FoundRecordings, sample_rate: int, window: int, hop: int
    ) -> None:
        self.row_ids = tuple(row_ids)
        self._rate, self._window, self._hop = sample_rate, window, hop
        names, ends = _split(self.row_ids)
        by_name = _ByName(recordings)
        order: dict[int, int] = {}  # from places among all recordings to places among the named ones
        places = {name: by_name[name] for name in dict.fromkeys(names)}
        owners = [-1 if (at := places[name]) is None else order.setdefault(at, len(order)) for name in names]
        self.recordings = replace(
            recordings,
            paths=tuple(recordings.paths[at] for at in order),
            names=tuple(recordings.names[at] for at in order),
        )
        """The recordings that are named, in the order of their first rows."""
        self.unnamed = [path for at, path in enumerate(recordings.paths) if at not in order]
        self.absent = [name for name, at in places.items() if at is None and name]
        """Names of recordings that do not exist."""
        self.nameless = [row_id for row_id, name in zip(self.row_ids, names) if not name]
        """Rows that name no recording."""
        self._owners, self._ends = np.array(owners, np.int64), ends
        """For each row its recording's place in `recordings`, -1 if there is none; and its end in seconds."""
        self._indices = self._windows()
        self._by_window = np.lexsort((self._indices, self._owners))
        """The rows by recording and window."""
        self._firsts = np.searchsorted(self._owners[self._by_window], np.arange(len(order) + 1))
        """Where each recording's rows begin in `_by_window`."""
        self._numbers = {name: number for number, name in enumerate(self.recordings.names)}
        self._lacks = [Lack.NOT_REACHED] * len(order)
        self.counts: Counter[str] = Counter()
        """How many rows have each status."""
        self.dropped = self._beyond_end = 0

    def _windows(self) -> NDArray[np.int64]:
        """The window of each row, -1 where none ends when the row does."""
        exact = (self._ends * self._rate - self._window) / self._hop
        nearest = np.where(np.isfinite(exact) & (np.abs(exact) < 2**52), np.round(exact), -1)
        near = np.abs(exact - nearest) * self._hop <= min(NEAR_S * self._rate, self._hop / 4)
        return np.where(near & (nearest >= 0), nearest, -1).astype(np.int64)

    def __len__(self) -> int:
        return len(self.row_ids)

    @property
    def lacking(self) -> int:
        """How many rows have no window: no such recording, one that is too short, or no window that ends then."""
        return self._beyond_end + self._off_grid + int((self._owners < 0).sum())

    @property
    def _off_grid(self) -> int:
        return int(((self._indices < 0) & (self._owners >= 0)).sum())

    @property
    def fingerprint(self) -> str:
        """What a resumed run compares."""
        return f"{len(self)} rows ({zlib.crc32(chr(10).join(self.row_ids).encode(errors='surrogateescape')):08x})"

    def note(self, recording: int, lack: Lack) -> None:
        """Records why a recording lacks the rows that do not come."""
        self._lacks[recording] = lack

    def arranged(self, blocks: Iterable[Block], columns: Columns) -> Iterator[Block]:
        """Exactly the sample's rows, in its order; `blocks` are the recordings' own, in the order of `recordings`.

        `note` must have been called for each recording when the last block has come.
        """
        self.counts, self.dropped, self._beyond_end = Counter(), 0, 0
        self._origins: dict[str, Origin] = {}
        status = np.full(len(self), "", "<U12")
        size = max(1, PAGE_BYTES // (4 * columns.numbers))
        last_owners = [int(self._owners[at : at + size].max()) for at in range(0, len(self), size)]  # of each page
        pages: dict[int, dict[str, NDArray[np.floating]]] = {}
        at = 0
        for block in blocks:
            if not len(block):
                continue
            self._origins |= block.origins
            number = self._numbers[block.row_ids[0].rpartition("_")[0]]
            while at < len(last_owners) and last_owners[at] < number:
                yield self._page(at, size, status, pages.pop(at, None), columns)
                at += 1
            rows, places = self._wanted(block, number)
            dropped = block.status != "filled"
            dropped[rows] = False
            self.dropped += int(dropped.sum())
            status[places] = block.status[rows]
            scored = block.has_score[rows]
            rows, places = rows[scored], places[scored]
            for page in np.unique(places // size).tolist():
                here = places // size == page
                if page not in pages:
                    count = min(size, len(self) - page * size)
                    pages[page] = writable(columns, count)
                for name, values in block.outputs.items():
                    pages[page][name][places[here] - page * size] = values[rows[here]]
            del block  # it would stay in memory while the next one is read
        for page in range(at, len(last_owners)):
            yield self._page(page, size, status, pages.pop(page, None), columns)

    def _wanted(self, block: Block, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows of a block that the sample has, and their places in it."""
        own = self._by_window[self._firsts[number] : self._firsts[number + 1]]
        first = round(float(block.start_s[0]) * self._rate / self._hop)
        begin, end = np.searchsorted(self._indices[own], [first, first + len(block)])
        places = own[begin:end]
        return self._indices[places] - first, places

    def _page(
        self,
        page: int,
        size: int,
        status: NDArray[np.str_],
        outputs: Mapping[str, NDArray[np.floating]] | None,
        columns: Columns,
    ) -> Block:
        """A page of `size` rows, once all of its rows have come. Completes `status` and counts the rows."""
        rows = slice(page * size, (page + 1) * size)
        here, owners, indices = status[rows], self._owners[rows], self._indices[rows]
        missing = (here == "") & (indices >= 0) & (owners >= 0)
        lacks = np.array([*self._lacks, Lack.NOT_REACHED])[owners]  # the last one stands in for an owner of -1
        here[missing & (lacks == Lack.UNREADABLE)] = "failed"
        self._beyond_end += int((missing & (lacks == Lack.NO_SUCH_WINDOW)).sum())
        here[here == ""] = "filled"
        self.counts.update(count_statuses(here))
        window_s = self._window / self._rate
        starts = np.where(indices >= 0, indices * self._hop / self._rate, self._ends[rows] - window_s)
        paths = [*map(str, self.recordings.paths), ""]
        values = unscored(columns, len(here)) if outputs is None else outputs
        owned = [paths[owner] for owner in owners.tolist()]
        origins = {path: self._origins[path] for path in dict.fromkeys(owned) if path in self._origins}
        return Block("", list(self.row_ids[rows]), starts, starts + window_s, here, values, owned, origins)

    def summary(self) -> list[str]:
        """Lines about rows that were filled or dropped, and recordings that were left out."""

        def rows(count: int) -> str:
            return f"{counted(count, 'row')} of the sample submission"

        lines = []
        if self._beyond_end:
            lines.append(f"filled: {rows(self._beyond_end)}, beyond the end of a recording")
        if self._off_grid:
            lines.append(f"filled: {rows(self._off_grid)}, where no window ends{self._advice}")
        if self.absent and self.recordings.paths:
            count = int((self._owners < 0).sum()) - len(self.nameless)
            lines.append(f"filled: {rows(count)}, of recordings that are not there: {some(self.absent)}")
        if self.nameless and self.recordings.paths:
            lines.append(
                f"filled: {rows(len(self.nameless))}, without a recording's name and a _: {some(self.nameless)}"
            )
        if self.dropped:
            lines.append(f"dropped: {counted(self.dropped, 'row')} that the sample submission does not have")
        if self.unnamed:
            names = some([path.name for path in self.unnamed])
            left_out = counted(len(self.unnamed), "recording")
            lines.append(f"left out: {left_out} of which the sample submission has no row: {names}")
        return lines

    @property
    def _advice(self) -> str:
        """Names the hop with which every row would have a window, unless it is very short."""
        ends = self._ends[(self._owners >= 0) & np.isfinite(self._ends)]
        starts = [round(end * self._rate) - self._window for end in ends[ends < 2**31].tolist()]
        hop = math.gcd(*starts) / self._rate
        fits = hop >= LEAST_HOP_S and min(starts) >= 0
        return f"; a hop of {hop:g} s scores all rows" if fits else ""


class _ByName:
    """Finds the recording that a row names: by its stem, or by its path below the folder."""

    def __init__(self, recordings: FoundRecordings) -> None:
        self._paths = recordings.paths
        self._indexes: list[dict[str, list[int]]] = []  # one for each way to name a recording
        for names in zip(*(_names(path, recordings.root) for path in recordings.paths)):
            index = defaultdict(list)
            for at, name in enumerate(names):
                index[_comparable(name)].append(at)
            self._indexes.append(index)

    def __getitem__(self, name: str) -> int | None:
        for index in self._indexes:
            if places := index.get(_comparable(name)):
                if len(places) > 1:
                    raise _ambiguous(*(self._paths[at] for at in places[:2]))
                return places[0]
        return None


def match_sample(
    row_ids: Sequence[str], recordings: FoundRecordings, sample_rate: int, window: int, hop: int
) -> SampleSubmission | None:
    """A sample submission's rows matched to recordings; None where it names none of them.

    Raises:
        InputError: recordings would have the same row_ids.
    """
    if row_ids:
        sample = SampleSubmission(row_ids, recordings, sample_rate, window, hop)
        if sample.recordings.paths or not recordings.paths:
            return sample
    if recordings.repeated_stem is not None:
        raise _ambiguous(*recordings.repeated_stem)
    return None


def _ambiguous(one: Location, other: Location) -> InputError:
    return InputError(f"{one} and {other} would have the same row_ids in a submission; rename one, or run them apart")


def _names(path: Location, root: str | Path) -> tuple[str, str, str]:
    """What a row may call a recording: its stem, or its path below the folder, without its ending or with it."""
    below = path_below(path, root)
    return path.stem, Path(below).with_suffix("").as_posix(), below


def _comparable(name: str) -> str:
    """The same for names that differ only in how letters are encoded, in spaces around them, or in their slashes."""
    return composed(name.strip().replace("\\", "/"))


def _split(row_ids: Sequence[str]) -> tuple[list[str], NDArray[np.float64]]:
    """The recording that each row names, and the row's end in seconds; NaN where it has none."""
    parts = [row_id.rpartition("_") for row_id in row_ids]
    ends = [float(end) if END.fullmatch(end := last.strip()) else math.nan for _, _, last in parts]
    return [name for name, _, _ in parts], np.array(ends, np.float64)
