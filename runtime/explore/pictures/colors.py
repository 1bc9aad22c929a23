"""What colours the points of a picture: their soundscape, top species, hour, or what a table says of them."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError
from runtime.explore.labels import NOTHING, ROW, Labels, read_labels
from runtime.explore.names import pure
from runtime.explore.sheet import column_key, read_sheet

HUES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"""Told apart by eyes that confuse red and green (Okabe and Ito), and seen on light and dark paper."""
MARKERS = ("circle", "diamond")
"""Hues come twice, with another marker."""
MOST = len(HUES) * len(MARKERS)
REST = "#8a9490"
OTHER, UNKNOWN = "other", "no label"
MANY, NONE = -1, -2
TIME = re.compile(r"(?<!\d)(\d{4})-?(\d\d)-?(\d\d)[T_ -](\d\d)[-:_.]?([0-5]\d)(?:[-:_.]?([0-5]\d))?(?!\d)")
"""A date and a time in a recording's name: 20190904_051500, 20190904T0515, 2024-05-17T05-15-00, 2024-05-17_05.15."""


@dataclass(frozen=True)
class Category:
    """Points of one colour; `marker` is circle, diamond or cross."""

    name: str
    color: str
    marker: str
    count: int


@dataclass(frozen=True)
class Coloring:
    """`title` says what colours mean; `of` is each point's place in `categories`, int64 `[points]`."""

    title: str
    categories: tuple[Category, ...]
    of: NDArray[np.int64]


def color(names: Sequence[str], title: str, in_order: bool = False) -> Coloring:
    """Colours for points of these names; those of an empty name have no label.

    The most frequent names have colours, the others share one. Names that are `in_order` keep it, in colours from dark
    to light; they may be as many as there are.
    """
    counts = Counter(name for name in names if name)
    shown = sorted(counts) if in_order else [name for name, _ in counts.most_common(MOST)]
    categories = [
        Category(name, hue, marker, counts[name]) for name, (hue, marker) in zip(shown, _looks(len(shown), in_order))
    ]
    places = {name: i for i, name in enumerate(shown)}
    of = np.array([places.get(name, MANY) if name else NONE for name in names], np.int64)
    for sign, name, marker in ((MANY, OTHER, "circle"), (NONE, UNKNOWN, "cross")):
        if count := int((of == sign).sum()):
            of[of == sign] = len(categories)
            categories.append(Category(name, REST, marker, count))
    return Coloring(title, tuple(categories), of)


def _looks(count: int, in_order: bool) -> list[tuple[str, str]]:
    if not in_order:
        return [(hue, marker) for marker in MARKERS for hue in HUES]
    # the ends of the map would be lost on dark and on light paper
    shades = matplotlib.colormaps["viridis"](np.linspace(0.2, 0.9, count))
    return [(matplotlib.colors.to_hex(shade), "circle") for shade in shades]


def soundscapes(row_ids: Sequence[str]) -> list[str]:
    """The recordings that rows are named by."""
    return [row_id.rpartition("_")[0] for row_id in row_ids]


def hours(paths: Sequence[str], start_s: NDArray[np.float64]) -> list[str]:
    """The hours in which windows start, such as `05:00`, by the times in their recordings' names; empty without one.

    Raises:
        InputError: no name holds a time.
    """
    known = {path: time_of(path) for path in set(paths)}
    if not any(known.values()):
        raise InputError(
            f"no recording's name holds a date and a time such as 20190904_051500 or 2024-05-17T05-15-00 (the first is "
            f"{pure(paths[0]).name}); use `--color soundscape`"
        )
    times = [known[path] for path in paths]
    return [
        f"{int((time.hour * 3600 + time.minute * 60 + time.second + start) // 3600 % 24):02}:00" if time else ""
        for time, start in zip(times, start_s, strict=True)
    ]


def time_of(path: str) -> datetime.datetime | None:
    """When a recording was made, as its name tells it; None if it does not."""
    for found in TIME.finditer(pure(path).name):
        try:
            return datetime.datetime(*(int(part or 0) for part in found.groups()))  # type: ignore[arg-type]
        except ValueError:
            continue
    return None


def labels(table: str, row_ids: Sequence[str], paths: Sequence[str] = ()) -> list[str]:
    """What a CSV says of rows: `FILE.csv` with their species (see `read_labels`), or `FILE.csv:COLUMN`; empty where it
    says nothing. Several species of a window are joined by ` + `.

    Raises:
        InputError: the file cannot be read, has no such column, or names none of the rows.
    """
    path, _, column = table.rpartition(":")
    if Path(table).is_file() or not path or not column:
        path, said, nothing = table, read_labels(Path(table)), NOTHING
    else:
        said, nothing = _column(Path(path), column), ""
    found = said.among(row_ids, paths)
    known = {
        row_id: " + ".join(sorted(names)) or nothing for row_id in row_ids if (names := found.of(row_id)) is not None
    }
    if not known:
        first = next(iter(said.rows), "nothing")
        raise InputError(f"{path} names none of the rows: it says {first} where they are called {row_ids[0]}")
    return [known.get(row_id, "") for row_id in row_ids]


def _column(path: Path, column: str) -> Labels:
    """A column of a table, by row_id."""
    sheet = read_sheet(path, "the colours", {ROW, column_key(column)})
    for key, name in ((ROW, "row_id"), (column_key(column), column)):
        if key not in sheet.columns:
            named = ", ".join(name for name in sheet.header if name)
            raise InputError(f"{path} has no column {name!r}, but {named or 'none'}")
    row_id, cell = sheet.columns[ROW], sheet.columns[column_key(column)]
    return Labels(str(path), {cells[row_id]: frozenset({cells[cell]} - {""}) for _, cells in sheet.lines})
