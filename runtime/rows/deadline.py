"""When a run has to be over, and what it keeps back of that for its end."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from runtime.rows.block import Columns

CSV_S, BINARY_S = 1e-6, 3e-7
"""What is kept back for each number to be written as text and otherwise, twice what it takes on a slow machine."""
ROW_S, FILL_S = 1e-5, 3e-8
"""Likewise for a row without a score to be named and counted, and for each of its columns."""
RECORDING_S = 1e-3
"""Likewise for a recording not reached: its header is asked what it promises, and its rows are put together."""
MEAN_S = 2e-7
"""Likewise for each number to be made of its neighbours."""
MOST_MEANS = 0.25
"""Of the time there is, at most so much goes into writing rows that were not scored but interpolated."""
MOST_SLOWNESS = 4.0


@dataclass(frozen=True)
class Work:
    """What there is to do at a run's end: rows to write, with a score and without, and recordings not reached."""

    scored: int
    others: int = 0
    recordings: int = 0


@dataclass(frozen=True)
class Deadline:
    """The end of a run on the monotonic clock.

    `reserve_s` is kept back for stopping; `interpolate` is whether rows that were not scored get numbers; `slowness` is
    how many times longer all takes, since others use the machine, too.
    """

    started: float
    all_done: float
    reserve_s: float
    interpolate: bool = False
    slowness: float = 1.0

    def scoring_ends(self, columns: Columns, work: Work) -> float:
        """When scoring must stop, given what there will be to do."""
        means_s = 0.0
        if self.interpolate:
            means_s = min(work.others * self._mean_s(columns), MOST_MEANS * (self.all_done - self.started))
        return self.all_done - self.reserve_s - self._fixed_s(columns, work) - means_s

    def asking_ends(self, columns: Columns, work: Work) -> float:
        """When it is too late to ask what the headers of recordings not reached promise."""
        return self.all_done - self.reserve_s / 2 - self._fixed_s(columns, replace(work, recordings=0))

    def most_means(self, columns: Columns, work: Work, now: float) -> int:
        """How many rows can still be interpolated."""
        left_s = self.asking_ends(columns, work) - now
        return max(0, int(left_s / self._mean_s(columns)))

    def _fixed_s(self, columns: Columns, work: Work) -> float:
        """What it takes to write scored rows, and others that hold no numbers."""
        unscored_s = work.others * (ROW_S + columns.numbers * FILL_S) + work.recordings * RECORDING_S
        return self.slowness * (work.scored * columns.numbers * _number_s(columns) + unscored_s)

    def _mean_s(self, columns: Columns) -> float:
        return self.slowness * (ROW_S + columns.numbers * (_number_s(columns) + MEAN_S))


def _number_s(columns: Columns) -> float:
    return CSV_S if columns.fit_csv else BINARY_S


def slowness() -> float:
    """How many processes there are for each core, where the system tells; 1 if there is room."""
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):
        return 1.0
    return min(MOST_SLOWNESS, max(1.0, load / (os.cpu_count() or 1)))
