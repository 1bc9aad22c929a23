"""Values of a StableHLO module while it is translated.

Values are views as long as possible: a broadcast axis keeps length 1, a transpose permutes the axes of a view, and a
value that does not depend on the audio is an array. Sizes that depend on the batch are computed for several batch sizes
at once, `PROBES`: a constant is one array if it is the same for all of them, else an array per probe.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from convert.passes.edit import Array

PROBES = (1, 2, 7, 101, 1009)
"""Batch sizes for which shapes are computed: small ones, where a rule may change, and primes that no model has."""
Shape = NDArray[np.int64]
"""Sizes `[probes, axes]`."""
Sizes = NDArray[np.int64]
"""Sizes of one axis, `[probes]`."""
ConstantData = tuple[Array, ...]
"""What conversion computes: an array for all probes, or one for each."""


class UnsupportedError(Exception):
    """An operation cannot be translated; says why."""


@dataclass(frozen=True)
class View:
    """A real array whose axes may be permuted or broadcast.

    Axis `i` of `data` is axis `order[i]` of the array; `sizes`, `[probes, axes]`, are those of `data`, 1 where an axis
    is broadcast.
    """

    data: ir.Value | ConstantData
    order: tuple[int, ...]
    sizes: Shape

    @property
    def is_constant(self) -> bool:
        return not isinstance(self.data, ir.Value)

    @property
    def zero(self) -> bool:
        """Whether it is constant and all elements are 0."""
        return not isinstance(self.data, ir.Value) and not any(array.any() for array in self.data)

    def is_broadcast(self, axis: int, sizes: Sizes) -> bool:
        """Whether an axis of the array, with these sizes, is broadcast."""
        return bool((self.sizes[:, self.order.index(axis)] != sizes).any())


@dataclass(frozen=True)
class Tensor:
    """A value: its shape, dtype and one part, or a real and an imaginary one with axes in the same order.

    Each part is broadcast by itself: a real value made complex has an imaginary part of a single zero.
    """

    shape: Shape
    dtype: np.dtype
    parts: tuple[View, ...]

    @property
    def rank(self) -> int:
        return int(self.shape.shape[1])

    @property
    def is_constant(self) -> bool:
        return all(part.is_constant for part in self.parts)

    @property
    def empty(self) -> bool:
        """Whether it has no elements for any batch size."""
        return bool((self.shape == 0).all(axis=0).any())

    @property
    def part(self) -> View:
        """The one part of a real value.

        Raises:
            UnsupportedError: the value is complex.
        """
        if len(self.parts) > 1:
            raise UnsupportedError("it takes complex numbers")
        return self.parts[0]

    def is_broadcast(self, axis: int) -> bool:
        """Whether an axis is broadcast in all parts."""
        return all(part.is_broadcast(axis, self.shape[:, axis]) for part in self.parts)

    def arrays(self) -> ConstantData:
        """The array of a real constant, or one for each probe.

        Raises:
            UnsupportedError: it depends on the audio.
        """
        data = self.part.data
        if isinstance(data, ir.Value):
            raise UnsupportedError("it depends on the audio")
        axes = [self.part.order.index(axis) for axis in range(self.rank)]
        data = tuple(array.transpose(axes) for array in data)
        shapes = [tuple(sizes) for sizes in self.shape]
        if len(data) == 1 and len(set(shapes)) == 1:
            return (np.broadcast_to(data[0], shapes[0]),)
        each = data if len(data) > 1 else data * len(PROBES)
        return tuple(np.broadcast_to(array, shape) for array, shape in zip(each, shapes, strict=True))

    def array(self) -> Array:
        """The array of a value that is the same for all batch sizes.

        Raises:
            UnsupportedError: it depends on the audio, or on the batch.
        """
        arrays = self.arrays()
        if len(arrays) > 1:
            raise UnsupportedError("it depends on the number of windows in the batch")
        return arrays[0]

    def sizes(self) -> Shape:
        """A constant vector of integers as sizes `[probes, axes]`."""
        return sizes_of(self.arrays())


def sizes_of(vectors: ConstantData) -> Shape:
    """Vectors of integers as sizes `[probes, axes]`."""
    each = vectors if len(vectors) > 1 else vectors * len(PROBES)
    return np.stack([np.asarray(vector, np.int64) for vector in each])


def constant(*arrays: Array) -> Tensor:
    """A constant from an array, or from one for each probe."""
    if len(arrays) > 1 and all(array.shape == arrays[0].shape and (array == arrays[0]).all() for array in arrays):
        arrays = arrays[:1]
    shapes = [array.shape for array in arrays] * (1 if len(arrays) > 1 else len(PROBES))
    shape = np.array(shapes, np.int64).reshape(len(PROBES), -1)
    dtype, order = arrays[0].dtype, tuple(range(arrays[0].ndim))
    if dtype.kind == "c":
        real, imag = tuple(a.real.copy() for a in arrays), tuple(a.imag.copy() for a in arrays)
        return Tensor(shape, dtype, (View(real, order, shape), View(imag, order, shape)))
    return Tensor(shape, dtype, (View(arrays, order, shape),))


def number(value: float, like: Tensor) -> Tensor:
    """A number with the rank and the real dtype of another value."""
    return constant(np.full((1,) * like.rank, value).astype(np.empty(0, like.dtype).real.dtype))


def empty(tensor: Tensor) -> Tensor:
    """A value without elements as a constant: ONNX nodes may take a size of 0 for another."""
    sizes = np.where((tensor.shape != tensor.shape[0]).any(axis=0), 1, tensor.shape)
    data = np.empty(sizes[0], np.empty(0, tensor.dtype).real.dtype)
    parts = tuple(View((data,), tuple(range(tensor.rank)), sizes) for _ in tensor.parts)
    return Tensor(tensor.shape, tensor.dtype, parts)


def constant_size(sizes: Sizes) -> int:
    """One axis's size, `[probes]`.

    Raises:
        UnsupportedError: it depends on the batch.
    """
    if (sizes != sizes[0]).any():
        raise UnsupportedError("a size depends on the number of windows in the batch")
    return int(sizes[0])
