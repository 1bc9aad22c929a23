"""Which windows a row is made of, against the rule written out for a recording whose length is known."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.audio.overlap import Overlap
from runtime.audio.recording import Part, Recording
from runtime.audio.source import Samples
from runtime.audio.windows import count_windows

RATE, WINDOW = 1000, 5000
LENGTHS = (30, 4990, 5049, 5050, 5490, 5550, 7500, 10_030, 10_050, 12_500, 14_990, 22_560, 30_110)
POOLS = {hop: Overlap.pooled(hop, WINDOW) for hop in (2500, 1250, 1000, 500)}
SHIFTS = [
    ([0, 500, -500], 5000),
    ([0, 20], 5000),
    ([-1, 0, 4999], 5000),
    ([-2490, 0, 2490], 2500),
    ([-6000, 0, 6500], 7000),
]


def starts_of(row: int, overlap: Overlap, count: int) -> list[int]:
    """Where the windows of a row start, in a recording of `count` rows."""
    last = (count - 1) * overlap.hop
    own = [row * overlap.hop + offset for offset in overlap.offsets]
    if overlap.clamped:
        return [min(max(start, 0), last) for start in own]
    return [start for start in range(0, last + 1) if start in own]


@pytest.mark.parametrize("hop", list(POOLS))
def test_pooled_rows_have_the_windows_that_overlap_them_by_half(hop: int) -> None:
    for row in range(4):
        own = row * WINDOW
        overlapping = [
            start for start in range(0, 50_000, hop) if min(start, own) + WINDOW - max(start, own) >= WINDOW / 2
        ]
        assert POOLS[hop].starts_of(row) == overlapping


@pytest.mark.parametrize("overlap", [*POOLS.values(), *(Overlap.shifted(*each) for each in SHIFTS)])
@pytest.mark.parametrize("length", LENGTHS)
def test_a_recording_gives_the_windows_of_all_rows_each_once_and_padded(overlap: Overlap, length: int) -> None:
    samples = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    count = count_windows(length, WINDOW, overlap.hop, RATE)
    padded = np.pad(samples, (0, 2 * WINDOW))
    recording = Recording(Samples(samples, RATE), RATE, WINDOW, overlap.hop, part_windows=2, overlap=overlap)
    parts = recording.count_parts()[0]
    assert parts == -(-count // 2)
    for number in range(parts):
        rows = range(2 * number, min(count, 2 * number + 2))
        windows = list(recording.windows(recording.part(number, parts)))
        wanted = sorted({start for row in rows for start in starts_of(row, overlap, count)})
        assert [window.start for window in windows] == wanted
        for window in windows:
            np.testing.assert_array_equal(window.samples, padded[window.start : window.start + WINDOW])
    assert (recording.count, recording.failure) == (count, None)


@pytest.mark.parametrize("overlap", [POOLS[2500], Overlap.shifted([0, 500, -500], 5000)])
def test_rows_may_be_visited_some_at_a_time(overlap: Overlap) -> None:
    recording = Recording(Samples(np.ones(48_000, np.float32), RATE), RATE, WINDOW, 5000, overlap=overlap)
    for offset, step in ((0, 2), (1, 2), (3, 4)):
        rows = range(offset, 10, step)
        wanted = sorted({start for row in rows for start in starts_of(row, overlap, 10)})
        assert [window.start for window in recording.windows(Part(), offset, step)] == wanted
