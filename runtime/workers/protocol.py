"""The messages between a run's parent and its child processes, all of them pickled.

On the CPU every child is a worker. The parent sends it the `Job` and then one `Task` after another; the worker answers
`Ready` or `Refused`, and for each task `Opened` (once a recording), `Alive`, `Rows` and, last, `Done`.

On a GPU children are decoders and one scorer, which share a ring of batches; both first get a `RingSetup`.

    parent -> decoder   Ticket, SlotGrant, Flush
    decoder -> parent   Ready, Opened, Alive, SlotRequest, Batch, Decoded
    parent -> scorer    Batch, as the decoder sent it
    scorer -> parent    Ready, Refused, Notice, Scored
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from runtime.errors import PerchError
from runtime.remote import Location
from runtime.workers.job import Job
from runtime.workers.ring import Shape


@dataclass(frozen=True, slots=True)
class Task:
    """Windows for one process to read: every `step`-th of a part of a recording, from the one at `offset` on.

    `recording` is its place in the run. `parts` is None until the recording has been opened; the process that
    gets its first part then reports how many there are. `channel` is the one to read, where each is read by itself;
    `channels` is then how many have tasks, 0 if that is the first alone because nobody could read the header.
    """

    recording: int
    path: Location
    part: int = 0
    parts: int | None = None
    offset: int = 0
    step: int = 1
    channel: int | None = None
    channels: int | None = None


# From any child.


@dataclass(frozen=True)
class Ready:
    """The process has started; if it scores, its session is loaded and warm."""


@dataclass(frozen=True)
class Refused:
    """The session cannot be made; every other process would fail the same way."""

    error: PerchError


@dataclass(frozen=True)
class Alive:
    """A sign of life during long work without results yet."""


@dataclass(frozen=True)
class Notice:
    """A warning for the user; the run goes on."""

    text: str


# About a task.

NOT_FINITE = "has windows whose scores are not finite numbers"
"""A failure of recordings, such as one with samples of 1e38: they are finite, what the model makes of them is not."""


@dataclass(frozen=True)
class Opened:
    """How many parts a recording is read in, and how many windows its header promises if that is more than one.

    `unrecorded` are runs of windows in its silent stretches, each from its first to before its last. `began` is when it
    was begun, None if unknown.
    """

    parts: int
    windows: int | None
    unrecorded: tuple[tuple[int, int], ...] = ()
    began: datetime | None = None


@dataclass(frozen=True)
class Rows:
    """Outputs of the windows at `indices`; NaN where a window could not be scored.

    `combined` is how many windows they were made of, None if each is one.
    """

    indices: NDArray[np.int64]
    outputs: dict[str, NDArray[np.float32]]
    scored: NDArray[np.bool_]
    combined: int | None = None

    @property
    def windows(self) -> int:
        """How many windows were visited for these rows."""
        return len(self.scored) if self.combined is None else self.combined


@dataclass(frozen=True)
class Done:
    """The end of a task.

    `failure` says what is wrong with the recording. `windows` is how many it has, or if it failed how many its header
    promises; None if unknown.
    """

    failure: str | None
    windows: int | None = None
    lost: bool = False
    """Whether every process that tried it died or hung."""
    notes: tuple[str, ...] = ()
    """What a user should know of a recording that was read all the same."""
    began: datetime | None = None
    """When the recording was begun, if that is known and it was opened."""


# Between the parent, the decoders and the scorer.


@dataclass(frozen=True)
class RingSetup:
    """What decoders and the scorer get first: the open file of the ring, its shape, the model's sample rate in Hz."""

    ring: int
    shape: Shape
    sample_rate: int
    job: Job


@dataclass(frozen=True)
class Ticket:
    """A task for a decoder, under a number of its own for each attempt."""

    number: int
    task: Task


@dataclass(frozen=True)
class SlotRequest:
    """A decoder waits for a slot of the ring."""


@dataclass(frozen=True)
class SlotGrant:
    """A slot of the ring for a decoder to fill."""

    slot: int


@dataclass(frozen=True)
class Flush:
    """There is nothing more to decode for now: send a batch off even if it is not full."""


@dataclass(frozen=True)
class Span:
    """Windows of one ticket in a batch; the `readable` ones lie in the ring, one after another."""

    ticket: int
    indices: list[int]
    readable: list[bool]


@dataclass(frozen=True)
class Batch:
    """A slot of the ring with `filled` windows, of one or several tickets."""

    slot: int
    filled: int
    spans: list[Span]


@dataclass(frozen=True)
class Decoded:
    """The end of a ticket's decoding: `sent` of its windows are in batches. The rest is as in `Done`."""

    ticket: int
    failure: str | None
    windows: int | None
    sent: int
    notes: tuple[str, ...]
    began: datetime | None


@dataclass(frozen=True)
class Scored:
    """The rows of a batch, whose slot is free again: for each span its ticket, its rows, and whether a readable window
    has scores that are not finite.
    """

    slot: int
    rows: list[tuple[int, Rows, bool]]
