"""How things are timed, so that figures can be compared.

- Everything that is compared is measured in one run, in rounds. Each round measures everything once, every other round
  in reverse order, so that a machine that slows down slows all of it.
- The first time does not count: it loads, compiles and fills caches.
- The figure is the median of the rounds. Beside it stands the spread, the greatest round divided by the least.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

NOISY_SPREAD = 1.25
"""The median of a few rounds says little above this spread."""
NOISY_SHARE = 0.1
"""Figures count as disturbed if other programs took more than this share of the processors."""
Key = TypeVar("Key", bound=Hashable)


def take_turns(
    turns: Mapping[Key, Callable[[], float]], rounds: int, done: Callable[[Key], object]
) -> dict[Key, list[float]]:
    """Measures each once a round; returns the values of each in the order of the rounds. The caller has warmed up.

    `done` is called after every turn.
    """
    values: dict[Key, list[float]] = {key: [] for key in turns}
    for number in range(rounds):
        for key in list(turns)[:: -1 if number % 2 else 1]:
            values[key].append(turns[key]())
            done(key)
    return values


def spread(values: Sequence[float]) -> float:
    """The greatest divided by the least."""
    return max(values) / min(values)


def figure(values: Sequence[float]) -> dict[str, Any]:
    """Median, spread and the values themselves, for JSON."""
    return {"median": statistics.median(values), "spread": spread(values), "values": list(values)}


def noise(measured: Sequence[Sequence[float]], others: float) -> dict[str, Any]:
    """How far the rounds can be trusted; `others` is the share of the processors that other programs took.

    Returns a dict for JSON: `spread` is the median of all spreads, `worst_spread` the greatest, `others` as given, and
    `noisy` a sentence with the reasons for distrust, or None.
    """
    spreads = [spread(values) for values in measured]
    typical = statistics.median(spreads)
    reasons = []
    if typical > NOISY_SPREAD:
        reasons.append(f"rounds differ by {typical:.2f} times (more than {NOISY_SPREAD})")
    if others > NOISY_SHARE:
        reasons.append(f"other programs took {others:.0%} of the processors")
    noisy = f"the machine is noisy: {' and '.join(reasons)}; close other programs, or take more rounds"
    return {"spread": typical, "worst_spread": max(spreads), "others": others, "noisy": noisy if reasons else None}


def spreads_in_words(noise: Mapping[str, Any]) -> str:
    """The spreads of `noise`, as a line of text."""
    spreads = f"{noise['spread']:.2f} (median), {noise['worst_spread']:.2f} (worst)"
    return f"Spread of the rounds, slowest over fastest: {spreads}"
