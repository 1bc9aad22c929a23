"""What is known to be heard in windows: a CSV of `row_id` and species, or the label files of BirdCLEF.

BirdCLEF 2021's `train_soundscape_labels.csv` has the columns row_id, site, audio_id, seconds and birds (codes apart by
spaces, or `nocall`), and leaves the date in a recording's name (`7019_COR_20190904.ogg`) out of its row_id
(`7019_COR_5`). BirdCLEF+ 2026's `train_soundscapes_labels.csv` has filename, start, end (`00:00:05`) and primary_label
(codes apart by semicolons), and says some windows twice.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError, reason
from runtime.heads import NO_CLASS, ClassList, Head

SPECIES = ("birds", "primary_label", "species", "label", "labels")
"""Columns that name species."""
TIMES = ("filename", "start", "end")
NOTHING = "nocall"
"""Stands for a window in which nothing is heard, as an empty cell does."""
WINDOW_S = 5.0
"""What every Perch hears at once."""
DATE = re.compile(r"_\d{8}(?=_[^_]*$)")
FORMS = (
    "write the columns row_id and species (a line for each species of a window, or several apart by semicolons), "
    "or filename, start, end and primary_label"
)


@dataclass(frozen=True)
class Labels:
    """Species by row id, empty where a window holds none. `undated` says that dates are left out of the row ids."""

    source: str
    rows: Mapping[str, frozenset[str]]
    undated: bool = False

    @property
    def names(self) -> frozenset[str]:
        """All species that are named."""
        return frozenset().union(*self.rows.values())

    def of(self, row_id: str) -> frozenset[str] | None:
        """The species of a window; None where it is not labelled."""
        return self.rows.get(self.key(row_id))

    def key(self, row_id: str) -> str:
        """What a window would be called in the label file."""
        return DATE.sub("", row_id) if self.undated and row_id not in self.rows else row_id

    def truth(
        self, row_ids: Sequence[str], classes: Sequence[str]
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64], tuple[str, ...]]:
        """What is true of these rows, as far as they are labelled.

        Returns whether each of the labelled rows holds each class, bool `[labelled rows, classes]`; which of the rows
        these are, int64 `[labelled rows]`; and the names in their labels that no class has. Of classes with the same
        name the first is taken, as in a run; `no_ebird_code` is none.
        """
        places = {name: i for i, name in reversed(list(enumerate(classes))) if name != NO_CLASS}
        found = [(i, names) for i, row_id in enumerate(row_ids) if (names := self.of(row_id)) is not None]
        truth = np.zeros((len(found), len(classes)), np.bool_)
        for row, (_, names) in enumerate(found):
            truth[row, [places[name] for name in names if name in places]] = True
        unknown = frozenset().union(*(names for _, names in found)) - places.keys()
        return truth, np.array([i for i, _ in found], np.int64), tuple(sorted(unknown))


def choose_list(labels: Labels, head: Head) -> ClassList:
    """The class list of a head that knows most of the labels' names; the first, of equal ones.

    Raises:
        InputError: the head has no class list, or none knows any of the names.
    """
    if not head.class_lists:
        raise InputError(f"the output '{head.name}' has no class list to find the species of {labels.source} in")
    chosen = max(head.class_lists.values(), key=lambda known: len(labels.names.intersection(known.names)))
    if labels.names and not labels.names.intersection(chosen.names):
        like = " or ".join(
            f"{', '.join([name for name in known.names if name != NO_CLASS][:3])} ({known.namespace})"
            for known in head.class_lists.values()
        )
        raise InputError(
            f"no species of {labels.source} ({', '.join(sorted(labels.names)[:3])}) is known to the model, whose names "
            f"are like {like}; name them so"
        )
    return chosen


def read_labels(path: Path) -> Labels:
    """Reads a label file.

    Species of a window stand on lines of their own or in one cell, apart by semicolons or, if they are codes (in which
    there are no capitals), by spaces. What is said twice counts once.

    Raises:
        InputError: the file cannot be read, has not the columns, or a line of it has no window or not one of 5 s.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, [cell.strip() for cell in line]) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the labels from {path}: {reason(error)}; {FORMS}") from None
    (_, header), *body = [(number, cells) for number, cells in lines if any(cells)] or [(0, [])]
    columns = {name: header.index(name) for name in header if name}
    species = _species_column(path, columns)
    rows: dict[str, frozenset[str]] = {}
    for number, cells in body:
        where = f"line {number} of {path}"
        if len(cells) <= max(columns.values()):
            raise InputError(f"{where} has {len(cells)} cells where the first line has {len(header)}; {FORMS}")
        row = {name: cells[i] for name, i in columns.items()}
        row_id = row["row_id"] if "row_id" in columns else _row_id(where, row)
        if not row_id:
            raise InputError(f"{where} has no row_id; write the recording's name and the window's end, as in a_5")
        rows[row_id] = rows.get(row_id, frozenset()) | _names(row[species], species)
    if not rows:
        raise InputError(f"{path} labels no windows; {FORMS}")
    return Labels(str(path), rows, undated={"row_id", "site", "audio_id", "seconds"} <= columns.keys())


def _species_column(path: Path, columns: Mapping[str, int]) -> str:
    found = [name for name in SPECIES if name in columns]
    others = [name for name in columns if name != "row_id"]
    if "row_id" in columns and (found or len(others) == 1):
        return (found or others)[0]
    if found and all(name in columns for name in TIMES):
        return found[0]
    raise InputError(f"{path} is no label file: its columns are {', '.join(columns) or 'none'}; {FORMS}")


def _row_id(where: str, row: Mapping[str, str]) -> str:
    start, end = (_seconds(where, row[name]) for name in TIMES[1:])
    if abs(end - start - WINDOW_S) > 1e-6:
        raise InputError(
            f"{where} labels {start:g} to {end:g} s, which is no window of {WINDOW_S:g} s; write a line for each window"
        )
    return f"{PurePosixPath(row['filename']).with_suffix('')}_{end:g}" if row["filename"] else ""


def _seconds(where: str, text: str) -> float:
    """Seconds, or hours, minutes and seconds."""
    try:
        seconds = sum(float(part) * 60**i for i, part in enumerate(reversed(text.split(":"))))
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise InputError(f"{where} has the time {text!r}; write seconds, or 00:00:05")
    return seconds


def _names(cell: str, column: str) -> frozenset[str]:
    codes = column == "birds" or cell == cell.lower()
    names = re.split(r"[;\s]+" if codes else ";", cell)
    return frozenset(name.strip() for name in names) - {"", NOTHING}
