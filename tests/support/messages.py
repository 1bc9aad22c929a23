"""Messages of workers in tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from runtime.rows.received import Received
from runtime.workers.protocol import Rows, Task


def scores(indices: Sequence[int], values: Sequence[float] | None = None, scored: Sequence[bool] | None = None) -> Rows:
    """Rows of these windows with two scores each, the value and 1; by default the value is the window's index."""
    label = np.ones((len(indices), 2), np.float32)
    label[:, 0] = indices if values is None else values
    status = np.ones(len(indices), np.bool_) if scored is None else np.array(scored, np.bool_)
    label[~status] = np.nan
    return Rows(np.array(indices, np.int64), {"label": label}, status)


def received(*messages: object, number: int = 0, size: int = 10**6) -> Received:
    """A recording after these messages, each about part 0 or, as a pair `(part, message)`, about that part."""
    result = Received(number, size)
    for each in messages:
        part, message = each if isinstance(each, tuple) else (0, each)
        result.add(Task(number, Path("a.wav"), part), message)
    return result
