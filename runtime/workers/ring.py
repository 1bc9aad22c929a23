"""Batches of windows in memory that several processes share."""

from __future__ import annotations

import mmap
import os
import tempfile
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.files import take_room
from runtime.memory import free_in_container


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
        """Makes a ring: in memory, or where that is small for it in a temporary file.

        It has no name: it goes with the last process that holds it, even if all of them are killed. It does not lie in
        `/dev/shm`, which has 64 MiB in a container; and since 6.5 Linux pins no memory of a file on a disk for a GPU.
        """
        descriptor = _in_memory(shape.bytes)
        if descriptor is None:
            descriptor = _on_disk(shape.bytes)
        try:
            os.truncate(descriptor, shape.bytes)
            return cls(descriptor, shape)
        except BaseException:
            os.close(descriptor)
            raise

    def close(self) -> None:
        """Lets go of the file; no more processes can inherit it."""
        os.close(self.descriptor)


def _in_memory(size: int) -> int | None:
    """A file in memory, or None: the system has none, or the machine or the container is small for this size.

    A GPU pins the pages, and the container's limit counts them.
    """
    if not hasattr(os, "memfd_create"):  # it depends on the C library for which Python was built
        return None
    free = free_in_container()
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if (total if free is None else min(total, free)) <= 4 * size:
        return None
    try:
        return os.memfd_create("perch-onnx")
    except OSError:  # a sandbox may forbid it
        return None


def _on_disk(size: int) -> int:
    with tempfile.TemporaryFile() as file:
        take_room(file.fileno(), size)
        return os.dup(file.fileno())
