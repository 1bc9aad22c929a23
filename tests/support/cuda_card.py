"""A stand-in for CUDA's runtime library."""

from __future__ import annotations

from typing import Any


class Card:
    """A card, `cuda:0`, whose free memory lies in pieces."""

    def __init__(self, pieces: list[int]) -> None:
        self.pieces = pieces

    def cudaSetDevice(self, number: int) -> int:  # noqa: N802 (as CUDA calls it)
        return 0 if number == 0 else 101

    def cudaMemGetInfo(self, free: Any, total: Any) -> int:  # noqa: N802
        free._obj.value = sum(self.pieces)
        return 0

    def cudaMalloc(self, pointer: Any, size: Any) -> int:  # noqa: N802
        largest = max(range(len(self.pieces)), key=self.pieces.__getitem__)
        if size.value > self.pieces[largest]:
            return 2
        self.pieces[largest] -= size.value
        return 0

    def cudaGetLastError(self) -> int:  # noqa: N802
        return 2
