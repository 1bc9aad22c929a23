"""What a run says of its recordings and rows at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from runtime.audio.extensions import advice
from runtime.errors import counted
from runtime.remote import Location
from runtime.rows.block import NOWHERE, Origin
from runtime.rows.outcome import Failed, NotReached, Outcome, PassedOver, Read
from runtime.rows.summary import Failure, Note

MOST_REASONS = 3
"""The most reasons named for one recording."""


class Report:
    """Counts of rows, failures and notes. Recordings are added in the order of their rows.

    Args:
        around_events: whether windows are around events; a recording may have no events.
        at_times: whether only windows at some times are scored; a recording may have none.
    """

    def __init__(self, around_events: bool, at_times: bool = False) -> None:
        self._around_events, self._at_times = around_events, at_times
        self.counts: Counter[str] = Counter()
        """How many rows have each status."""
        self.failures: list[Failure] = []
        self.notes: list[Note] = []
        self.timeless = self.siteless = 0
        """Recordings of which nobody knows when they were begun, or at which site."""
        self.outside = 0
        """Recordings of which no window was at the times asked for."""
        self.passed_over = 0
        """Recordings without rows: none was scored before the end, and a sample submission decides the rows."""
        self.without_events = self.not_reached = 0
        """Where windows are around events: recordings without any, and those not scored, or not to their end. Where
        windows are at some times: recordings that no worker dated, for the file may say another time than its name."""

    def unknown(self, more: Sequence[str], recordings: int) -> list[str]:
        """Lines on what nobody knows of recordings, of what rows say `more` of their windows."""
        lines, found = [], counted(recordings, "recording")
        if self.outside:
            lines.append(f"left out: {self.outside:,} of {found}, without a window at the times asked for")
        if self.timeless and self._at_times:
            why = "neither the file nor its name says when it was recorded; name it like 20240512_053000.wav"
            lines.append(f"left out: {self.timeless:,} of {found}, as {why}")
        elif self.timeless and "recorded_at" in more:
            why = "neither the file nor its name says it"
            lines.append(f"recorded_at is unknown in {self.timeless:,} of {found}: {why}")
        if self.siteless and "site" in more:
            why = "their paths do not match --site-from (site_from)"
            lines.append(f"site is unknown in {self.siteless:,} of {found}: {why}")
        return lines

    def add(
        self, path: Location, outcomes: Sequence[Outcome], rows: int, origin: Origin = NOWHERE, opened: bool = True
    ) -> None:
        """Adds a recording of `rows` rows, with the outcome of each of its parts; `opened` is whether a worker said
        when it was begun."""
        last = outcomes[-1]
        timeless = origin.began is None  # then it has no rows at the times asked for
        self.timeless += timeless and not isinstance(last, (NotReached, PassedOver))
        self.siteless += origin.site is None
        notes = dict.fromkeys(note for each in outcomes if isinstance(each, (Read, Failed)) for note in each.notes)
        self.notes += [Note(path, note) for note in notes]
        if reasons := list(dict.fromkeys(each.reason for each in outcomes if isinstance(each, Failed))):
            more = len(reasons) - MOST_REASONS
            named = [*reasons[:MOST_REASONS], *([f"and so on in {counted(more, 'more part')}"] if more > 0 else [])]
            self.failures.append(Failure(path, "; ".join(named) + advice(path)))
        self.outside += self._at_times and isinstance(last, Read) and not (rows or timeless)
        self.passed_over += isinstance(last, PassedOver)
        self.without_events += self._around_events and isinstance(last, Read) and not rows
        if self._around_events or (self._at_times and not opened):
            self.not_reached += isinstance(last, NotReached)
