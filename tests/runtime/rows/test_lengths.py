"""How many rows recordings have that were read, broke off, or were not reached."""

from __future__ import annotations

import pytest

from runtime.rows.lengths import LEAST_BYTES_A_SECOND, Lengths
from runtime.rows.received import Received
from runtime.workers.protocol import Done, Opened
from tests.support.messages import received, scores

PART, HOP, RATE = 4, 5, 1
"""Windows, seconds, Hz."""


def lengths(*others: Received, recordings: int = 9, guess: bool = True) -> Lengths:
    return Lengths({each.number: each for each in others}, recordings, PART, HOP, RATE, guess)


def bytes_for(windows: int) -> int:
    """How large a file has to be for so many windows to be believed."""
    return windows * HOP * LEAST_BYTES_A_SECOND


def test_a_recording_that_was_read_has_its_windows() -> None:
    one = received(scores([0, 1]), Done(None, 3))
    assert lengths().part(one, 0, final=False) == 3
    long = received(Opened(2, 9), (0, Done(None)), (1, Done(None, 6)), size=1)
    assert [lengths().part(long, part, final=False) for part in (0, 1)] == [PART, 2]
    assert long.promised == 6  # whatever the header said


def test_a_recording_that_was_not_read_has_what_its_header_promises() -> None:
    long = received(Opened(3, 10))
    assert [lengths().part(long, part, final=False) for part in (0, 1, 2)] == [4, 4, 2]
    broken = received(scores([0]), Done("is truncated", 3))
    assert lengths().part(broken, 0, final=False) == 3
    more = received(Opened(1, 1), scores([0, 1, 2]), Done("is truncated"))
    assert lengths().part(more, 0, final=False) == 3


@pytest.mark.parametrize(("size", "parts", "rows"), [(0, 1, 4), (bytes_for(10), 3, 10), (bytes_for(10) - 1, 3, 10)])
def test_a_promise_is_believed_as_far_as_the_file_is_large(size: int, parts: int, rows: int) -> None:
    found = received(size=size)
    found.promised = 10**6
    counter = lengths(recordings=2)
    assert counter.parts(found) == parts
    counter.learn(found, found.promised)
    counter.learn(found, 7)  # the first answer stays
    assert counter.estimate() == 2 * rows


def test_parts_that_came_are_there() -> None:
    assert lengths().parts(received(Opened(9, 36), (4, scores([17])), size=0)) == 5
    assert lengths().parts(received()) == 1


def test_one_of_unknown_length_is_as_long_as_most() -> None:
    counter, broken = lengths(), received(scores([0]), Done("is broken"), number=5)
    for rows in (2, 3, 3, 7):
        counter.learn_length(rows)
    assert counter.part(broken, 0, final=False) == 3
    assert counter.part(received(scores([4])), 0, final=False) == 5  # more came


def test_before_any_was_read_the_next_good_one_tells() -> None:
    broken = received(Done("is broken"))
    also, good = received(Done("is broken"), number=1), received(Done(None, 6), number=2)
    assert lengths(also).part(broken, 0, final=False) is None  # the third one may tell
    assert lengths(also).part(broken, 0, final=True) == 1
    assert lengths(also, good).part(broken, 0, final=False) == 6
    assert lengths(also, recordings=2).part(broken, 0, final=False) == 1  # no other is left


def test_without_a_guess_rows_are_those_that_came() -> None:
    counter = lengths(guess=False)
    counter.learn_length(8)
    assert counter.part(received(Done("is broken")), 0, final=False) == 0
    assert counter.part(received(scores([0, 1]), Done("is broken")), 0, final=False) == 2
