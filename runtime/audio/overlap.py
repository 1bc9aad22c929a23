"""Windows that overlap, several of which make one row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Self

Pool = Literal["max", "mean"]


@dataclass(frozen=True)
class Overlap:
    """Which windows make a row, all in samples.

    The windows of the row that starts at `t` start at `t` plus each of the `offsets`. These ascend, 0 is among them,
    and all are smaller in size than `hop`, the distance of two rows. No window starts before the recording or after its
    last row. What would is left out; where windows are `clamped` it is that row's own window, once more.
    """

    offsets: tuple[int, ...]
    hop: int
    clamped: bool = False

    @classmethod
    def pooled(cls, hop: int, window: int) -> Self:
        """Of rows one window apart: the windows that overlap a row by at least half, of all windows `hop` apart.

        A row is a whole number of hops, at least two.
        """
        reach = window // 2 // hop * hop
        return cls(tuple(range(-reach, reach + 1, hop)), window)

    @classmethod
    def shifted(cls, shifts: Sequence[int], hop: int) -> Self:
        """Of rows `hop` apart: their own windows shifted by so many samples, each less than a hop."""
        return cls(tuple(sorted(set(shifts))), hop, clamped=True)

    def starts_of(self, row: int) -> list[int]:
        """Where the windows of a row start; the row may be the recording's first, but is not its last."""
        starts = (row * self.hop + offset for offset in self.offsets)
        return [max(0, start) for start in starts if start >= 0 or self.clamped]

    def starts(self, rows: Iterable[int]) -> Iterator[int]:
        """Where the windows of these rows start, which ascend; each start once, in order."""
        waiting: list[int] = []
        for row in rows:
            own = self.starts_of(row)
            yield from (start for start in waiting if start < own[0])
            waiting = sorted({*(start for start in waiting if start >= own[0]), *own})
        yield from waiting

    def rows_at(self, start: int) -> list[int]:
        """The rows that the window at `start` is of, if they exist."""
        behind = (start - offset for offset in self.offsets)
        return [begin // self.hop for begin in behind if begin >= 0 and not begin % self.hop]
