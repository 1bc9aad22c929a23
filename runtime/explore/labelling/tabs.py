"""The tabs of browsers that windows are served to, and what keeps them from being given the same one."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from runtime.explore.labelling.answer import Answer

HELD_S = 300.0
"""How long a window stays with the tab that was given it."""
MOST_TABS = 200
SPREAD = 10
"""From among how many windows the next one is taken while others answer into the same file."""


@dataclass
class Tab:
    """A tab of a browser: the window it holds since when, those it went past in each order, and what it answered."""

    holds: int | None = None
    since: float = 0.0
    passed: dict[tuple[str, str], set[int]] = field(default_factory=dict)
    answered: list[tuple[Answer, Answer | None]] = field(default_factory=list)
    told: int = 0
    """How many notices it was told."""


class Tabs:
    """The tabs that were seen last."""

    def __init__(self) -> None:
        self._tabs: dict[str, Tab] = {}

    def of(self, name: str) -> Tab:
        """The tab of this name, which may be new."""
        self._tabs[name] = tab = self._tabs.pop(name, None) or Tab()
        while len(self._tabs) > MOST_TABS:
            del self._tabs[next(iter(self._tabs))]
        return tab

    def held(self, name: str) -> list[int]:
        """The windows that other tabs hold."""
        since = time.monotonic() - HELD_S
        others = (tab for other, tab in self._tabs.items() if other != name and tab.since > since)
        return [tab.holds for tab in others if tab.holds is not None]


def spread(numbers: NDArray[np.int64], salt: bytes) -> NDArray[np.int64]:
    """Windows with the first few in an order of a server's own: servers that share a label file seldom meet then."""
    own = sorted(numbers[:SPREAD], key=lambda number: hashlib.sha256(salt + number.tobytes()).digest())
    return np.concatenate([np.array(own, np.int64), numbers[SPREAD:]])
