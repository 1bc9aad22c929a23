"""Tables as spreadsheets save them: separated by commas, semicolons or tabs, in UTF-8 or UTF-16."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import InputError, reason

SEPARATORS = (",", ";", "\t")
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
EXCEL = re.compile(r'"?sep=(.)"?\s*')
"""Excel's first line that names the separator."""
UNNAMED = re.compile(r"(unnamed: \d+)?", re.IGNORECASE)
"""Headers that pandas and R give to a column of row numbers."""


@dataclass(frozen=True)
class Sheet:
    """A table: its column names, its rows as (line number in the file, cells), whether a line break ends it, and the
    SHA-256 of its bytes."""

    path: str
    header: tuple[str, ...]
    lines: list[tuple[int, list[str]]]
    ended: bool
    sha256: str

    @property
    def columns(self) -> dict[str, int]:
        """Places of the named columns, by `column_key`.

        Raises:
            InputError: two columns have the same name.
        """
        places: dict[str, int] = {}
        for i, name in enumerate(self.header):
            if not UNNAMED.fullmatch(name) and places.setdefault(column_key(name), i) != i:
                raise InputError(f"{self.path} has two columns called {name}; remove one of them")
        return places


def column_key(name: str) -> str:
    """A column's name in the form used for comparing: `Row ID`, `row_id` and `RowID` are the same."""
    return re.sub(r"[\W_]+", "", name.casefold()) or name


def read_sheet(path: Path, what: str, expected: Collection[str], remedy: str = "") -> Sheet:
    """Reads a table. The separator is the one that yields most of the `expected` columns, by `column_key`.

    Raises:
        InputError: the file cannot be read or is not text, or a line has more or fewer cells than the first.
    """
    hint = f"; {remedy}" if remedy else ""
    lines: list[tuple[int, list[str]]] = []
    try:
        data = path.read_bytes()
        text = _text(data).lstrip("\ufeff")
        first, _, rest = text.partition("\n")
        excel = EXCEL.fullmatch(first)
        skipped, text = (1, rest) if excel else (0, text)
        separator = excel[1] if excel else max(SEPARATORS, key=lambda each: _count_expected(text, each, expected))
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
        for cells in reader:
            lines.append((reader.line_num + skipped, [cell.strip() for cell in cells]))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        if error.reason == "unexpected end of data":  # a letter of several bytes lacks its last ones
            raise cut_off(path, line) from None
        raise InputError(
            f"cannot read {what} from {path}: line {line} is not UTF-8; save it as UTF-8 (in a spreadsheet: "
            "`CSV UTF-8`)"
        ) from None
    except csv.Error as error:
        last = lines[-1][0] if lines else 0
        unclosed = f"a quotation mark is not closed after line {last}"
        why = unclosed if "unexpected end" in str(error) else reason(error)
        raise InputError(f"cannot read {what} from {path}: {why}{hint}") from None
    except OSError as error:
        raise InputError(f"cannot read {what} from {path}: {reason(error)}") from None
    except ValueError as error:
        raise InputError(f"cannot read {what} from {path}: {reason(error)}{hint}") from None
    (_, header), *body = [(number, cells) for number, cells in lines if any(cells)] or [(0, [])]
    least = max((i + 1 for i, name in enumerate(header) if name), default=0)
    ended = text.endswith(("\n", "\r"))
    if body and not ended and len(body[-1][1]) < least:
        raise cut_off(path, body[-1][0])
    for number, cells in body:
        if len(cells) < least or any(cells[len(header) :]):
            raise InputError(
                f"line {number} of {path} has {len(cells)} cells, but the first line has {len(header)}{hint}"
            )
    return Sheet(str(path), tuple(header), body, ended, hashlib.sha256(data).hexdigest())


def cut_off(path: str | Path, number: int) -> InputError:
    """What is said of a file that ends within a line."""
    return InputError(
        f"{path} ends within line {number}: what wrote it was stopped there; delete that line, or end it with a line "
        "break if it is complete"
    )


def _text(data: bytes) -> str:
    """A file's text. Without a byte order mark it is UTF-8, or UTF-16 if every other byte at its start is zero."""
    encoding = next((name for mark, name in MARKS if data.startswith(mark)), "utf-8")
    for zeros, name in ((data[1:8:2], "utf-16-le"), (data[:8:2], "utf-16-be")):
        if encoding == "utf-8" and len(zeros) > 1 and not any(zeros):
            encoding = name
    text = data.decode(encoding)
    if "\0" in text:
        raise ValueError("it is not text")
    return text


def _count_expected(text: str, separator: str, expected: Collection[str]) -> tuple[int, int]:
    """How many columns of the first line are expected, and how many it has."""
    lines = csv.reader(io.StringIO(text.lstrip("\r\n "), newline=""), delimiter=separator)
    cells = [column_key(cell.strip()) for cell in next(lines, [])]
    return len({*expected} & {*cells}), len(cells)
