"""How things are timed here, so that figures can be compared.

- All that is compared is measured in one run, in rounds; in each everyone has a turn, every other round in the opposite
  order, so that a machine that slows down slows all of them.
- A first time does not count: it loads, compiles and fills caches.
- The figure is the median of the rounds; the spread, greatest over least, is told beside it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

from benchmarks.measuring.environment import BUSY

NOISY = 1.25
"""Above this spread a few rounds' median says little."""
What = TypeVar("What", bound=Hashable)


def take_turns(
    turns: Mapping[What, Callable[[], float]], rounds: int, done: Callable[[What], object]
) -> dict[What, list[float]]:
    """Measures each once a round, warmed up by the caller; the values of each, a round after the other.

    `done` is called after every turn.
    """
    values: dict[What, list[float]] = {what: [] for what in turns}
    for number in range(rounds):
        for what in list(turns)[:: -1 if number % 2 else 1]:
            values[what].append(turns[what]())
            done(what)
    return values


def spread(values: Sequence[float]) -> float:
    """Greatest over least."""
    return max(values) / min(values)


def figure(values: Sequence[float]) -> dict[str, Any]:
    """Median, spread and the values themselves, for JSON."""
    return {"median": statistics.median(values), "spread": spread(values), "values": list(values)}


def noise(measured: Sequence[Sequence[float]], others: float | None) -> dict[str, Any]:
    """How far the rounds of all that was measured can be trusted; `others` is their share of the processors.

    Returns a dict for JSON: `spread` is the median of all spreads, `worst_spread` the greatest, `others`, and `noisy`,
    what to say of it in one line or None.
    """
    spreads = [spread(values) for values in measured]
    typical = statistics.median(spreads)
    reasons = []
    if typical > NOISY:
        reasons.append(f"rounds differ by {typical:.2f} times (more than {NOISY})")
    if others is not None and others > BUSY:
        reasons.append(f"others took {others:.0%} of the processors")
    noisy = f"the machine is noisy: {' and '.join(reasons)}; close what else runs, or take more rounds"
    return {"spread": typical, "worst_spread": max(spreads), "others": others, "noisy": noisy if reasons else None}
