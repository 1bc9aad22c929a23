"""When a run has to be over, and what it keeps back of that for its end."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.block import Columns

CSV_S, BINARY_S = 1e-6, 3e-7
"""What is kept back for each number to be written as text and otherwise, twice what it takes on a slow machine."""
ROW_S, FILL_S = 1e-5, 3e-8
"""Likewise for a row without a score to be named and counted, and for each of its columns."""
MEAN_S = 2e-7
"""Likewise for each number to be made of its neighbours."""
MOST_MEANS = 0.25
"""Of the time there is, at most so much goes into writing rows that were not scored but interpolated."""


@dataclass(frozen=True)
class Deadline:
    """The end of a run on the monotonic clock.

    `reserve_s` is kept back for stopping and for headers of recordings not reached; `interpolate` is whether rows that
    were not scored get numbers.
    """

    started: float
    all_done: float
    reserve_s: float
    interpolate: bool = False

    def scoring_ends(self, columns: Columns, scored: int, others: int = 0) -> float:
        """When scoring must stop, given how many rows there are to write, with a score and without."""
        means_s = 0.0
        if self.interpolate:
            means_s = min(others * _mean_s(columns), MOST_MEANS * (self.all_done - self.started))
        return self.all_done - self.reserve_s - _fixed_s(columns, scored, others) - means_s

    def asking_ends(self, columns: Columns, scored: int, others: int) -> float:
        """When it is too late to ask what the headers of recordings not reached promise."""
        return self.all_done - self.reserve_s / 2 - _fixed_s(columns, scored, others)

    def most_means(self, columns: Columns, scored: int, others: int, now: float) -> int:
        """How many rows can still be interpolated."""
        left_s = self.asking_ends(columns, scored, others) - now
        return max(0, int(left_s / _mean_s(columns)))


def _fixed_s(columns: Columns, scored: int, others: int) -> float:
    """What it takes to write scored rows, and others that hold no numbers."""
    return scored * columns.numbers * _number_s(columns) + others * (ROW_S + columns.numbers * FILL_S)


def _mean_s(columns: Columns) -> float:
    return ROW_S + columns.numbers * (_number_s(columns) + MEAN_S)


def _number_s(columns: Columns) -> float:
    return CSV_S if columns.fit_csv else BINARY_S
