"""Colours of points: by soundscape, top species, hour, or a column of a table."""

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
from runtime.explore.label_files import NOTHING, ROW, Labels, read_labels
from runtime.explore.names import pure
from runtime.explore.sheet import column_key, read_sheet

HUES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"""Safe for colour-blind readers (Okabe and Ito), and visible on light and dark backgrounds."""
MARKERS = ("circle", "diamond")
"""Each hue comes once with each marker."""
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
    """`title` says what the colours stand for; `of` is each point's place in `categories`, int64 `[points]`."""

    title: str
    categories: tuple[Category, ...]
    of: NDArray[np.int64]


def color(names: Sequence[str], title: str, in_order: bool = False) -> Coloring:
    """Colours for points with these names; an empty name means no label.

    The most frequent names get colours of their own, all others share one. With `in_order` every name gets one, from
    dark to light in sorted order.
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
    # the ends of the map are hard to see on dark or light backgrounds
    shades = matplotlib.colormaps["viridis"](np.linspace(0.2, 0.9, count))
    return [(matplotlib.colors.to_hex(shade), "circle") for shade in shades]


def soundscapes(row_ids: Sequence[str]) -> list[str]:
    """The recordings in the names of rows."""
    return [row_id.rpartition("_")[0] for row_id in row_ids]


def hours(paths: Sequence[str], start_s: NDArray[np.float64]) -> list[str]:
    """The hour in which each window starts, such as `05:00`, from the time in its recording's name; empty without one.

    Raises:
        InputError: no name holds a time.
    """
    times_by_path = {path: time_of(path) for path in set(paths)}
    if not any(times_by_path.values()):
        raise InputError(
            f"no recording's name holds a date and a time such as 20190904_051500 or 2024-05-17T05-15-00 (the first is "
            f"{pure(paths[0]).name}); use `--color soundscape`"
        )
    times = [times_by_path[path] for path in paths]
    return [
        f"{int((time.hour * 3600 + time.minute * 60 + time.second + start) // 3600 % 24):02}:00" if time else ""
        for time, start in zip(times, start_s, strict=True)
    ]


def time_of(path: str) -> datetime.datetime | None:
    """The time in a recording's name; None if it has none."""
    for match in TIME.finditer(pure(path).name):
        try:
            return datetime.datetime(*(int(part or 0) for part in match.groups()))  # type: ignore[arg-type]
        except ValueError:
            continue
    return None


def labels(table: str, row_ids: Sequence[str], paths: Sequence[str] = ()) -> list[str]:
    """The label of each row: its species from `FILE.csv` (see `read_labels`), or its cell in `FILE.csv:COLUMN`.

    A row that the file lacks has an empty label. Several species of a window are joined by ` + `.

    Raises:
        InputError: the file cannot be read, has no such column, or names none of the rows.
    """
    path, _, column = table.rpartition(":")
    if Path(table).is_file() or not path or not column:
        path, table_labels, nothing = table, read_labels(Path(table)), NOTHING
    else:
        table_labels, nothing = _column(Path(path), column), ""
    matched = table_labels.among(row_ids, paths)
    label_of = {
        row_id: " + ".join(sorted(names)) or nothing for row_id in row_ids if (names := matched.of(row_id)) is not None
    }
    if not label_of:
        first = next(iter(table_labels.rows), "nothing")
        raise InputError(f"{path} names none of the rows: it has {first}, but rows are called {row_ids[0]}")
    return [label_of.get(row_id, "") for row_id in row_ids]


def _column(path: Path, column: str) -> Labels:
    """A column of a table, by row_id."""
    sheet = read_sheet(path, "the colours", {ROW, column_key(column)})
    for key, name in ((ROW, "row_id"), (column_key(column), column)):
        if key not in sheet.columns:
            named = ", ".join(name for name in sheet.header if name)
            raise InputError(f"{path} has no column {name!r}, but {named or 'none'}")
    row_id, cell = sheet.columns[ROW], sheet.columns[column_key(column)]
    return Labels(str(path), {cells[row_id]: frozenset({cells[cell]} - {""}) for _, cells in sheet.lines})
