"""Rows between scored ones."""

from __future__ import annotations

import numpy as np

from runtime.rows.assembly import assembled
from runtime.rows.block import Block, Columns
from runtime.rows.interpolation import Interpolation, Neighbours
from runtime.rows.naming import Naming
from runtime.rows.received import Received
from runtime.workers.protocol import Done
from tests.support.messages import received, scores

COLUMNS = Columns({"label": (2,)}, {"label": ("x", "y")})


def block(found: Received, first: int, count: int, part: int = 0) -> Block:
    indices = first + np.arange(count)
    return assembled("a.wav", "a", found, part, indices, COLUMNS, Naming(5, 5, 1))


def values(found: Block) -> list[float]:
    return np.nan_to_num(found.outputs["label"][:, 0], nan=-1).tolist()


def test_a_row_is_the_mean_of_the_scored_ones_beside_it() -> None:
    came = received(scores([1, 4], [10, 40]), scores([2], scored=[False]))
    before = block(came, 0, 6)
    found = Interpolation(None).fill(before, came, 0)
    assert values(found) == [10, 10, -1, 25, 40, 40]
    assert found.status.tolist() == ["interpolated", "scored", "failed", "interpolated", "scored", "interpolated"]
    assert before.status.tolist() == ["filled", "scored", "failed", "filled", "scored", "filled"]


def test_neighbours_may_be_in_other_parts() -> None:
    came = received((0, scores([1], [10])), (2, scores([6], [60])))
    interpolation = Interpolation(None)
    parts = [interpolation.fill(block(came, 3 * part, 3, part), came, 3 * part) for part in range(3)]
    assert [values(part) for part in parts] == [[10, 10, 35], [35, 35, 35], [60, 60, 60]]


def test_no_more_rows_than_there_is_time_for() -> None:
    came, interpolation = received(scores([0], [3])), Interpolation(3)
    assert values(interpolation.fill(block(came, 0, 3), came, 0)) == [3, 3, 3]
    assert values(interpolation.fill(block(came, 3, 3, 1), came, 3)) == [3, -1, -1]
    other = received(scores([0], [4]), number=1)
    assert values(interpolation.fill(block(other, 0, 2), other, 0)) == [4, -1]


def test_each_recording_has_its_own_neighbours() -> None:
    interpolation = Interpolation(None)
    for number, value in enumerate((3.0, 4.0)):
        came = received(scores([0], [value]), number=number)
        assert values(interpolation.fill(block(came, 0, 2), came, 0)) == [value, value]


def test_without_a_scored_window_rows_stay_as_they_are() -> None:
    for came in (received(), received(scores([0], scored=[False])), received(scores([0, 1]), Done(None, 2))):
        before = block(came, 0, 2)
        assert Interpolation(None).fill(before, came, 0) is before


def test_of_a_window_that_came_twice_the_later_scores_count() -> None:
    found = Neighbours.among([scores([2, 0], [1, 2]), scores([2, 3], [3, 4], scored=[True, False])])
    assert found.indices.tolist() == [0, 2]
    assert found.means(np.array([1, 5]), "label")[:, 0].tolist() == [2.5, 3]
