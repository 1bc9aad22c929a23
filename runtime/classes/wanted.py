"""The classes that a user asks for, read from a file or a list."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from runtime.classes.taxonomy import Taxonomy, read_taxonomy
from runtime.errors import InputError, reason, repeated, some
from runtime.model.heads import NO_CLASS


@dataclass(frozen=True)
class WantedClasses:
    """The columns a user asked for, in their order.

    `row_ids` are the rows of a sample submission, None where the classes came from elsewhere. `taxonomy` says what the
    names stand for.
    """

    names: tuple[str, ...]
    source: str
    row_ids: tuple[str, ...] | None = None
    header: str = ""
    """The first line of a class list."""
    repeated: tuple[str, ...] = ()
    """Names that a class list repeats."""
    texts: tuple[str, ...] = ()
    """Columns of a sample submission whose cells are no numbers: classes only if a class list or taxonomy has them."""
    taxonomy: Taxonomy = field(default_factory=Taxonomy)

    def options(self, namespace: str | None) -> str:
        """The options with which `perch-convert` keeps the columns of these classes."""
        given = {"classes": self.source, "taxonomy": self.taxonomy.source, "namespace": namespace or ""}
        if self.taxonomy.source == self.source:
            del given["taxonomy"]
        return " ".join(f"--{name} {value}" for name, value in given.items() if value)


def read_classes(source: str | Path | Sequence[str], taxonomy: str | Path | None = None) -> WantedClasses:
    """Reads wanted classes from a file, or takes them as a list.

    A file is a `sample_submission.csv` (columns after `row_id`), a `taxonomy.csv` (its column `primary_label`), or a
    class list: a header, then one name a line. In a class list `no_ebird_code`, which models' lists have, is skipped,
    and so are repeated names. What the names stand for is read from the file `taxonomy`, or from `source` if that is a
    taxonomy itself.

    Raises:
        InputError: a file cannot be read, is none of these, or repeats a class; or the names are a set.
    """
    taxa = read_taxonomy(taxonomy) if taxonomy is not None else Taxonomy()
    if isinstance(source, Set):
        raise InputError("the classes are a set, whose order changes from run to run; give a list")
    if not isinstance(source, (str, Path)):
        return _checked(WantedClasses(tuple(str(name) for name in source), "the list of classes", taxonomy=taxa))
    path = Path(source)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            lines = (line for line in reader if any(map(str.strip, line)))
            header = [cell.strip() for cell in next(lines, [])]
            while header and not header[-1]:
                header.pop()  # a comma at the end of the line
            if "row_id" in header[:1]:
                return _checked(_sample_submission(header, file, path, taxa))
            body = [[cell.strip() for cell in line] for line in lines]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the classes from {path}: {reason(error)}") from None
    if "primary_label" in header:
        column = header.index("primary_label")
        if any(len(row) <= column for row in body):
            raise InputError(f"{path} has lines that are too short for its column 'primary_label'")
        taxa = taxa if taxonomy is not None else read_taxonomy(path)
        return _checked(WantedClasses(tuple(row[column] for row in body), str(path), taxonomy=taxa))
    if len(header) == 1:
        names = [row[0] for row in body if row[0] != NO_CLASS]
        once, again = tuple(dict.fromkeys(names)), tuple(repeated(names))
        return _checked(WantedClasses(once, str(path), header=header[0], repeated=again, taxonomy=taxa))
    raise InputError(
        f"{path} is no sample submission (its first column is {header[0] if header else ''!r}, not 'row_id'), "
        "no taxonomy (no column 'primary_label') and no class list (one column)"
    )


def _sample_submission(header: Sequence[str], file: Iterable[str], path: Path, taxonomy: Taxonomy) -> WantedClasses:
    """Reads the rows after the header, which may hold 100 million numbers, and parses no more of them than it must."""
    row_ids, texts, numbers = [], set[int](), set[int]()
    undecided: Sequence[int] = range(1, len(header))
    rest = iter(file)
    for text in rest:
        row_id, comma, _ = text.partition(",")
        if comma and row_id.strip() and not undecided and '"' not in text:
            row_ids.append(row_id)
            continue
        line = next(csv.reader(chain([text], rest)), [])
        if not any(map(str.strip, line)):
            continue
        row_ids.append(line[0])
        for column in undecided:
            if cell := line[column].strip() if column < len(line) else "":
                (numbers if _is_number(cell) else texts).add(column)
        undecided = [column for column in undecided if column not in numbers]
    words = tuple(header[column] for column in sorted(texts - numbers))
    return WantedClasses(tuple(header[1:]), str(path), tuple(row_ids), taxonomy=taxonomy, texts=words)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _checked(wanted: WantedClasses) -> WantedClasses:
    if not wanted.names:
        raise InputError(f"{wanted.source} names no classes")
    if not all(wanted.names):
        raise InputError(f"{wanted.source} has a class without a name")
    if not all(map(str.strip, wanted.row_ids or ())):
        raise InputError(f"{wanted.source} has a row without a row_id")
    for what, names in (("classes", wanted.names), ("rows", wanted.row_ids or ())):
        if twice := repeated(names):
            raise InputError(f"{wanted.source} repeats {what}: {some(twice)}")
    return wanted
