"""From seconds a soundscape to minutes for all of them, and whether these meet a deadline.

The total is the start-up once, plus the mean of the rounds' seconds a soundscape times the number of soundscapes. The
interval is Student's t interval of that mean over the rounds, 95%. It covers how much rounds differ, but neither a
machine that later is busier nor a rate that changes during a longer run. Where it is wide (`MOST_RATIO`), only what
was measured is said.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.measuring.timing import figure
from runtime.errors import counted

SOUNDSCAPES = 700
"""About as many as the competition's hidden folder holds."""
CONFIDENCE = 0.95
MOST_RATIO = 2.0
"""A projection is given if the upper end of its interval is at most so many times the lower."""


@dataclass(frozen=True)
class TimeProjection:
    """The time that all soundscapes take, in seconds.

    `rounds` are seconds a soundscape, from its file to its rows in a submission, without start-up. `measured_s` is the
    time of all soundscapes, with start-up, if that was measured.
    """

    start_up_s: float
    rounds: Sequence[float]
    measured_s: float | None = None
    soundscapes: int = SOUNDSCAPES

    @property
    def rate(self) -> float:
        """Mean seconds a soundscape."""
        return statistics.fmean(self.rounds)

    @property
    def total_s(self) -> float:
        """For all soundscapes: measured, or projected."""
        return self.start_up_s + self.soundscapes * self.rate if self.measured_s is None else self.measured_s

    @property
    def interval_s(self) -> tuple[float, float]:
        """The interval of `total_s`: unbounded above with a single round, of no width if the total was measured."""
        if self.measured_s is not None:
            return self.measured_s, self.measured_s
        count = len(self.rounds)
        if count < 2:
            return self.start_up_s, math.inf
        from scipy.stats import t

        error = statistics.stdev(self.rounds) / math.sqrt(count)
        width = self.soundscapes * float(t.ppf((1 + CONFIDENCE) / 2, count - 1)) * error
        return max(self.start_up_s, self.total_s - width), self.total_s + width

    @property
    def kind(self) -> str:
        """How the total is known: measured, projected, or not projected because rounds differ too much."""
        low, high = self.interval_s
        if self.measured_s is not None:
            return "measured"
        return "projected" if high <= MOST_RATIO * low else "not projected"

    def cores(self, cores: int, deadline_s: float) -> float:
        """How many cores like these `cores` would just meet the deadline, if throughput grows with their number and
        start-up stays as it is; infinite if start-up alone takes too long."""
        left = deadline_s - self.start_up_s
        return cores * (self.total_s - self.start_up_s) / left if left > 0 else math.inf

    def verdict(self, cores: int, deadline_s: float) -> str:
        """In words: the minutes, whether they were measured, the margin, and how many cores would do. Where they are
        not projected, what was measured."""
        if self.kind == "not projected":
            least, most = min(self.rounds), max(self.rounds)
            seconds = f"{least:.3g}" if least == most else f"{least:.3g} to {most:.3g}"
            rounds = counted(len(self.rounds), "round")
            return f"{seconds} s a soundscape in {rounds}, which say too little to project {self.soundscapes} of them"
        low, high = (end / 60 for end in self.interval_s)
        minutes, deadline = self.total_s / 60, deadline_s / 60
        how = self.kind if self.measured_s is not None else f"{self.kind}, {low:.3g} to {high:.3g}"
        margin = abs(deadline - minutes)
        if low <= deadline < high:
            end = "too close to call"
        elif minutes <= deadline:
            end = f"{margin:.3g} minutes to spare"
        else:
            end = f"misses it by {margin:.3g} minutes"
        needed = self.cores(cores, deadline_s)
        in_words = "more than any number of cores" if math.isinf(needed) else counted(max(1, math.ceil(needed)), "core")
        return f"{minutes:.3g} of {deadline:.3g} minutes ({how}): {end}; needs {in_words} like these"

    def as_json(self, cores: int, deadline_s: float) -> dict[str, Any]:
        """All figures."""
        low, high = self.interval_s
        return {
            "start_up_s": self.start_up_s,
            "seconds_a_soundscape": figure(self.rounds) | {"mean": self.rate},
            "soundscapes": self.soundscapes,
            "kind": self.kind,
            "total_minutes": self.total_s / 60,
            "interval_minutes": [low / 60, high / 60],
            "margin_minutes": (deadline_s - self.total_s) / 60,
            "cores_needed": self.cores(cores, deadline_s),
            "verdict": self.verdict(cores, deadline_s),
        }
