"""What is said of recordings, from what became of their parts."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from runtime.rows.block import NOWHERE, Origin
from runtime.rows.outcome import Failed, NotReached, Outcome, PassedOver, Read, outcome_of
from runtime.rows.report import Report
from runtime.rows.summary import Failure, Note

A = Path("a.wav")


def test_a_worker_reads_or_fails() -> None:
    assert outcome_of(None, ("a note",)) == Read(("a note",))
    assert outcome_of("is broken", ()) == Failed("is broken")


@pytest.mark.parametrize(
    ("outcomes", "reason"),
    [
        ([Read(), NotReached()], None),
        ([Read(), Failed("a hole"), Failed("a hole"), Failed("another")], "a hole; another"),
        ([Failed(f"hole {i}") for i in range(5)], "hole 0; hole 1; hole 2; and so on in 2 more parts"),
    ],
)
def test_each_thing_that_is_wrong_is_named_once(outcomes: list[Outcome], reason: str | None) -> None:
    report = Report(around_events=False)
    report.add(A, outcomes, 3)
    assert report.failures == ([] if reason is None else [Failure(A, reason)])


def test_a_failure_says_how_to_read_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.audio.extensions._has_pyav", lambda: False)
    report = Report(around_events=False)
    report.add(Path("a.mp4"), [Failed("cannot be decoded")], 1)
    assert "`pip install av`" in report.failures[0].reason


def test_notes_of_all_parts_are_said_once_a_recording() -> None:
    report = Report(around_events=False)
    for path in (A, Path("b.wav")):
        report.add(path, [Read(("one",)), Failed("a hole", ("one", "two"))], 2)
    assert report.notes == [Note(path, text) for path in (A, Path("b.wav")) for text in ("one", "two")]


def test_recordings_that_nobody_dated_are_left_out_or_were_not_reached() -> None:
    report, dated = Report(around_events=False, at_times=True), Origin(datetime(2024, 5, 12))
    for outcome, origin, rows, opened in (
        (Read(), NOWHERE, 0, False),
        (Read(), dated, 0, True),
        (Read(), dated, 3, True),
        (NotReached(), NOWHERE, 0, False),
        (NotReached(), dated, 0, False),  # by its name alone
        (NotReached(), dated, 3, True),
    ):
        report.add(A, [outcome], rows, origin, opened)
    assert (report.timeless, report.outside, report.not_reached) == (1, 1, 2)


@pytest.mark.parametrize(("around_events", "counted"), [(True, (1, 1, 1)), (False, (0, 0, 1))])
def test_recordings_without_rows_are_counted(around_events: bool, counted: tuple[int, int, int]) -> None:
    report = Report(around_events)
    for outcome, rows in ((Read(), 0), (Read(), 2), (NotReached(), 0), (Failed("is broken"), 0), (PassedOver(), 0)):
        report.add(A, [outcome], rows)
    assert (report.without_events, report.not_reached, report.passed_over) == counted
