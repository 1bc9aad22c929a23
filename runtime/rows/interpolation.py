"""Windows that were not reached, made of their scored neighbours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.rows.block import Block
from runtime.workers.protocol import Rows


@dataclass(frozen=True)
class Scored:
    """A recording's windows that have scores, in order, and the rows of `outputs` in which these are."""

    indices: NDArray[np.int64]
    rows: NDArray[np.int64]
    outputs: dict[str, NDArray[Any]]

    @classmethod
    def of(cls, rows: Iterable[Rows]) -> Scored:
        """Those among what came; of a window that came twice the last."""
        pieces = list(rows)
        scored = np.flatnonzero(np.concatenate([piece.scored for piece in pieces]))
        indices = np.concatenate([piece.indices for piece in pieces])[scored]
        indices, last = np.unique(indices[::-1], return_index=True)
        outputs = {name: np.concatenate([piece.outputs[name] for piece in pieces]) for name in pieces[0].outputs}
        return cls(indices, scored[::-1][last], outputs)

    def fill(self, block: Block, first: int, most: int | None) -> int:
        """Gives rows of a block that were not reached the mean of the scored ones next to them, both or the one there
        is; its first row is the window `first`, and at most so many get one. Returns how many did."""
        filled = np.flatnonzero(block.status == "filled")[:most]
        if not len(self.indices) or not len(filled):
            return 0
        after = np.searchsorted(self.indices, first + filled)
        one = self.rows[np.where(after > 0, after - 1, after)]
        other = self.rows[np.where(after < len(self.indices), after, after - 1)]
        block.status[filled] = "interpolated"
        for name, values in block.outputs.items():
            found = self.outputs[name]
            values[filled] = np.mean([found[one], found[other]], axis=0, dtype=np.float32)
        return len(filled)
