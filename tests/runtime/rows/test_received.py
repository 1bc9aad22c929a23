"""What workers sent about a recording."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from runtime.rows.outcome import Failed, NotReached, Read
from runtime.rows.received import Received
from runtime.workers.protocol import Done, Opened, Task
from tests.support.messages import received, scores

TASK = Task(0, Path("a.wav"))


def test_a_file_is_looked_at_before_the_first_message(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(bytes(7))
    found = Received.nothing(3, tmp_path / "a.wav")
    assert (found.number, found.size, found.mtime_ns) == (3, 7, (tmp_path / "a.wav").stat().st_mtime_ns)
    assert Received.nothing(3, tmp_path / "gone.wav") == Received(3)


def test_an_outcome_is_that_of_the_part() -> None:
    found = received((0, Done(None, notes=("a note",))), (1, Done("a hole", notes=("another",))))
    assert [found.outcome(part) for part in range(3)] == [
        Read(("a note",)),
        Failed("a hole", ("another",)),
        NotReached(),
    ]


def test_a_failure_stays_when_the_windows_between_are_read() -> None:
    found = Received(0)
    found.add(Task(0, TASK.path, step=2), Done("a hole", 4))
    assert found.visited == set()
    found.add(Task(0, TASK.path, offset=1, step=2), Done(None, 4))
    assert found.outcome(0) == Failed("a hole")
    assert found.visited == {0}


@pytest.mark.parametrize(("promised", "end"), [(None, 4), (10, 3)])
def test_windows_without_a_score_may_not_exist(promised: int | None, end: int) -> None:
    found = received((1, scores([11, 12], scored=[False, True])), (1, scores([13], scored=[False])))
    found.promised = promised
    assert found.end(1, first=10) == end
    assert found.end(0, first=0) == 0


def test_windows_that_came_twice_are_there_once() -> None:
    found = received(Opened(1, None), scores([5, 1]), scores([1, 9]))
    assert found.indices.tolist() == [1, 5, 9]
    assert received().indices.tolist() == []


def test_all_parts_of_a_resumed_recording_began_when_the_finished_ones_say() -> None:
    received = Received(0, parts=2, began=datetime(2024, 5, 12, 5, 30), resumed=True)
    received.add(Task(0, Path("a.wav"), part=1, parts=2), Done(None, 9, began=datetime(2024, 5, 12, tzinfo=UTC)))
    assert received.began == datetime(2024, 5, 12, 5, 30)
