"""What is known to be heard in windows: a CSV of `row_id` and species, or the label files of BirdCLEF.

BirdCLEF 2021's `train_soundscape_labels.csv` has the columns row_id, site, audio_id, seconds and birds (codes apart by
spaces, or `nocall`), and leaves the date in a recording's name (`7019_COR_20190904.ogg`) out of its row_id
(`7019_COR_5`). BirdCLEF+ 2026's `train_soundscapes_labels.csv` has filename, start, end (`00:00:05`) and primary_label
(codes apart by semicolons), and says some windows twice.

People save such files with spreadsheets, on other systems, and write names by hand: see `read_sheet` for what stands
between cells, `Labels.among` for row_ids, `_Names` for species.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.classes.taxonomy import Taxonomy
from runtime.errors import InputError
from runtime.explore.names import comparable, pure
from runtime.explore.sheet import Sheet, read_sheet
from runtime.files import composed
from runtime.model.heads import NO_CLASS, ClassList, Head, first_columns

ROW = "rowid"
SPECIES = ("birds", "primarylabel", "species", "label", "labels")
"""Columns that name species."""
TIMES = ("filename", "start", "end")
BIRDCLEF_2021 = {ROW, "site", "audioid", "seconds", "birds"}
MISSING = {"na", "n/a", "#n/a", "nan", "null", "none"}
"""What programs write into cells that they know nothing of: heard nothing, or not listened?"""
CODE = re.compile(r"[a-z]{2,6}\d{0,2}")
"""What an eBird code looks like."""
Find = Callable[[Collection[str], Sequence[str], Sequence[str]], dict[str, set[str]]]
"""Finds some labels among rows, by their row_ids and paths: the row_ids that each may be."""
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

    def among(self, row_ids: Sequence[str], paths: Sequence[str]) -> Labels:
        """These labels by the rows' own row_ids, where those of the file are only written in another way: letters
        taken apart, backslashes, `5.0` or `5,0` for 5, other capitals, or with folders of the row's path in front.

        A label that may be of several rows stays as it is.
        """
        renamed: dict[str, str] = {}
        if left := self.rows.keys() - set(map(self.key, row_ids)):
            for find in (_by_form(comparable), _by_form(lambda name: comparable(name).casefold()), _by_path):
                found = find(left, row_ids, paths)
                renamed |= {label: min(rows) for label, rows in found.items() if len(rows) == 1}
                left -= found.keys()
        rows: dict[str, frozenset[str]] = {}
        for label, species in self.rows.items():
            name = renamed.get(label, label)
            rows[name] = rows.get(name, frozenset()) | species
        return replace(self, rows=rows)

    def truth(
        self, row_ids: Sequence[str], classes: Sequence[str]
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64], tuple[str, ...]]:
        """What is true of these rows, as far as they are labelled.

        Returns whether each of the labelled rows holds each class, bool `[labelled rows, classes]`; which of the rows
        these are, int64 `[labelled rows]`; and the names in their labels that no class has. Of classes with the same
        name the first is taken, as in a run; `no_ebird_code` is none.
        """
        places = first_columns(classes)
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

    Species of a window stand on lines of their own or in one cell, apart by semicolons or, if they are eBird's codes,
    by spaces. What is said twice counts once; names that differ in capitals alone are the same.

    Raises:
        InputError: the file cannot be read, has not the columns, or a line of it has no window or not one of 5 s.
    """
    sheet = read_sheet(path, "the labels", {ROW, *SPECIES, *TIMES}, FORMS)
    columns = sheet.columns
    species = _species_column(sheet, columns)
    undated = columns.keys() >= BIRDCLEF_2021
    names = _Names(codes=undated)
    rows: dict[str, frozenset[str]] = {}
    for number, cells in sheet.lines:
        where = f"line {number} of {path}"
        row = {name: cells[i] for name, i in columns.items()}
        row_id = row[ROW] if ROW in columns else _row_id(where, row)
        if not row_id:
            raise InputError(f"{where} has no row_id; write the recording's name and the window's end, as in a_5")
        rows[row_id] = rows.get(row_id, frozenset()) | names.of(row[species], where)
    if not rows:
        raise InputError(f"{path} labels no windows; {FORMS}")
    return Labels(str(path), rows, undated)


def _by_form(form: Callable[[str], str]) -> Find:
    """Finds labels among rows whose row_ids have the same form."""

    def find(labels: Collection[str], row_ids: Sequence[str], paths: Sequence[str]) -> dict[str, set[str]]:
        rows = defaultdict(set)
        for row_id in row_ids:
            rows[form(row_id)].add(row_id)
        return {label: rows[form(label)] for label in labels if form(label) in rows}

    return find


def _by_path(labels: Collection[str], row_ids: Sequence[str], paths: Sequence[str]) -> dict[str, set[str]]:
    """Finds labels with folders among rows whose recording's path ends so."""
    rows = defaultdict(list)
    stems = {path: (pure(path).parent / pure(path).stem).as_posix() for path in dict.fromkeys(paths)}
    for row_id, path in zip(row_ids, paths):
        whole = f"/{stems[path]}_{comparable(row_id).rpartition('_')[2]}"
        rows[whole.rpartition("/")[2]].append((whole, row_id))
    names = {label: name for label in labels if "/" in (name := comparable(label))}
    found = {
        label: {row_id for whole, row_id in rows.get(name.rpartition("/")[2], ()) if whole.endswith(f"/{name}")}
        for label, name in names.items()
    }
    return {label: some for label, some in found.items() if some}


def _species_column(sheet: Sheet, columns: Mapping[str, int]) -> str:
    found = [name for name in SPECIES if name in columns]
    others = [name for name in columns if name != ROW]
    if ROW in columns and (found or len(others) == 1):
        return (found or others)[0]
    if found and all(name in columns for name in TIMES):
        return found[0]
    named = ", ".join(name for name in sheet.header if name)
    raise InputError(f"{sheet.path} is no label file: its columns are {named or 'none'}; {FORMS}")


def _row_id(where: str, row: Mapping[str, str]) -> str:
    start, end = (_seconds(where, row[name]) for name in TIMES[1:])
    if abs(end - start - WINDOW_S) > 1e-6:
        raise InputError(
            f"{where} labels {start:g} to {end:g} s, which is no window of {WINDOW_S:g} s; write a line for each window"
        )
    return f"{pure(row['filename']).with_suffix('').as_posix()}_{end:.10g}" if row["filename"] else ""


def _seconds(where: str, text: str) -> float:
    """Seconds, or hours, minutes and seconds; with a point or a comma."""
    try:
        parts = reversed(text.replace(",", ".").split(":"))
        seconds = sum(float(part) * 60**i for i, part in enumerate(parts))
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise InputError(f"{where} has the time {text!r}; write seconds, or 00:00:05")
    return seconds


@dataclass
class _Names:
    """The species of a file, by the first spelling of each. `codes` says that spaces stand between all."""

    codes: bool
    spellings: dict[str, str] = field(default_factory=dict)

    def of(self, cell: str, where: str) -> frozenset[str]:
        """The species that a cell names."""
        parts = [name for part in cell.split(";") for name in self._split(" ".join(composed(part).split()), where)]
        heard = [name for name in parts if name.casefold() not in ("", NOTHING)]
        return frozenset(self.spellings.setdefault(name.casefold(), name) for name in heard)

    def _split(self, name: str, where: str) -> list[str]:
        """A name, or the codes that it is made of."""
        parts = name.split(" ")
        if name.casefold() in MISSING:
            raise InputError(
                f"{where} has the species {name}; leave the cell empty where nothing is heard, and the line out where "
                "nothing is known"
            )
        known = [part == NOTHING or Taxonomy().knows(part) for part in parts]
        if self.codes or all(known):
            return parts
        if any(known) and all(map(CODE.fullmatch, parts)):
            raise InputError(
                f"{where} has the species {name}; write semicolons between several, or a capital if it is one"
            )
        return [name]
