"""What workers sent about one recording so far."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from runtime.remote import Location
from runtime.rows.outcome import NotReached, Outcome, outcome_of
from runtime.workers.protocol import Done, Opened, Rows, Task


@dataclass(slots=True)
class Received:
    """All messages about the recording `number` of a run; `size` and `mtime_ns` are its file's before the first."""

    number: int
    size: int = 0
    mtime_ns: int = 0
    parts: int = 1
    promised: int | None = None
    """How many windows its header promises, or how many there are once it was read; None if unknown."""
    unrecorded: tuple[tuple[int, int], ...] = ()
    """Windows in silent stretches: the first of each, and the one after its last."""
    began: datetime | None = None
    """When the recording was begun; None if unknown."""
    resumed: bool = False
    """Whether an earlier run finished some of its parts. Then `began` is what they say, for all parts alike."""
    rows: dict[int, list[Rows]] = field(default_factory=dict)
    """By part."""
    done: dict[int, Done] = field(default_factory=dict)
    """By part."""
    visited: set[int] = field(default_factory=set)
    """Parts whose every window a worker visited."""
    counted: bool = False
    """Whether it was counted among the recordings of known length."""

    @classmethod
    def nothing(cls, number: int, path: Location, size: int | None = None) -> Received:
        """The state before the first message. `size` is that of a recording in memory."""
        if size is not None:
            return cls(number, size)
        with contextlib.suppress(OSError):  # a worker will fail to read it, and say why
            status = path.stat()
            return cls(number, status.st_size, status.st_mtime_ns)
        return cls(number)

    def add(self, task: Task, message: Opened | Rows | Done) -> None:
        """Takes a message about a task."""
        if not (isinstance(message, Rows) or self.resumed):
            self.began = message.began or self.began
        if isinstance(message, Opened):
            self.parts, self.promised, self.unrecorded = message.parts, message.windows, message.unrecorded
        elif isinstance(message, Rows):
            self.rows.setdefault(task.part, []).append(message)
        else:
            before = self.done.get(task.part)
            self.done[task.part] = before if before is not None and before.failure else message
            if (task.offset or task.step) == 1:
                self.visited.add(task.part)

    def outcome(self, part: int) -> Outcome:
        """What became of a part so far."""
        done = self.done.get(part)
        return NotReached() if done is None else outcome_of(done.failure, done.notes)

    def end(self, part: int, first: int) -> int:
        """The least number of rows of a part whose first window is `first`: enough for all windows that came.

        Where a header promises windows, only those with a score count: the others may not exist.
        """
        pieces = self.rows.get(part, ())
        came = [piece.indices[piece.scored | (self.promised is None)] for piece in pieces]
        return max((int(indices.max()) + 1 - first for indices in came if len(indices)), default=0)

    @property
    def indices(self) -> NDArray[np.int64]:
        """The windows that came, in order, each once: a second attempt at a recording sends them again."""
        came = (piece.indices for pieces in self.rows.values() for piece in pieces)
        return np.unique(np.concatenate([np.zeros(0, np.int64), *came]))
