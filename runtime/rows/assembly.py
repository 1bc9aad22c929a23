"""The rows of one part, put together from the pieces that workers sent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtime.rows.block import NOWHERE, Block, Columns, Origin, Status, unscored, writable
from runtime.rows.naming import Naming
from runtime.rows.received import Received


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
    outputs = writable(columns, len(indices)) if pieces else unscored(columns, len(indices))
    for piece in pieces:
        asked = piece.indices <= indices[-1] if len(indices) else np.zeros(len(piece.indices), np.bool_)
        at = np.searchsorted(indices, piece.indices[asked])
        status[at] = np.where(piece.scored[asked], "scored", "failed")
        for output, values in piece.outputs.items():
            outputs[output][at] = values[asked]
    row_ids = naming.row_ids(name, indices)
    return Block(path, row_ids, *naming.times(indices), status, outputs, origins={path: origin})


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
