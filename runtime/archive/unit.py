"""Units of an archive's work: what each is, what it is called, which share of them a shard takes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.audio.channels import channel_name
from runtime.errors import InputError

OPENING_WINDOWS = 0.3
"""What opening a recording costs, in windows."""
SHARD = "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_STEP"


@dataclass(frozen=True, slots=True)
class Unit:
    """One part of a recording as a plain run cuts it, or a whole recording; of one `channel`, if each has units.
    `channels` is then how many have, 0 if that is the first alone because nobody could read the header.

    `below` is the recording's path below the archive's root, `path` the one that rows carry, `name` what the
    recording is called. `windows` is how many windows the recording promises if it is read in several `parts`, or where
    its header says so; None if unknown. `work` is what the unit is expected to cost, in windows.
    """

    id: str
    below: str
    path: str
    name: str
    size: int
    mtime_ns: int
    part: int
    parts: int
    windows: int | None
    work: float
    channel: int | None = None
    channels: int | None = None

    @property
    def rows_name(self) -> str:
        """What its rows are called after: the recording, or one of its channels."""
        return channel_name(self.name, self.channel)


def unit_id(fingerprint: str, below: str, size: int, first: int, end: int | None, channel: int | None = None) -> str:
    """32 hexadecimal digits that depend on the recording's path below the root, its size, the span of windows, the
    channel if each has units, the artifact and the options that rows depend on; not on where the archive lies."""
    parts = fingerprint, below, size, first, end, *([] if channel is None else [channel])
    text = "\0".join(map(str, parts))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


@dataclass(frozen=True)
class Shard:
    """The share `number` of `count`, counted from 1. `source` says who decided it."""

    number: int
    count: int
    source: str = "as asked"

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise InputError(f"shard is {self.number}/{self.count}, but must be such as 3/20: from 1/N to N/N")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def mask(self, work: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which units of a manifest are this shard's: a run of them, with about the same work as every other's."""
        total = np.cumsum(work, dtype=np.float64)
        middle = total - work / 2
        shares = np.floor(middle / max(float(total[-1]) if len(total) else 0.0, 1e-9) * self.count)
        return np.asarray(np.clip(shares, 0, self.count - 1) == self.number - 1)


def shard_of(text: str | None, environment: Mapping[str, str] = os.environ) -> Shard | None:
    """The shard that `text` such as "3/20" asks for, else the one of this task of a SLURM array; None for all units.

    Raises:
        InputError: there is no such shard, or the array's numbers do not say which.
    """
    if text is not None:
        number, slash, count = text.partition("/")
        if not (slash and number.strip().isdecimal() and count.strip().isdecimal()):
            raise InputError(f"shard is {text!r}, but must be such as 3/20")
        return Shard(int(number), int(count))
    task, first, count, step = (environment.get(name, "") for name in SHARD)
    if not (task.isdecimal() and count.isdecimal() and first.isdecimal()):
        return None
    place, rest = divmod(int(task) - int(first), int(step) if step.isdecimal() and int(step) else 1)
    if rest or not 0 <= place < int(count):
        raise InputError(
            f"task {task} of this SLURM array of {count} tasks from {first} on does not say which share it is; use "
            "`--array=1-N`, or name the share with --shard"
        )
    return Shard(place + 1, int(count), "of SLURM's array")
