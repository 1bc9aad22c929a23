"""Rows of a part, from pieces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from runtime.rows.assembly import assembled
from runtime.rows.block import Block, Columns
from runtime.rows.naming import Naming
from runtime.rows.received import Received
from runtime.workers.protocol import Done, Opened, Task
from tests.support.messages import received, scores

COLUMNS = Columns({"label": (2,)}, {"label": ("x", "y")})
NAMING = Naming(window=500, hop=250, sample_rate=100)


def block(found: Received, indices: Sequence[int], part: int = 0) -> Block:
    return assembled("in/a.wav", "a", found, part, np.array(indices, np.int64), COLUMNS, NAMING)


def test_names_and_times_follow_from_the_windows() -> None:
    indices = np.array([0, 1, 17281])
    assert NAMING.row_ids("north/a", indices) == ["north/a_5", "north/a_7.5", "north/a_43207.5"]
    starts, ends = NAMING.times(indices)
    assert (starts.tolist(), ends.tolist()) == ([0, 2.5, 43202.5], [5, 7.5, 43207.5])


def test_pieces_are_put_in_order() -> None:
    found = block(
        received((1, scores([6, 7])), (1, scores([4, 5], scored=[False, True])), (1, Done(None))), [4, 5, 6, 7], 1
    )
    assert (found.path, found.row_ids) == (str(Path("in/a.wav")), ["a_15", "a_17.5", "a_20", "a_22.5"])
    assert found.status.tolist() == ["failed", "scored", "scored", "scored"]
    np.testing.assert_array_equal(found.outputs["label"], [[np.nan] * 2, [5, 1], [6, 1], [7, 1]])


def test_rows_that_came_in_one_piece_are_not_copied() -> None:
    piece = scores([0, 1, 2], scored=[True, False, True])
    found = block(received(piece, Done(None, 3)), [0, 1, 2])
    assert found.outputs["label"] is piece.outputs["label"]
    assert found.status.tolist() == ["scored", "failed", "scored"]


def test_windows_beyond_the_last_are_left_out() -> None:
    found = block(received(scores([0, 1, 2])), [0, 1])
    assert found.outputs["label"][:, 0].tolist() == [0, 1]
    assert len(block(received(scores([0])), [])) == 0


@pytest.mark.parametrize(
    ("messages", "status"),
    [
        ([], "filled filled filled"),
        ([scores([1])], "filled scored filled"),
        ([Done("is broken")], "failed failed failed"),
        ([scores([1]), Done("is truncated", 3)], "failed scored failed"),
        ([scores([0, 2]), Done(None, 3)], "scored unrecorded scored"),
        ([Opened(1, None, ((1, 2),))], "filled unrecorded filled"),
        ([Opened(1, None, ((0, 9),)), scores([1])], "unrecorded scored unrecorded"),
    ],
)
def test_what_did_not_come_says_why(messages: Sequence[object], status: str) -> None:
    found = block(received(*messages), [0, 1, 2])
    assert " ".join(found.status) == status
    assert np.isnan(found.outputs["label"][found.status != "scored"]).all()


def test_what_was_not_visited_yet_did_not_fail() -> None:
    found = received(scores([0, 2]))
    found.add(Task(0, Path("a.wav"), step=2), Done("is truncated", 4))
    assert block(found, [0, 1, 2, 3]).status.tolist() == ["scored", "filled", "scored", "filled"]


def test_rows_that_did_not_come_take_no_memory() -> None:
    assert block(received(), range(1000)).outputs["label"].strides == (0, 0)
