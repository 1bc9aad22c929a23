"""What a run's parent and its workers say to each other. All of it is pickled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.audio.windows import Normalization
from runtime.classes.class_map import ClassMap
from runtime.errors import PerchError
from runtime.model.logits import Activation, LogitScale
from runtime.request import EmbeddingDtype
from runtime.workers.ring import Shape


@dataclass(frozen=True)
class Job:
    """What all workers of a run have in common.

    `threads` is how many each computes with on the CPU; `hop` is in samples, and `part_windows` how many windows the
    parts of a long recording have; `class_map` and `logit_scale` apply to the head `label`; `namespace` is the one that
    columns are named in. Where `max_peaks` is None windows are a grid, else around the loudest events, up to so many a
    recording, and starts are multiples of `hop`. `activation` applies to all heads with classes, `smooth` too, when
    rows are put together; `embedding_dtype` is that of the other outputs.
    """

    model: Path
    device: str
    outputs: tuple[str, ...]
    batch_size: int
    threads: int
    hop: int
    part_windows: int
    normalize: Normalization
    max_peaks: int | None
    class_map: ClassMap | None
    namespace: str | None
    logit_scale: LogitScale | None
    activation: Activation = "none"
    smooth: tuple[float, ...] | None = None
    embedding_dtype: EmbeddingDtype = "float32"

    @property
    def computed(self) -> tuple[str, ...]:
        """The outputs that rows are made of, those included that the class map alone needs."""
        return tuple(dict.fromkeys((*self.outputs, *(self.class_map.outputs if self.class_map else ()))))

    @property
    def options(self) -> dict[str, Any]:
        """What rows depend on besides the model and the recordings."""
        return {
            "outputs": self.outputs,
            "hop": self.hop,
            "normalize": self.normalize,
            "segments": "grid" if self.max_peaks is None else "peaks",
            "max_peaks": self.max_peaks,
            "classes": self.class_map.names if self.class_map else None,
            "class_columns": self.class_map.columns if self.class_map else None,
            "unmapped": (self.class_map.proxy or self.class_map.unmapped_value) if self.class_map else None,
            "namespace": self.namespace,
            "logit_scale": self.logit_scale,
            "activation": self.activation,
            "smooth": self.smooth,
            "embedding_dtype": self.embedding_dtype,
            "device": self.device.partition(":")[0],
            "batch_size": self.batch_size,
            "threads": self.threads,
        }


@dataclass(frozen=True, slots=True)
class Task:
    """Windows that one worker scores: of a part of a recording, of each `step` the one at `offset`.

    `recording` is its place in the run. `parts` is None while nobody has looked at the recording; whoever gets the
    first part then says how many there are.
    """

    recording: int
    path: Path
    part: int = 0
    parts: int | None = None
    offset: int = 0
    step: int = 1


@dataclass(frozen=True)
class Ready:
    """The session is loaded and warm."""

    start_up_s: float


@dataclass(frozen=True)
class Refused:
    """The session cannot be made; every other worker would fail the same way."""

    error: PerchError


@dataclass(frozen=True)
class Opened:
    """In how many parts a recording is read; `windows` is what its header promises where that is more than one.
    `unrecorded` are windows in its silent stretches, from the first to before the last of each.
    """

    parts: int
    windows: int | None
    unrecorded: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Rows:
    """Outputs of windows of these `indices`; NaN in the rows of windows that could not be scored."""

    indices: NDArray[np.int64]
    outputs: dict[str, NDArray[np.float32]]
    scored: NDArray[np.bool_]


@dataclass(frozen=True)
class Done:
    """No more of a task comes. `failure` says what was wrong with the recording; `windows` is how many it has, or if
    it failed how many its header promises, where that can be told.
    """

    failure: str | None
    windows: int | None = None
    lost: bool = False
    """Whether no worker could tell, all that tried having died or hung."""
    notes: tuple[str, ...] = ()
    """What a user should know of a recording that was read all the same."""


@dataclass(frozen=True)
class Decoding:
    """What all decoders of a run have in common."""

    ring: Path
    shape: Shape
    sample_rate: int
    hop: int
    part_windows: int
    normalize: Normalization
    max_peaks: int | None


@dataclass(frozen=True)
class Scoring:
    """What the process that empties the ring gets."""

    ring: Path
    shape: Shape
    job: Job


@dataclass(frozen=True)
class Ticket:
    """A task handed out, under a number that no other attempt at it has."""

    number: int
    task: Task


@dataclass(frozen=True)
class Asked:
    """A decoder waits for a slot of the ring."""


@dataclass(frozen=True)
class Granted:
    """A slot of the ring to fill."""

    slot: int


@dataclass(frozen=True)
class Flush:
    """Nothing more to decode for now: a batch that is not full is to be sent off."""


@dataclass(frozen=True)
class Span:
    """Windows of one ticket in a batch; those that are `readable` are in the ring, one after another."""

    ticket: int
    indices: list[int]
    readable: list[bool]


@dataclass(frozen=True)
class Batch:
    """A slot of the ring that holds `filled` windows."""

    slot: int
    filled: int
    spans: list[Span]


@dataclass(frozen=True)
class Decoded:
    """A ticket of which all windows that were asked for, `visited`, are in batches. For the others see `Done`."""

    ticket: int
    failure: str | None
    windows: int | None
    visited: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Scored:
    """Rows of a batch: their ticket, and whether some of them are not finite numbers; the slot is free."""

    slot: int
    rows: list[tuple[int, Rows, bool]]


@dataclass(frozen=True)
class Notice:
    """Something to tell the user; the run goes on."""

    text: str
