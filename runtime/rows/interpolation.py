"""Interpolates rows of windows that were not reached from their scored neighbours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.rows.block import Block
from runtime.rows.received import Received
from runtime.workers.protocol import Rows


@dataclass(frozen=True)
class Neighbours:
    """A recording's scored windows: their `indices` in order, and in which rows of `outputs` their scores are."""

    indices: NDArray[np.int64]
    rows: NDArray[np.int64]
    outputs: dict[str, NDArray[Any]]

    @classmethod
    def among(cls, rows: Iterable[Rows]) -> Neighbours:
        """The scored windows among `rows`; a window that came twice has its later scores."""
        pieces = list(rows)
        scored = np.flatnonzero(np.concatenate([piece.scored for piece in pieces]))
        indices = np.concatenate([piece.indices for piece in pieces])[scored]
        indices, last = np.unique(indices[::-1], return_index=True)
        outputs = {name: np.concatenate([piece.outputs[name] for piece in pieces]) for name in pieces[0].outputs}
        return cls(indices, scored[::-1][last], outputs)

    def means(self, windows: NDArray[np.int64], output: str) -> NDArray[np.float32]:
        """For each window the mean of the nearest scored ones before and after it, or the one of them that exists."""
        after = np.searchsorted(self.indices, windows)
        before = self.rows[np.where(after > 0, after - 1, after)]
        after = self.rows[np.where(after < len(self.indices), after, after - 1)]
        values = self.outputs[output]
        return np.mean([values[before], values[after]], axis=0, dtype=np.float32)


class Interpolation:
    """Interpolates part by part, in the order of the rows; `most` rows at most, all if None."""

    def __init__(self, most: int | None) -> None:
        self._left = most
        self._recording: int | None = None
        self._neighbours: Neighbours | None = None

    def fill(self, block: Block, received: Received, first: int) -> Block:
        """A part's rows, "filled" ones interpolated; its first row is the window `first`."""
        filled = np.flatnonzero(block.status == "filled")[: self._left]
        if not len(filled) or not received.rows:
            return block
        neighbours = self._neighbours_in(received)
        if not len(neighbours.indices):
            return block
        status, outputs = block.status.copy(), {}
        status[filled] = "interpolated"
        for name, values in block.outputs.items():
            outputs[name] = values if values.flags.writeable else values.copy()
            outputs[name][filled] = neighbours.means(first + filled, name)
        if self._left is not None:
            self._left -= len(filled)
        return replace(block, status=status, outputs=outputs)

    def _neighbours_in(self, received: Received) -> Neighbours:
        """A recording's neighbours, collected once."""
        if self._neighbours is None or self._recording != received.number:
            self._neighbours = None  # frees the memory of the recording before
            self._recording, self._neighbours = (
                received.number,
                Neighbours.among(piece for part in received.rows.values() for piece in part),
            )
        return self._neighbours
