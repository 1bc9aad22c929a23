"""Detections, and events: runs of detections of one class."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from runtime.classes.taxonomy import Taxon

SLACK_S = 1e-6
"""Less than a sample: times are rounded."""


@dataclass(frozen=True)
class Detection:
    """A class in a window, or in a run of `windows`: then `score` is the highest. It has a `channel` if each has
    rows of its own.
    """

    path: str
    start_s: float
    end_s: float
    name: str
    taxon: Taxon
    score: float
    windows: int = 1
    channel: int | None = None
    recorded_at: str | None = None
    site: str | None = None
    occurrence: str | None = None


def merged(detections: Iterable[Detection], gap_s: float) -> Iterator[Detection]:
    """Detections as events, in the order of their starts, those with the highest scores first.

    A detection belongs to the event of its class and recording that ended last, if it starts at most `gap_s` seconds
    after that one's end. An event has the start of its first window, the end of its last, and the highest score.
    Detections come recording by recording, in the order of their starts.
    """
    for _, own in itertools.groupby(detections, lambda each: (each.path, each.channel)):
        events: list[Detection] = []
        last: dict[str, int] = {}  # the place of each class's last event
        for each in own:
            at = last.get(each.name)
            if at is None or each.start_s - events[at].end_s > gap_s + SLACK_S:
                last[each.name] = len(events)
                events.append(each)
                continue
            before = events[at]
            score, windows = max(before.score, each.score), before.windows + 1
            events[at] = replace(before, end_s=each.end_s, score=score, windows=windows)
        yield from sorted(events, key=lambda event: (event.start_s, -event.score))
