"""One answer to a window, as a line of the label file and as JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from runtime.explore.label_files import species_in

COLUMNS = ("row_id", "species", "answer", "source", "labeller", "labelled_at")
Kind = Literal["labelled", "unsure", "withdrawn"]
KINDS: tuple[Kind, ...] = get_args(Kind)
GIVEN = KINDS[:-1]
"""Kinds of answers that the page may send; a window is withdrawn by taking an answer back."""


@dataclass(frozen=True)
class Answer:
    """What somebody said of a window.

    species: empty where it holds none. answer: what was said, see `Kind`: labelled, not sure, or as if never answered.
    source: how the window was chosen. labelled_at: UTC, in ISO 8601.
    """

    row_id: str
    species: tuple[str, ...]
    answer: Kind
    source: str
    labeller: str
    labelled_at: str

    def line(self) -> bytes:
        """The answer as a line of the label file."""
        cells = (self.row_id, ";".join(self.species), self.answer, self.source, self.labeller, self.labelled_at)
        return line_of(cells)

    def says_the_same(self, other: Answer) -> bool:
        """Whether the other answer differs in nothing but its time."""
        return replace(self, labelled_at="") == replace(other, labelled_at="")

    def as_json(self) -> dict[str, Any]:
        """What the page is told of it."""
        return {
            "species": list(self.species),
            "answer": self.answer,
            "labeller": self.labeller,
            "labelled_at": self.labelled_at,
        }


def line_of(cells: Sequence[str]) -> bytes:
    """Cells as a line of CSV.

    Raises:
        UnicodeEncodeError: a text cannot be written as UTF-8.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode("utf-8")


def answer_of(cells: Sequence[str]) -> Answer:
    """The answer in the cells of a line.

    Raises:
        ValueError: they are no answer; the text says why.
    """
    if len(cells) < len(COLUMNS) or any(cells[len(COLUMNS) :]):
        raise ValueError(f"has {len(cells)} cells, not {len(COLUMNS)}")
    row_id, cell, kind, source, labeller, labelled_at = (cell.strip() for cell in cells[: len(COLUMNS)])
    if not row_id:
        raise ValueError("has no row_id")
    answer = next((each for each in KINDS if each == kind.casefold()), None)
    if answer is None:
        raise ValueError(f"has the answer {kind!r}, not {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    species = tuple(sorted(species_in(cell, "")))
    return Answer(row_id, species, answer, source.casefold(), labeller, labelled_at)


def now() -> str:
    """The time in UTC, with milliseconds and `Z`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
