"""From a model's class list to the columns that a user wants."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError, reason
from runtime.heads import NO_CLASS, ClassList, Head


@dataclass(frozen=True)
class WantedClasses:
    """The columns a user asked for, in their order.

    `row_ids` are a sample submission's own rows, or None where the classes came from elsewhere: then the result need
    not be a competition's submission.
    """

    names: tuple[str, ...]
    source: str
    row_ids: tuple[str, ...] | None = None
    header: str = ""
    """The first line of a class list."""


@dataclass(frozen=True)
class ClassMap:
    """Columns of a head to wanted columns: `positions[i]` of the head is wanted column `i`, -1 where it has none.

    `namespace` is the class list in which they were found.
    """

    names: tuple[str, ...]
    positions: NDArray[np.int64]
    unmapped_value: float
    namespace: str = ""

    @property
    def unmapped(self) -> list[str]:
        """Wanted classes that the model does not know."""
        return [name for name, position in zip(self.names, self.positions, strict=True) if position < 0]

    @property
    def constant(self) -> NDArray[np.bool_]:
        """Which wanted columns hold a constant, bool `[wanted]`."""
        return self.positions < 0

    def apply(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """`float32 [rows, head]` to `float32 [rows, wanted]`."""
        mapped = logits[:, self.positions]
        mapped[:, self.positions < 0] = self.unmapped_value
        return mapped


def read_classes(source: str | Path | Sequence[str]) -> WantedClasses:
    """Reads wanted classes from a file, or takes them as a list.

    A file is a `sample_submission.csv` (columns after `row_id`), a `taxonomy.csv` (its column `primary_label`), or a
    class list: a header, then one name a line; lines `no_ebird_code`, which a model's own list has, name none.

    Raises:
        InputError: the file cannot be read, is none of these, or names a class twice.
    """
    if not isinstance(source, (str, Path)):
        return _checked(WantedClasses(tuple(str(name) for name in source), "the list of classes"))
    path = Path(source)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for line in csv.reader(file) if any(row := [cell.strip() for cell in line])]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the classes from {path}: {reason(error)}") from None
    header, *body = rows or [[]]
    while header and not header[-1]:
        header.pop()  # a comma at the end of the line
    if "row_id" in header[:1]:
        return _checked(WantedClasses(tuple(header[1:]), str(path), tuple(row[0] for row in body)))
    if "primary_label" in header:
        column = header.index("primary_label")
        if any(len(row) <= column for row in body):
            raise InputError(f"{path} has lines that are too short for its column 'primary_label'")
        return _checked(WantedClasses(tuple(row[column] for row in body), str(path)))
    if len(header) == 1:
        names = tuple(row[0] for row in body if row[0] != NO_CLASS)
        return _checked(WantedClasses(names, str(path), header=header[0]))
    raise InputError(
        f"{path} is no sample submission (its first column is {header[0] if header else ''!r}, not 'row_id'), "
        "no taxonomy (no column 'primary_label') and no class list (one column)"
    )


def map_classes(wanted: WantedClasses, head: Head, unmapped_value: float, namespace: str | None = None) -> ClassMap:
    """Finds each wanted class among a head's: in its class list of this namespace, or if that is None in the one that
    knows most of them. Of columns with the same name the first is taken; `no_ebird_code` is none.

    Raises:
        InputError: the head has no class list, or none of this namespace; none of the classes is in it; or one was
            left out at conversion.
    """
    if not head.class_lists:
        raise InputError(f"the output '{head.name}' has no class list to find classes in")
    if namespace is not None and namespace not in head.class_lists:
        known_ones = ", ".join(head.class_lists)
        raise InputError(f"the output '{head.name}' has no class list '{namespace}'; it has {known_ones}")
    lists = list(head.class_lists.values()) if namespace is None else [head.class_lists[namespace]]
    names = set(wanted.names) - {NO_CLASS}
    chosen = max(lists, key=lambda known: len(names.intersection((*known.names, *known.dropped))))
    if wanted.header in chosen.names:
        raise InputError(
            f"{wanted.source} has no header: its first line, '{wanted.header}', is a class; put one above it"
        )
    dropped = names.intersection(chosen.dropped)
    missing = [name for name in wanted.names if name in dropped]
    if missing:
        raise InputError(
            f"the model was converted without {_some(missing)} of {wanted.source}; "
            f"convert it again with `--classes {wanted.source}{f' --namespace {namespace}' if namespace else ''}`"
        )
    known = {name: i for i, name in reversed(list(enumerate(chosen.names))) if name != NO_CLASS}
    positions = np.array([known.get(name, -1) for name in wanted.names], np.int64)
    if (positions < 0).all():
        raise InputError(
            f"none of the {len(wanted.names)} classes of {wanted.source} is known to the model, "
            f"whose names are like {' or '.join(map(_like, lists))}"
        )
    return ClassMap(wanted.names, positions, unmapped_value, chosen.namespace)


def _like(known: ClassList) -> str:
    names = [name for name in known.names if name != NO_CLASS]
    return f"{', '.join(names[:3])} ({known.namespace})"


def unmapped_value(unmapped: float | str) -> float:
    """The constant for classes the model does not know: "zero", or a number.

    Raises:
        InputError: neither of these.
    """
    try:
        value = 0.0 if unmapped == "zero" else float(unmapped)
    except (ValueError, TypeError):
        value = math.nan
    if math.isnan(value):
        raise InputError(f"unmapped is {unmapped!r}, but must be 'zero' or a number")
    return value


def _checked(wanted: WantedClasses) -> WantedClasses:
    if not wanted.names:
        raise InputError(f"{wanted.source} names no classes")
    if not all(wanted.names):
        raise InputError(f"{wanted.source} has a class without a name")
    for what, names in (("classes", wanted.names), ("rows", wanted.row_ids or ())):
        repeated = [name for name, count in Counter(names).items() if count > 1]
        if repeated:
            raise InputError(f"{wanted.source} has {what} more than once: {_some(repeated)}")
    return wanted


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
