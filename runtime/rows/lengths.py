"""How many rows a recording has, whether it was read or not."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping

from runtime.rows.received import Received

LEAST_BYTES_A_SECOND = 16
"""Less than silence takes in any codec. A header that promises more sound than this allows is not believed."""


class Lengths:
    """How many rows each recording of a run has, where windows are a grid.

    A recording that was read has a row for each window; one that was not, or not to its end, has as many as its header
    promises. If the header promises nothing, it has as many as most other recordings if `guess`, else those that
    workers sent.

    Args:
        received: what workers sent, by recording.
        recordings: how many there are.
        part_windows: how many windows every part but a recording's last has.
        hop: samples from one window's start to the next.
        sample_rate: of the windows, in Hz.
        guess: whether a recording of unknown length gets rows for windows that no worker has seen.
        rows: how many of a recording's windows have rows, if not all.
    """

    def __init__(
        self,
        received: Mapping[int, Received],
        recordings: int,
        part_windows: int,
        hop: int,
        sample_rate: int,
        guess: bool,
        rows: Callable[[Received, int], int] = lambda _, windows: windows,
    ) -> None:
        self._rows = rows
        self._received, self._recordings, self._guess = received, recordings, guess
        self._part_windows, self._hop, self._sample_rate = part_windows, hop, sample_rate
        self._lengths: Counter[int] = Counter()  # of recordings that were read
        self._commonest: int | None = None
        self._looked_at = 0  # recordings before this place have no usable length
        self._counted = self._counted_rows = 0  # recordings whose length a worker reported, and their rows together

    def learn(self, received: Received, windows: int | None) -> None:
        """Takes a worker's report of how many windows a recording has or promises. The first report counts."""
        if windows is not None and not received.counted:
            received.counted = True
            self._counted += 1
            self._counted_rows += self._rows(received, self._plausible(received, windows))

    def learn_length(self, rows: int) -> None:
        """Takes the number of rows of a recording that was read to its end."""
        self._lengths[rows] += 1
        if self._lengths[rows] > self._lengths[self._commonest or 0]:
            self._commonest = rows

    def estimate(self) -> int:
        """How many rows all recordings have, if the ones not opened yet are as long as the others."""
        return self._counted_rows * self._recordings // max(1, self._counted)

    def parts(self, received: Received) -> int:
        """How many parts a recording has that was not read, or not to its end."""
        promised = self._plausible(received, received.promised or 0)
        last_to_come = max((*received.rows, *received.done), default=0)
        return max(1 + last_to_come, math.ceil(promised / self._part_windows))

    def part(self, received: Received, part: int, final: bool) -> int | None:
        """How many rows a part has; None if that depends on a recording that is not finished.

        `final` is whether the run is over, so that no more recordings are finished.
        """
        first, done = part * self._part_windows, received.done.get(part)
        came, last = received.end(part, first), part >= received.parts - 1
        if last and done is not None and done.windows is not None:
            received.promised = done.windows  # it was read to its end, or its header was read again
        if done is not None and done.failure is None:
            return max(done.windows - first, came) if last and done.windows is not None else self._part_windows
        if received.promised is not None:
            count = max(self._plausible(received, received.promised) - first, came)
            return count if last else min(count, self._part_windows)
        if not self._guess:
            return came
        usual = self._usual(received.number, final)
        return None if usual is None else max(usual - first, came)

    def _plausible(self, received: Received, windows: int) -> int:
        """The promised windows, up to one part or what a file of this size can hold, whichever is more.

        Otherwise a few bytes could promise millions of rows, none of them read.
        """
        most_s = received.size / LEAST_BYTES_A_SECOND
        return min(windows, max(self._part_windows, math.ceil(most_s * self._sample_rate / self._hop)))

    def _usual(self, number: int, final: bool) -> int | None:
        """The most common number of rows of recordings read before this one; if there are none, that of the next one
        that can be read. None while that one is not finished and still may be.
        """
        if self._commonest is not None:
            return self._commonest
        self._looked_at = max(self._looked_at, number + 1)
        while self._looked_at < self._recordings:
            later = self._received.get(self._looked_at)
            done = later.done.get(0) if later is not None else None
            if later is not None and done is not None and done.failure is None:
                windows = later.promised if later.parts > 1 else done.windows
                return windows or 1 if final else windows
            if done is None and not final:
                return None
            self._looked_at += 1
        return 1
