"""How many detections were written, and which score to ask for if all windows have one or none has."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from runtime.errors import counted
from runtime.request.detections import AUTO, Detections
from runtime.rows.formats.events import Detection


@dataclass
class DetectionCounts:
    """How many detections were written, and the best score of each window that has a score."""

    detections: int = 0
    windows: int = 0
    """Windows with a detection."""
    best_scores: array[float] = field(default_factory=lambda: array("f"))
    events: int | None = None
    """How many events they were merged into, if they were."""
    remarks: Sequence[str] = ()
    """Lines on which classes may be detected, if not all."""

    @property
    def written(self) -> int:
        """How many lines the tables have."""
        return self.detections if self.events is None else self.events

    def clear(self) -> None:
        self.detections, self.windows, self.best_scores, self.events = 0, 0, array("f"), None

    def counting(self, events: Iterable[Detection]) -> Iterator[Detection]:
        """The same events, counted."""
        self.events = self.events or 0
        for each in events:
            self.events += 1
            yield each

    def summary(self, asked: Detections) -> str:
        """How many there are; if every window has one, or none, also a better threshold; and of which species."""
        return "\n".join([self._counted(asked), *self.remarks])

    def _counted(self, asked: Detections) -> str:
        if not self.best_scores:
            return "no detections: no window was scored"
        windows = counted(len(self.best_scores), "window")
        if self.detections:
            events = "" if self.events is None else f"{counted(self.events, 'event')} of "
            text = f"{events}{counted(self.detections, 'detection')} in {self.windows:,} of {windows}"
        else:
            text = f"no detections in {windows}"
        if asked.min_score in (None, AUTO) or 0 < self.windows < len(self.best_scores):
            return text
        few, many = np.quantile(self.best_scores, (0.99, 0.9)).tolist()
        why = "every window has one" if self.windows else f"the highest score is {max(self.best_scores):.4g}"
        return (
            f"{text}; {why}. 1% of the windows have a score from {few:.4g} on, 10% from {many:.4g} on: "
            f"try --min-score {few:.4g} (Detections(min_score={few:.4g}))"
        )
