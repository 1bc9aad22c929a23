"""Species of windows: a CSV of `row_id` and species, or the label files of BirdCLEF.

BirdCLEF 2021's `train_soundscape_labels.csv` has the columns row_id, site, audio_id, seconds and birds (codes
separated by spaces, or `nocall`). Its row_ids (`7019_COR_5`) leave out the date that recordings have in their names
(`7019_COR_20190904.ogg`). BirdCLEF+ 2026's `train_soundscapes_labels.csv` has filename, start, end (`00:00:05`) and
primary_label (codes separated by semicolons), and repeats some windows.

A file with the column `answer` is a journal: `perch-explore label` appends a line for each answer, and the last line of
a row_id counts.

People save such files with spreadsheets, on other systems, and type names by hand. `read_sheet` copes with separators
and encodings, `RowNames` with the spelling of row_ids, `_Names` with the spelling of species.
"""

from __future__ import annotations

import math
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.classes.taxonomy import Taxonomy
from runtime.errors import InputError, some
from runtime.explore.names import RowNames, pure
from runtime.explore.sheet import Sheet, cut_off, read_sheet
from runtime.files import composed
from runtime.model.heads import NO_CLASS, ClassList, Head, first_columns

ROW = "rowid"
SPECIES = ("birds", "primarylabel", "species", "label", "labels")
"""Columns that name species."""
TIMES = ("filename", "start", "end")
ANSWER, SOURCE = "answer", "source"
"""Columns of a journal: what was answered, and in which order of windows."""
OF_ANSWERS = (ANSWER, SOURCE, "labeller", "labelledat")
"""Columns of a journal that say nothing of species."""
LABELLED, UNSURE, WITHDRAWN = "labelled", "unsure", "withdrawn"
RANDOM = "random"
BIRDCLEF_2021 = {ROW, "site", "audioid", "seconds", "birds"}
MISSING = {"na", "n/a", "#n/a", "nan", "null", "none"}
"""What programs write into empty cells. Was nothing heard, or did nobody listen? These are refused."""
CODE = re.compile(r"[a-z]{2,6}\d{0,2}")
"""The form of an eBird code."""
NOTHING = "nocall"
"""A window in which nothing is heard; an empty cell means the same."""
WINDOW_S = 5.0
"""The window of every Perch model."""
DATE = re.compile(r"_\d{8}(?=_[^_]*$)")
FORMS = (
    "write the columns row_id and species (a line for each species of a window, or several separated by semicolons), "
    "or filename, start, end and primary_label"
)


@dataclass(frozen=True)
class Labels:
    """Species by row id; the set is empty where a window holds none.

    undated: the row ids leave out dates.
    unsure: windows that somebody heard and could not label. They have no species.
    withdrawn: windows whose answer was taken back.
    random: windows that were answered in random order (see `random_share`), or were and are no longer.
    journal: the file says of each window when it was answered, so that two spellings of one row_id would contradict.
    sha256: of the file's bytes.
    """

    source: str
    rows: Mapping[str, frozenset[str]]
    undated: bool = False
    unsure: frozenset[str] = frozenset()
    random: frozenset[str] = frozenset()
    journal: bool = False
    withdrawn: frozenset[str] = frozenset()
    sha256: str = ""

    @property
    def names(self) -> frozenset[str]:
        """All species in the labels."""
        return frozenset().union(*self.rows.values())

    def of(self, row_id: str) -> frozenset[str] | None:
        """The species of a window; None if it is not labelled."""
        return self.rows.get(self.key(row_id))

    def key(self, row_id: str) -> str:
        """The row_id of a window as the label file would write it."""
        return DATE.sub("", row_id) if self.undated and row_id not in self.rows else row_id

    def among(self, row_ids: Sequence[str], paths: Sequence[str]) -> Labels:
        """The same labels under the rows' own row_ids, where the file only spells them differently (see `RowNames`).

        A label that could mean several rows stays as it is.

        Raises:
            InputError: a journal spells one row_id in several ways; or lines of one window contradict each other.
        """
        answered, row_names = self.rows.keys() | self.unsure | self.random | self.withdrawn, RowNames(row_ids, paths)
        matches = {label: row_names.find(label) for label in answered - set(map(self.key, row_ids))}
        renamed = {label: min(rows) for label, rows in matches.items() if len(rows) == 1}
        names = Counter(renamed.get(label, label) for label in (*self.rows, *self.unsure, *self.withdrawn))
        if self.journal and names and (twice := names.most_common(1)[0])[1] > 1:
            raise InputError(
                f"{self.source} answers one window under {twice[1]} names; write {twice[0]}, as the rows do, in each "
                "of its lines"
            )
        rows: dict[str, frozenset[str]] = {}
        for label, species in self.rows.items():
            name = renamed.get(label, label)
            rows[name] = _joined(rows.get(name), species, name, f"a line of {self.source}")
        unsure, random = (frozenset(renamed.get(label, label) for label in few) for few in (self.unsure, self.random))
        return replace(self, rows=rows, unsure=unsure, random=random)

    def truth(
        self, row_ids: Sequence[str], classes: Sequence[str]
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64], tuple[str, ...]]:
        """Which of the classes each labelled row among these holds.

        Returns:
            bool `[labelled rows, classes]`; the places of the labelled rows among `row_ids`, int64 `[labelled rows]`;
            and the species in their labels that are not among the classes. If several classes have the same name, the
            first counts, as in a run; `no_ebird_code` is not a class.
        """
        places = first_columns(classes)
        labelled = [(i, names) for i, row_id in enumerate(row_ids) if (names := self.of(row_id)) is not None]
        truth = np.zeros((len(labelled), len(classes)), np.bool_)
        for row, (_, names) in enumerate(labelled):
            truth[row, [places[name] for name in names if name in places]] = True
        others = frozenset().union(*(names for _, names in labelled)) - places.keys()
        return truth, np.array([i for i, _ in labelled], np.int64), tuple(sorted(others))


class NotLearnableError(InputError):
    """More windows have to be labelled before anything can be learnt; the message says which."""


def choose_list(labels: Labels, head: Head) -> ClassList:
    """The class list of a head with most of the labels' species; the first one in a tie.

    Raises:
        InputError: the head has no class list, or none has any of the species.
    """
    if not head.class_lists:
        raise InputError(f"the output '{head.name}' has no class list to find the species of {labels.source} in")
    chosen = max(head.class_lists.values(), key=lambda each: len(labels.names.intersection(each.names)))
    if labels.names and not labels.names.intersection(chosen.names):
        like = " or ".join(
            f"{', '.join([name for name in each.names if name != NO_CLASS][:3])} ({each.namespace})"
            for each in head.class_lists.values()
        )
        raise InputError(
            f"the model has no class for any species of {labels.source} ({', '.join(sorted(labels.names)[:3])}); "
            f"its names look like {like}; write species like that"
        )
    return chosen


def read_labels(path: Path, labelled: Sequence[Path] = ()) -> Labels:
    """Reads a label file.

    Species of a window stand on lines of their own or in one cell, separated by semicolons or, if they are eBird codes,
    by spaces. Repeated lines count once; names that differ only in case are the same. In a journal the last line of a
    row_id counts. `labelled` are the rows whose windows it labels, for messages.

    Raises:
        InputError: the file cannot be read or lacks the columns; a line has no window, one that is not 5 s long, or an
            unknown answer; lines of one window contradict each other; or a journal ends within a line.
    """
    if labelled and not path.exists():
        made_by = shlex.join(["perch-explore", "label", *map(str, labelled), "--labels", str(path)])
        raise InputError(f"there is no label file {path}; `{made_by}` makes one")
    sheet = read_sheet(path, "the labels", {ROW, *SPECIES, *TIMES, ANSWER}, FORMS)
    columns = sheet.columns
    species = _species_column(sheet, columns)
    journal = ANSWER in columns
    if journal and sheet.lines and not sheet.ended:
        raise cut_off(path, sheet.lines[-1][0])
    undated = columns.keys() >= BIRDCLEF_2021
    names = _Names(codes=undated)
    rows: dict[str, frozenset[str]] = {}
    others: dict[str, set[str]] = {UNSURE: set(), WITHDRAWN: set(), RANDOM: set()}
    for number, cells in sheet.lines:
        where = f"line {number} of {path}"
        row = {name: cells[i] for name, i in columns.items()}
        row_id = row[ROW] if ROW in columns else _row_id(where, row)
        if not row_id:
            raise InputError(f"{where} has no row_id; write the recording's name and the window's end, as in a_5")
        if journal:
            rows.pop(row_id, None)
            for few in (UNSURE, WITHDRAWN):
                others[few].discard(row_id)
            if row.get(SOURCE, "").casefold() == RANDOM:
                others[RANDOM].add(row_id)
        answer = _answer(where, row[ANSWER]) if journal else LABELLED
        if answer == LABELLED:
            rows[row_id] = _joined(rows.get(row_id), names.of(row[species], where), row_id, where)
        else:
            others[answer].add(row_id)
    if not rows:
        raise (NotLearnableError if journal else InputError)(
            f"{path} has no window with the answer {LABELLED}; label some"
            if journal
            else f"{path} labels no windows; {FORMS}"
        )
    unsure, withdrawn, random = (frozenset(others[few]) for few in (UNSURE, WITHDRAWN, RANDOM))
    return Labels(str(path), rows, undated, unsure, random, journal, withdrawn, sheet.sha256)


def _joined(before: frozenset[str] | None, more: frozenset[str], row_id: str, where: str) -> frozenset[str]:
    """The species of a window by its lines before, if there are any, and one more.

    Raises:
        InputError: one names species, and by another nothing is heard.
    """
    if before is not None and bool(before) != bool(more):
        raise InputError(
            f"{where} contradicts another line of {row_id}: one names {some(sorted(before | more))}, by the other "
            "nothing is heard; take one of them out"
        )
    return more if before is None else before | more


def _species_column(sheet: Sheet, columns: Mapping[str, int]) -> str:
    species = [name for name in SPECIES if name in columns]
    others = [name for name in columns if name not in (ROW, *OF_ANSWERS)]
    if ROW in columns and (species or len(others) == 1):
        return (species or others)[0]
    if species and all(name in columns for name in TIMES):
        return species[0]
    named = ", ".join(name for name in sheet.header if name)
    raise InputError(f"{sheet.path} is no label file: its columns are {named or 'none'}; {FORMS}")


def _answer(where: str, cell: str) -> str:
    answer = cell.casefold()
    if answer not in (LABELLED, UNSURE, WITHDRAWN):
        raise InputError(f"{where} has the answer {cell!r}; write {LABELLED}, {UNSURE} or {WITHDRAWN}")
    return answer


def _row_id(where: str, row: Mapping[str, str]) -> str:
    start, end = (_seconds(where, row[name]) for name in TIMES[1:])
    if abs(end - start - WINDOW_S) > 1e-6:
        raise InputError(
            f"{where} labels {start:g} to {end:g} s, which is not a window of {WINDOW_S:g} s; write a line for "
            "each window"
        )
    return f"{pure(row['filename']).with_suffix('').as_posix()}_{end:.10g}" if row["filename"] else ""


def _seconds(where: str, text: str) -> float:
    """Seconds from `5`, `5.0`, `5,0` or `00:00:05`."""
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
    """The species of a file under their first spelling. `codes`: species are codes, separated by spaces."""

    codes: bool
    spellings: dict[str, str] = field(default_factory=dict)

    def of(self, cell: str, where: str) -> frozenset[str]:
        """The species in a cell."""
        parts = [name for part in cell.split(";") for name in self._split(" ".join(composed(part).split()), where)]
        species = [name for name in parts if name.casefold() not in ("", NOTHING)]
        return frozenset(self.spellings.setdefault(name.casefold(), name) for name in species)

    def _split(self, name: str, where: str) -> list[str]:
        """A species' name as it is, or split into the codes that it consists of."""
        parts = name.split(" ")
        if name.casefold() in MISSING:
            raise InputError(
                f"{where} has the species {name}; leave the cell empty where nothing is heard, and leave out the line "
                "of a window that nobody listened to"
            )
        is_code = [part == NOTHING or Taxonomy().knows(part) for part in parts]
        if self.codes or all(is_code):
            return parts
        if any(is_code) and all(map(CODE.fullmatch, parts)):
            raise InputError(
                f"{where} has the species {name}; separate several species by semicolons, or begin a name with "
                "a capital"
            )
        return [name]


def species_in(cell: str, where: str) -> frozenset[str]:
    """The species in a cell of a label file whose species need not be codes.

    Raises:
        InputError: the cell, which is at `where`, cannot be read.
    """
    return _Names(codes=False).of(cell, where)
