"""The rows of one part, put together from the pieces that workers sent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from runtime.rows.block import NOWHERE, Block, Columns, Origin, Status, unscored, writable
from runtime.rows.naming import Naming
from runtime.rows.received import Received
from runtime.workers.protocol import Rows


def assembled(
    path: str,
    name: str,
    received: Received,
    part: int,
    indices: NDArray[np.int64],
    columns: Columns,
    naming: Naming,
    origin: Origin = NOWHERE,
) -> Block:
    """A part's rows for the windows `indices`, in order, with a status for windows that no worker sent."""
    pieces = received.rows.get(part, ())
    status = _statuses(received, part, indices)
    if _are_all(pieces, indices):  # nearly always; the rest is for windows that are missing, or came twice
        outputs = {name: _in_order(pieces, name, columns) for name in columns.shapes}
        status[:] = np.where(np.concatenate([piece.scored for piece in pieces]), "scored", "failed")
    else:
        outputs = writable(columns, len(indices)) if pieces else unscored(columns, len(indices))
        for piece in pieces:
            asked = piece.indices <= indices[-1] if len(indices) else np.zeros(len(piece.indices), np.bool_)
            at = np.searchsorted(indices, piece.indices[asked])
            status[at] = np.where(piece.scored[asked], "scored", "failed")
            for output, values in piece.outputs.items():
                outputs[output][at] = values[asked]
    row_ids = naming.row_ids(name, indices)
    return Block(path, row_ids, *naming.times(indices), status, outputs, origins={path: origin})


def _are_all(pieces: Sequence[Rows], indices: NDArray[np.int64]) -> bool:
    """Whether the pieces, one after another, are all windows asked for."""
    return bool(pieces) and np.array_equal(np.concatenate([piece.indices for piece in pieces]), indices)


def _in_order(pieces: Sequence[Rows], output: str, columns: Columns) -> NDArray[np.floating]:
    """An output of the pieces, one after another."""
    first, *others = (piece.outputs[output] for piece in pieces)
    values = np.concatenate([first, *others]) if others else first
    return values.astype(columns.dtypes.get(output, np.float32), copy=False)


def _statuses(received: Received, part: int, indices: NDArray[np.int64]) -> NDArray[np.str_]:
    """The statuses of windows that no worker sent."""
    missing = _missing(received, part)
    status = np.full(len(indices), missing, "<U12")
    if missing == "filled":
        for begin, end in received.unrecorded:
            status[slice(*np.searchsorted(indices, (begin, end)))] = "unrecorded"
    return status


def _missing(received: Received, part: int) -> Status:
    """The status of a part's windows that no worker sent, unless they were not recorded."""
    done = received.done.get(part)
    if done is None or (part in received.rows and part not in received.visited):
        return "filled"
    return "failed" if done.failure else "unrecorded"
