"""Tables for people, as CSV files and in the terminal."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from runtime.errors import InputError
from runtime.files import check_writable, replacing


def check_table(path: Path) -> None:
    """Checks before the work that a CSV can be written there.

    Raises:
        InputError: its name does not end in .csv.
        OutputError: it cannot be written.
    """
    if path.suffix.lower() != ".csv":
        raise InputError(f"cannot write a table to {path}; end its name in .csv")
    check_writable(path)


def write_table(path: Path, header: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    """Writes a CSV; it appears complete or not at all.

    Raises:
        OutputError: it cannot be written.
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
    """Aligned columns: numbers right-aligned, with three decimals and `-` for NaN; text left-aligned."""
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
    """Prints and flushes, so that text appears at once in files and pipes too."""
    print(text, flush=True)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "-" if value != value else f"{value:.3f}"
    return str(value)
