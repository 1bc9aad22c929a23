"""When a run has to end, and how much time it keeps back for the work after scoring."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from runtime.rows.block import Columns

# All are twice what a slow machine takes.
CSV_NUMBER_S, BINARY_NUMBER_S = 1e-6, 3e-7
"""Seconds to write a number to a CSV, and to any other file."""
UNSCORED_ROW_S, UNSCORED_NUMBER_S = 1e-5, 3e-8
"""Seconds to name and count a row without a score, and to write each of its numbers."""
UNREACHED_RECORDING_S = 1e-3
"""Seconds to read the header of a recording that was not reached, and to make its rows."""
MEAN_S = 2e-7
"""Seconds to interpolate a number."""
RANK_S = 1e-6
"""Seconds to find the rank of a score among those of all rows."""
MOST_INTERPOLATION = 0.25
"""Share of the deadline kept back at most for interpolating rows and writing them."""
MOST_SLOWNESS = 4.0


@dataclass(frozen=True)
class FinalWork:
    """What is left to do once scoring ends: rows to write, and recordings not reached, whose headers are to be read."""

    scored_rows: int
    unscored_rows: int = 0
    unreached: int = 0


@dataclass(frozen=True)
class Deadline:
    """The end of a run on the monotonic clock.

    `reserve_s` is kept back for stopping the workers; `interpolate` is whether unscored rows are interpolated;
    `slowness` is how many times longer everything takes because other programs use the machine too; `ranked` is how
    many models' scores are ranked in the end.
    """

    started: float
    all_done: float
    reserve_s: float
    interpolate: bool = False
    slowness: float = 1.0
    ranked: int = 0

    def scoring_ends(self, columns: Columns, work: FinalWork) -> float:
        """When scoring must stop to leave time for the final work."""
        interpolation_s = 0.0
        if self.interpolate:
            most_s = MOST_INTERPOLATION * (self.all_done - self.started)
            interpolation_s = min(work.unscored_rows * self._interpolated_row_s(columns), most_s)
        return self.all_done - self.reserve_s - self._final_work_s(columns, work) - interpolation_s

    def headers_end(self, columns: Columns, work: FinalWork) -> float:
        """When it is too late to read the headers of recordings not reached."""
        return self.all_done - self.reserve_s / 2 - self._final_work_s(columns, replace(work, unreached=0))

    def rows_to_interpolate(self, columns: Columns, work: FinalWork, now: float) -> int:
        """How many rows there is still time to interpolate."""
        left_s = self.headers_end(columns, work) - now
        return max(0, int(left_s / self._interpolated_row_s(columns)))

    def _final_work_s(self, columns: Columns, work: FinalWork) -> float:
        """Seconds to write all rows, none of them interpolated."""
        unscored_row_s = UNSCORED_ROW_S + columns.numbers * UNSCORED_NUMBER_S
        unscored_s = work.unscored_rows * unscored_row_s + work.unreached * UNREACHED_RECORDING_S
        ranking_s = work.scored_rows * columns.numbers * self.ranked * RANK_S
        return self.slowness * (writing_s(columns, work.scored_rows) + ranking_s + unscored_s)

    def _interpolated_row_s(self, columns: Columns) -> float:
        return self.slowness * (UNSCORED_ROW_S + writing_s(columns, 1) + columns.numbers * MEAN_S)


def writing_s(columns: Columns, rows: float) -> float:
    """Seconds kept back to write `rows` rows of numbers."""
    return rows * columns.numbers * (CSV_NUMBER_S if columns.fit_csv else BINARY_NUMBER_S)


def slowness() -> float:
    """How many processes compete for each core, from 1 to 4; 1 where the system does not say."""
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):
        return 1.0
    return min(MOST_SLOWNESS, max(1.0, load / (os.cpu_count() or 1)))
