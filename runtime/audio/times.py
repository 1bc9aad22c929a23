"""Which windows are wanted, by the recorder's clock: those that begin between two times of the day, on some dates."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
from numpy.typing import NDArray

DAY_MS = 86_400_000
CLOCK = re.compile(r"(\d\d?):(\d\d)(?::(\d\d))?")
SCAN, LONGEST_S = 20_000, 366 * 86_400
"""Windows looked at together, and the longest recording."""
Wanted = Callable[[NDArray[np.int64]], NDArray[np.bool_]]


@dataclass(frozen=True)
class Times:
    """The times of windows. Both are from the first to before the second, in milliseconds of the day and in days since
    1970; None for all. Times of the day that end before they begin go over midnight."""

    of_day: tuple[int, int] | None
    days: tuple[int, int] | None

    def among(self, began: datetime | None, seconds: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which times, so many seconds after a recording began, are wanted; none if nobody knows when it began."""
        if began is None:
            return np.zeros(len(seconds), np.bool_)
        start = np.datetime64(began.replace(tzinfo=None), "ms").astype(np.int64)
        times = start + np.rint(1000 * seconds).astype(np.int64)
        wanted = np.ones(len(times), np.bool_)
        if self.of_day is not None:
            first, end = self.of_day
            wanted &= (times - first) % DAY_MS < (end - first) % DAY_MS
        if self.days is not None:
            wanted &= (times // DAY_MS >= self.days[0]) & (times // DAY_MS < self.days[1])
        return wanted

    def span_s(self, began: datetime) -> tuple[float, float]:
        """Seconds after a recording began: times before the first and from the second on are not wanted."""
        if self.days is None:
            return 0, LONGEST_S
        first, end = (DAY_MS // 1000 * day for day in self.days)
        start = began.replace(tzinfo=UTC).timestamp()
        return max(0, first - start), min(end - start, LONGEST_S)


def times_of(between: str | None, dates: str | None) -> Times | None:
    """The times that options ask for; None where all are wanted.

    `between` is such as 04:00-09:00, `dates` such as 2024-05-01..2024-05-31, or one date.

    Raises:
        ValueError: they are something else.
    """
    if between is None and dates is None:
        return None
    return Times(None if between is None else _of_day(between), None if dates is None else _days(dates))


def only(indices: range, wanted: Wanted, span: tuple[int, int]) -> Iterator[int]:
    """Those of `indices` that are wanted; none is outside `span`, the first and before the second."""
    first, end = span
    indices = range(indices.start, min(indices.stop, end), indices.step)
    indices = indices[max(0, -((indices.start - first) // indices.step)) :]
    for at in range(0, len(indices), SCAN):
        here = np.array(indices[at : at + SCAN], np.int64)
        yield from here[wanted(here)].tolist()


def _of_day(text: str) -> tuple[int, int]:
    first, end = (_clock(part) for part in text.split("-"))
    if first % DAY_MS == end % DAY_MS:
        raise ValueError("it covers nothing, or all")
    return first % DAY_MS, end % DAY_MS


def _clock(text: str) -> int:
    match = CLOCK.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text} is no time of the day")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    time = 1000 * (3600 * hours + 60 * minutes + seconds)
    if minutes > 59 or seconds > 59 or time > DAY_MS:
        raise ValueError(f"{text} is no time of the day")
    return time


def _days(text: str) -> tuple[int, int]:
    first, *last = (
        date.fromisoformat(part.strip()).toordinal() - date(1970, 1, 1).toordinal() for part in text.split("..")
    )
    if len(last) > 1 or (last and last[0] < first):
        raise ValueError("they end before they begin")
    return first, (last[0] if last else first) + 1
