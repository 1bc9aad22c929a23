from __future__ import annotations

import sys
from datetime import datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import InputError
from runtime.audio.times import only, times_of
from runtime.request.request import Request

START = datetime(2024, 5, 11, 22, 0)


@pytest.mark.parametrize(
    ("between", "first", "end"),
    [("04:00-09:00", "04:00", "09:00"), ("22:00-04:00:05", "22:00", "04:00:05"), ("00:00-24:00:00", "00:00", "24")],
)
@pytest.mark.parametrize("dates", [None, "2024-05-12", "2024-05-12..2024-05-13"])
def test_times_of_the_day_and_dates(between: str, first: str, end: str, dates: str | None) -> None:
    if between.startswith("00:00"):
        with pytest.raises(InputError, match=r"between is '00:00-24:00:00', but must be two times of the day"):
            Request(between=between)
        return
    request = Request(between=between, dates=dates)
    times = times_of(request.between, request.dates)
    assert times is not None
    seconds = np.arange(0, 3 * 86_400, 5.0)
    expected = []
    for each in seconds:
        time = START + timedelta(seconds=each)
        clock, day = time.time().isoformat(), time.date().isoformat()
        inside = first <= clock < end if first < end else clock >= first or clock < end
        on_date = dates is None or dates.split("..")[0] <= day <= dates.split("..")[-1]
        expected.append(inside and on_date)
    found = times.among(START, seconds)
    np.testing.assert_array_equal(found, expected)
    assert not times.among(None, seconds).any()
    mask = np.array(expected)
    assert list(only(range(3, sys.maxsize, 2), lambda rows: mask[rows], (0, len(mask)))) == [
        row for row in range(3, len(mask), 2) if mask[row]
    ]


@pytest.mark.parametrize(("dates", "count"), [("2024-05-12", 240), ("2024-05-01", 0), ("2025-05-01", 240)])
def test_no_times_are_looked_at_outside_the_dates(dates: str, count: int) -> None:
    times = times_of("05:00-06:00", dates)
    assert times is not None
    looked = 0

    def wanted(rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        nonlocal looked
        looked += len(rows)
        return times.among(START, rows * 5.0)

    span = times.span_s(START)
    found = list(only(range(1, sys.maxsize, 3), wanted, (int(span[0] // 5), int(span[1] // 5))))
    assert len(found) == count
    assert looked == 24 * count  # all of the day, a third of its windows


@pytest.mark.parametrize(
    "between", ["", "04:00", "04:00-04:00", "04:60-05:00", "25:00-26:00", "4-9", "04:00-09:00-10:00"]
)
def test_other_times_are_refused(between: str) -> None:
    with pytest.raises(InputError, match=r"between is .*, but must be two times of the day"):
        Request(between=between)


@pytest.mark.parametrize("dates", ["", "2024-05", "2024-13-01", "2024-05-02..2024-05-01", "2024-05-01..", "a..b..c"])
def test_other_dates_are_refused(dates: str) -> None:
    with pytest.raises(InputError, match=r"dates is .*, but must be a date or two"):
        Request(dates=dates)
