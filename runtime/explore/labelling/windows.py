"""All windows of the rows under one number each, from 0, in the order of the files and their rows."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.audio.channels import Channel
from runtime.errors import InputError
from runtime.explore.labelled_rows import check_unique
from runtime.explore.names import RowNames, pure
from runtime.explore.pictures.sound import Recordings
from runtime.explore.rows import RowFile
from runtime.remote import Location, is_url

KEY = re.compile(r"(\d{1,4})-(\d{1,9})")
TOP = 5


@dataclass
class Windows:
    """The windows, and where their recordings are.

    Raises:
        InputError: two rows have the same row_id.
    """

    files: Sequence[RowFile]
    recordings: Sequence[Recordings]
    _places: dict[str, Location | None] = field(default_factory=dict)
    _locks: list[threading.Lock] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_unique(self.files)
        self._locks = [threading.Lock() for _ in self.files]
        self.starts = np.cumsum([0, *(file.count for file in self.files)])
        """The number of each file's first window, and the number of all."""

    def __len__(self) -> int:
        return int(self.starts[-1])

    @cached_property
    def row_ids(self) -> list[str]:
        """The row_id of each window."""
        return [row_id for file in self.files for row_id in file.row_ids.tolist()]

    @cached_property
    def paths(self) -> NDArray[np.object_]:
        """The recording of each window, as the rows name it."""
        return np.concatenate([file.paths for file in self.files]).astype(object)

    @cached_property
    def scored(self) -> NDArray[np.bool_]:
        """Which windows were scored, not interpolated, bool `[windows]`."""
        return np.concatenate([file.scored for file in self.files])

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {row_id: number for number, row_id in enumerate(self.row_ids)}

    @cached_property
    def _names(self) -> RowNames:
        return RowNames(self.row_ids, self.paths.tolist())

    def number_of(self, row_id: str) -> int | None:
        """The window of a row_id, also if it is spelt otherwise (see `RowNames`); None if there is none, or several."""
        if row_id in self._numbers:
            return self._numbers[row_id]
        found = self._names.find(row_id)
        return self._numbers[min(found)] if len(found) == 1 else None

    def own_name(self, row_id: str) -> str:
        """A window's row_id as the rows spell it; that of no window stays as it is."""
        number = self.number_of(row_id)
        return row_id if number is None else self.row_ids[number]

    def place(self, number: int) -> tuple[int, int]:
        """The file and the row of a window."""
        file = int(np.searchsorted(self.starts, number, side="right")) - 1
        return file, number - int(self.starts[file])

    def key(self, number: int) -> str:
        """What the page calls a window."""
        return "{}-{}".format(*self.place(number))

    def number_of_key(self, key: object) -> int | None:
        """The window that the page calls so; None if there is none."""
        match = KEY.fullmatch(key) if isinstance(key, str) else None
        if match is None or int(match[1]) >= len(self.files) or int(match[2]) >= self.files[int(match[1])].count:
            return None
        return int(self.starts[int(match[1])]) + int(match[2])

    def times(self, number: int) -> tuple[float, float]:
        """Where a window starts and ends in its recording, in seconds."""
        file, row = self.place(number)
        return float(self.files[file].start_s[row]), float(self.files[file].end_s[row])

    def channel(self, number: int) -> Channel:
        """The channel that was scored. The loudest one changes from window to window, so there all are heard."""
        file, row = self.place(number)
        channel = self.files[file].channel(row)
        return "mix" if channel == "loudest" else channel

    def about(self, number: int) -> dict[str, Any]:
        """What the page shows of a window's recording, site and time."""
        file, row = self.place(number)
        rows, path, (start_s, end_s) = self.files[file], self.paths[number], self.times(number)
        return {
            "key": self.key(number),
            "row_id": self.row_ids[number],
            "recording": path if is_url(path) else pure(path).as_posix(),
            "site": rows.site[row],
            "recorded_at": rows.recorded_at[row],
            "start_s": start_s,
            "end_s": end_s,
        }

    def top(self, number: int) -> list[tuple[str, float]]:
        """The classes with the highest scores, best first; none if the rows hold no scores.

        Raises:
            InputError: the file is damaged.
        """
        file, row = self.place(number)
        rows = self.files[file]
        if "label" not in rows.shapes or not self.scored[number]:
            return []
        with self._locks[file]:
            scores = rows.row("label", row)
        best = np.argpartition(-scores, min(TOP, len(scores)) - 1)[:TOP]
        best = best[np.argsort(-scores[best], kind="stable")]
        return [(rows.classes["label"][i], float(scores[i])) for i in best.tolist()]

    def find(self, number: int) -> Location | None:
        """The file of a window's recording; None if it cannot be found.

        Raises:
            InputError: it is at a URL that cannot be reached.
        """
        path = self.paths[number]
        if self._places.get(path) is None:  # it may have come since
            self._places[path] = self.recordings[self.place(number)[0]].find(path)
        return self._places[path]

    def is_missing(self, number: int) -> bool:
        """Whether a window's recording cannot be found."""
        try:
            return self.find(number) is None
        except InputError:
            return True

    def missing(self) -> tuple[NDArray[np.int64], list[str]]:
        """The windows whose recordings cannot be found, and these recordings."""
        _, firsts, of = np.unique(self.paths.astype(str), return_index=True, return_inverse=True)
        missing = np.array([self.is_missing(number) for number in firsts.tolist()], np.bool_)
        return np.flatnonzero(missing[of]), self.paths[firsts[missing]].tolist()

    def of_recording(self, number: int) -> NDArray[np.int64]:
        """All windows of the same recording."""
        return np.flatnonzero(self.paths == self.paths[number])
