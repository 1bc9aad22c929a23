"""Which windows may be served now."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from runtime.explore.labelling.clips import AGAIN_S
from runtime.explore.labelling.journal import Journal
from runtime.explore.labelling.tabs import HELD_S, Tabs, spread


class Availability:
    """The windows that a tab may be given: nobody answered them, no other tab holds them, and they can be read.

    Args:
        count: how many windows there are.
        lock: what keeps the state of the page whole.
    """

    def __init__(self, count: int, journal: Journal, tabs: Tabs, lock: threading.RLock) -> None:
        self.answered = np.zeros(count, np.bool_)
        """Which windows have an answer."""
        self._journal, self._tabs, self._lock = journal, tabs, lock
        self._missing = np.zeros(count, np.bool_)
        self._skipped_until = np.zeros(count)
        self._salt = secrets.token_bytes(8)

    @property
    def unreadable(self) -> NDArray[np.bool_]:
        """Which windows have a recording that is missing, or could not be read a short while ago."""
        return self._missing | (self._skipped_until > time.monotonic())

    def skip(self, numbers: NDArray[np.int64]) -> None:
        """Windows that could not be read are not served for a while."""
        with self._lock:
            self._skipped_until[numbers] = time.monotonic() + AGAIN_S

    def skip_missing(self, numbers: NDArray[np.int64]) -> None:
        """Windows whose recordings are not there are not served; all others may be."""
        missing = np.zeros_like(self._missing)
        missing[numbers] = True
        self._missing = missing

    def candidates(self, tab: str, passed: set[int], numbers: NDArray[np.int64]) -> Iterator[int]:
        """The places in `numbers` of the windows that a tab may be given next, but for those that it `passed`."""
        for place in self._spread(np.flatnonzero(~self._blocked(tab, passed)[numbers])):
            if not self.unreadable[numbers[place]]:  # some may have turned out to be
                yield int(place)

    def take(self, tab: str, number: int) -> bool:
        """Gives a window to a tab, unless another one has just got it or it was just answered."""
        with self._lock:
            if self._blocked(tab, set())[number]:
                return False
            holder = self._tabs.of(tab)
            holder.holds, holder.since = number, time.monotonic()
            return True

    def following(self, tab: str, passed: set[int], numbers: NDArray[np.int64], place: int) -> NDArray[np.int64]:
        """The windows that the tab may be given after the one at a place in `numbers`."""
        blocked = self._blocked(tab, passed)[numbers]
        blocked[place] = True
        return numbers[self._spread(np.flatnonzero(~blocked))]

    def _spread(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        return spread(places, self._salt) if time.monotonic() - self._journal.others_at < HELD_S else places

    def _blocked(self, tab: str, passed: set[int]) -> NDArray[np.bool_]:
        with self._lock:
            blocked = self.answered | self.unreadable
            blocked[list(passed)] = True
            blocked[self._tabs.held(tab)] = True
            return blocked
