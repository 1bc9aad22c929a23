"""Tables for people: as a CSV, and printed."""

from __future__ import annotations

import csv
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from runtime.errors import InputError
from runtime.files import check_writable, replacing

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What is not printed as it is: all but the ends of lines."""


def check_table(path: Path) -> None:
    """Finds out before the work whether a CSV could be written there.

    Raises:
        InputError: its name ends otherwise, or it could not.
    """
    if path.suffix.lower() != ".csv":
        raise InputError(f"cannot write a table to {path}, for its name does not end in .csv; end it so")
    check_writable(path)


def write_table(path: Path, header: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    """Writes a CSV, whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    # names of files, and so row ids, need not be UTF-8
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(lines)


def format_table(header: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    """Columns under one another: numbers to the right, with three decimals and `-` for NaN, texts to the left."""
    cells = [list(map(_cell, line)) for line in lines]
    numeric = [all(isinstance(value, (int, float)) for value in column) for column in zip(*lines, strict=True)]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, numeric or [False] * len(header), strict=True)
        ).rstrip()
        for line in (header, *cells)
    )


def say(text: str) -> None:
    """Prints, also into a pipe that nobody reads any more: what comes after is to be written all the same."""
    try:
        print(printable(text), flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def printable(text: str) -> str:
    """A text that a terminal can be shown: what would move its cursor, or is no letter, as `\\x1b`."""
    return CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "-" if value != value else f"{value:.3f}"
    return str(value)
