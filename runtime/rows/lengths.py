"""How many rows a recording has, whether it was read or not."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from runtime.rows.received import Received

LEAST_BYTES_A_SECOND = 16
"""Less than silence takes in any codec. A header that promises more sound than this allows is not believed."""


class Lengths:
    """How many rows each recording of a run has, where windows are a grid.

    One that was read has a row for each window. One that was not, or not to its end, has as many as its header
    promises. Where that promises nothing it has as many as most other recordings, if `guess`; else those that came.

    Args:
        received: what workers sent, by recording.
        recordings: how many there are.
        part_windows: how many windows every part but a recording's last has.
        hop: samples from one window's start to the next.
        sample_rate: of the windows, in Hz.
        guess: whether a recording of unknown length gets rows for windows that nobody has seen.
    """

    def __init__(
        self,
        received: Mapping[int, Received],
        recordings: int,
        part_windows: int,
        hop: int,
        sample_rate: int,
        guess: bool,
    ) -> None:
        self._received, self._recordings, self._guess = received, recordings, guess
        self._part_windows, self._hop, self._sample_rate = part_windows, hop, sample_rate
        self._lengths: Counter[int] = Counter()  # of recordings that were read
        self._commonest: int | None = None
        self._looked_at = 0  # no recording before this place tells a length, but for those that are in `_lengths`
        self._known = self._known_rows = 0  # recordings of which a worker has said how many windows they have; the sum

    def learn(self, received: Received, windows: int | None) -> None:
        """Takes how many windows a worker says that a recording has or promises. The first answer stays."""
        if windows is not None and not received.counted:
            received.counted = True
            self._known, self._known_rows = self._known + 1, self._known_rows + self._plausible(received, windows)

    def learn_length(self, rows: int) -> None:
        """Takes how many rows a recording had that was read to its end."""
        self._lengths[rows] += 1
        if self._lengths[rows] > self._lengths[self._commonest or 0]:
            self._commonest = rows

    def estimate(self) -> int:
        """How many rows all recordings have, if those that workers have not opened are as long as the others."""
        return self._known_rows * self._recordings // max(1, self._known)

    def parts(self, received: Received) -> int:
        """In how many parts a recording is that was not read, or not to its end."""
        promised = self._plausible(received, received.promised or 0)
        last_to_come = max((*received.rows, *received.done), default=0)
        return max(1 + last_to_come, math.ceil(promised / self._part_windows))

    def part(self, received: Received, part: int, final: bool) -> int | None:
        """How many rows a part has; None if another recording will tell.

        `final` is whether the run is over, so that no more recordings are finished.
        """
        first, done = part * self._part_windows, received.done.get(part)
        came, last = received.end(part, first), part >= received.parts - 1
        if last and done is not None and done.windows is not None:
            received.promised = done.windows  # it was read to its end, or somebody looked again
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
        """As many windows as are promised, but no more than a file of its size can hold, or one part has.

        Else a few bytes could promise millions of rows, none of them read.
        """
        most_s = received.size / LEAST_BYTES_A_SECOND
        return min(windows, max(self._part_windows, math.ceil(most_s * self._sample_rate / self._hop)))

    def _usual(self, number: int, final: bool) -> int | None:
        """How many rows most recordings have that were read before this one, or else the next good one.

        None where that one is not finished, though it may be.
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
