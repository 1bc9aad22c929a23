"""Batches of windows in memory that several processes share."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Shape:
    """Of a ring: `slots`, each with room for a batch of windows."""

    slots: int
    batch: int
    samples: int

    @property
    def bytes(self) -> int:
        return self.slots * self.batch * self.samples * 4


class Ring:
    """`windows` is `float32 [slots, batch, samples]`, mapped from a file.

    Raises:
        OSError: there is no room for it.
    """

    def __init__(self, path: Path, shape: Shape) -> None:
        self.path, self.shape = path, shape
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), shape.bytes)
        flat = np.frombuffer(self._map, np.float32)
        self.windows: NDArray[np.float32] = flat.reshape(shape.slots, shape.batch, shape.samples)

    @classmethod
    def create(cls, shape: Shape) -> Ring:
        """A new one: in the system's shared memory, or where that is small (as in containers) in a temporary file."""
        roomy = SHARED_MEMORY.is_dir() and shutil.disk_usage(SHARED_MEMORY).free > 2 * shape.bytes
        number, name = tempfile.mkstemp(prefix="perch-ring-", dir=SHARED_MEMORY if roomy else None)
        try:
            os.truncate(number, shape.bytes)
        finally:
            os.close(number)
        return cls(Path(name), shape)

    def remove(self) -> None:
        """Takes its name away; the memory goes with the last process that holds it."""
        self.path.unlink(missing_ok=True)
