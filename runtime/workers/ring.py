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
    """The size of a ring: `slots`, each with room for a `batch` of windows of `samples` samples."""

    slots: int
    batch: int
    samples: int

    @property
    def bytes(self) -> int:
        return self.slots * self.batch * self.samples * 4


class Ring:
    """`windows` is `float32 [slots, batch, samples]`, mapped from an open file that child processes inherit.

    Raises:
        OSError: there is no room for it.
    """

    def __init__(self, descriptor: int, shape: Shape) -> None:
        self.descriptor, self.shape = descriptor, shape
        self._map = mmap.mmap(descriptor, shape.bytes)
        flat = np.frombuffer(self._map, np.float32)
        self.windows: NDArray[np.float32] = flat.reshape(shape.slots, shape.batch, shape.samples)

    @classmethod
    def create(cls, shape: Shape) -> Ring:
        """Makes a ring: in the system's shared memory, or where that is small (as in containers) in a temporary file.

        The file has no name: it goes with the last process that holds it, even if all of them are killed.
        """
        roomy = SHARED_MEMORY.is_dir() and shutil.disk_usage(SHARED_MEMORY).free > 2 * shape.bytes
        with tempfile.TemporaryFile(dir=SHARED_MEMORY if roomy else None) as file:
            os.truncate(file.fileno(), shape.bytes)
            return cls(os.dup(file.fileno()), shape)

    def close(self) -> None:
        """Lets go of the file; no more processes can inherit it."""
        os.close(self.descriptor)
