"""Where a parent receives the messages of its child processes."""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from typing import Any

from runtime.workers.child import Child

START_S = 120.0
"""How long a process may be silent at its start, at least: a time-out is meant for recordings."""
LONGEST_WAIT_S = 2.0
"""Longest single wait of the parent. A wait that takes much longer means that the parent itself was suspended."""


class Inbox:
    """Messages of children, in the order in which they come. Children that owe an answer for too long are killed.

    Args:
        timeout_s: how long a child that owes an answer may be silent after its start. Time in which this process itself
            stood still, as in a laptop that sleeps, does not count, whether the clocks ran meanwhile or not.
    """

    def __init__(self, timeout_s: float) -> None:
        self.queue: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
        self._timeout_s = timeout_s
        self._looked = time.monotonic(), time.time()

    def receive(
        self, children: Sequence[Child], busy: Sequence[Child], deadline: float | None
    ) -> tuple[Any, Any] | None:
        """The next message and its child; None after a while without one, or at the deadline.

        The `busy` children are those that owe an answer. The end of a child killed for its silence is a message
        like any other.
        """
        now = self._now(children)
        waits = [LONGEST_WAIT_S] if deadline is None else [LONGEST_WAIT_S, deadline - now]
        for child in busy:
            patience_s = self._timeout_s if child.ready else max(self._timeout_s, START_S)
            if child.silent_since + patience_s <= now:
                child.give_up_on(patience_s)
            waits.append(child.silent_since + patience_s - now)
        try:
            return self.queue.get(timeout=max(0.0, min(waits)))
        except queue.Empty:
            return None

    def _now(self, children: Sequence[Child]) -> float:
        """What the clock says; time in which this process stood still is taken off every child's silence."""
        looked, self._looked = self._looked, (time.monotonic(), time.time())
        now = self._looked[0]
        stood_still_s = max(after - before for before, after in zip(looked, self._looked)) - LONGEST_WAIT_S
        for child in children if stood_still_s > 0 else ():
            child.silent_since = min(now, child.silent_since + stood_still_s)
        return now
