"""Rows made of several windows each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from runtime.audio.overlap import Overlap
from runtime.workers.job import Job
from runtime.workers.protocol import Rows

Came = dict[int, tuple[Rows, int]]
"""The windows of a row that came, by their starts: each as a place in what was added."""


class Combiner:
    """Makes rows of the windows of one task, which may come in any order.

    A row has the greatest or the mean values of its windows. Those without a score do not count; if none has one, the
    row has none. There is no row whose own window did not come: it was not recorded, or is another task's.

    Args:
        overlap: the windows of each row.
        maxima: the outputs of which a row has the greatest value of each column. Of others it has the mean.
        dtypes: the types of a row's outputs that are not float32. Windows come as float32.
    """

    def __init__(self, overlap: Overlap, maxima: Collection[str], dtypes: Mapping[str, str]) -> None:
        self._overlap, self._maxima, self._dtypes = overlap, maxima, dtypes
        self._waiting: dict[int, Came] = {}
        self._windows = 0  # that came since rows last went out

    def add(self, windows: Rows) -> Iterator[Rows]:
        """Takes windows, `indices` being their starts in samples, and gives the rows that are complete."""
        complete: dict[int, Came] = {}
        self._windows += len(windows.indices)
        for place, start in enumerate(windows.indices.tolist()):
            for row in self._overlap.rows_at(start):
                came = self._waiting.setdefault(row, {})
                came[start] = windows, place
                if came.keys() == set(self._overlap.starts_of(row)):
                    complete[row] = self._waiting.pop(row)
        yield from self._combined(complete, None)

    def rest(self, count: int | None) -> Iterator[Rows]:
        """The other rows, when all windows have come; `count` is how many rows the recording has, if that is known."""
        own = {row: came for row, came in self._waiting.items() if row * self._overlap.hop in came}
        self._waiting.clear()
        yield from self._combined(own, None if count is None else count - 1)

    def _combined(self, rows: Mapping[int, Came], last: int | None) -> Iterator[Rows]:
        """These rows, if there are any; `last` is the recording's last one."""
        if not rows:
            return
        scored = [self._scored(row, came, row == last) for row, came in rows.items()]
        (some, _), *_ = next(iter(rows.values())).values()
        outputs = {
            name: np.full((len(rows), *values.shape[1:]), np.nan, self._dtypes.get(name, np.float32))
            for name, values in some.outputs.items()
        }
        for at, places in enumerate(scored):
            for name, values in outputs.items() if places else ():
                values[at] = self._combine(name, np.stack([piece.outputs[name][place] for piece, place in places]))
        windows, self._windows = self._windows, 0
        yield Rows(np.array(list(rows), np.int64), outputs, np.array(list(map(bool, scored))), windows)

    def _scored(self, row: int, came: Came, is_last: bool) -> list[tuple[Rows, int]]:
        """Where the scores of a row's windows are; those of one that stands for others are there again for each."""
        starts = self._overlap.starts_of(row)
        if is_last and self._overlap.clamped:
            starts = [min(start, row * self._overlap.hop) for start in starts]
        places = [came[start] for start in starts if start in came]
        return [(piece, place) for piece, place in places if piece.scored[place]]

    def _combine(self, name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The greatest of values along the first axis, or their mean; equal ones stay the same bits."""
        if name in self._maxima:
            return values.max(axis=0)
        return values[0] + (values - values[0]).mean(axis=0)


def combiner_of(job: Job) -> Combiner | None:
    """What makes the rows of one task; None where each row has one window."""
    return None if job.overlap is None else Combiner(job.overlap, job.maxima, job.dtypes)
