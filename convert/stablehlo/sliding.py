"""Operations of sliding windows: convolutions and reductions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from convert.stablehlo.elementwise import Operation
from convert.stablehlo.graph import Data, Graph
from convert.stablehlo.kernels import computed_in
from convert.stablehlo.products import COMBINED, in_result_type, neutral, reducer
from convert.stablehlo.shapes import dilated, map_parts, padded, reshaped, reversed_along, sliced
from convert.stablehlo.tensor import Shape, Sizes, Tensor, UnsupportedError, View, constant, constant_size
from convert.stablehlo.text import Op

DIMENSIONS = re.compile(r"\[([^\]]*)\]x\[([^\]]*)\]->\[([^\]]*)\]")


def convolution(graph: Graph, op: Op, operand: Tensor, kernel: Tensor) -> Tensor:
    """A convolution along one or two axes as ONNX's along two; its result is a view of channels-first data."""
    operand_order, kernel_order, result_order = _orders(op)
    axes = len(operand_order) - 2
    if op.integer("batch_group_count", 1) != 1:
        raise UnsupportedError("it has groups of the batch")
    operand, kernel = (in_result_type(graph, op, each) for each in (operand, kernel))
    if not (operand.is_constant and kernel.is_constant):
        computed_in("Conv", operand.dtype)
    pads = op.pairs("pad") or [(0, 0)] * axes
    strides, dilations = op.ints("stride", [1] * axes), op.ints("rhs_dilate", [1] * axes)
    factors = op.ints("lhs_dilate", [1] * axes)
    if max(factors) > 1 or min(map(min, pads)) < 0:
        operand = _dilated_and_padded(graph, operand, operand_order[2:], factors, pads)
        pads = [(0, 0)] * axes
    words = (op.word(r"reverse = \[([^\]]*)\]") or "").split(",")  # true or false
    reverse = [axis for axis, word in zip(kernel_order[2:], words, strict=False) if "t" in word]
    kernel = reversed_along(graph, kernel, reverse)
    images, weights = _of_two_axes(graph, operand, operand_order), _of_two_axes(graph, kernel, kernel_order)
    taps = [constant_size(weights.shape[:, 2 + i]) for i in range(axes)]
    shape = np.stack([images.shape[:, 0], weights.shape[:, 0], images.shape[:, 2], images.shape[:, 3]], axis=1)
    for i, (size, (low, high)) in enumerate(zip(taps, pads, strict=True)):
        reach = (size - 1) * dilations[i] + 1
        shape[:, 2 + i] = (images.shape[:, 2 + i] + low + high - reach) // strides[i] + 1
    second = [1] * (2 - axes)
    attributes = {
        "group": op.integer("feature_group_count", 1),
        "kernel_shape": [*taps, *second],
        "strides": [*strides, *second],
        "dilations": [*dilations, *second],
        "pads": [*(low for low, _ in pads), *(0 for _ in second), *(high for _, high in pads), *(0 for _ in second)],
    }
    convolved = graph.tensor(
        graph.node("Conv", [images.part.data, weights.part.data], **attributes), shape, operand.dtype
    )
    flat = reshaped(graph, convolved, shape[:, : axes + 2]) if axes == 1 else convolved
    result_shape = np.empty((len(shape), axes + 2), np.int64)
    result_shape[:, list(result_order)] = shape[:, : axes + 2]
    result = graph.tensor(flat.part.data, result_shape, operand.dtype, result_order)
    # After a convolution that cuts frames a matrix product follows, for which frames must be rows: transposed at once.
    return result if axes == 2 else graph.tensor(graph.data(result), result_shape, operand.dtype)


def _orders(op: Op) -> list[tuple[int, ...]]:
    """The axes of operand, kernel and result in ONNX's order: batch and features (outputs and inputs), then spatial."""
    match = DIMENSIONS.search(op.header)
    if match is None:
        raise UnsupportedError("it does not name its axes")
    names = [[name.strip() for name in group.split(",")] for group in match.groups()]
    axes = len(names[0]) - 2
    if not 1 <= axes <= 2:
        raise UnsupportedError(f"its windows have {axes} axes")
    spatial = [str(axis) for axis in range(axes)]
    firsts = ("bf", "oi", "bf")
    return [tuple(group.index(name) for name in [*first, *spatial]) for group, first in zip(names, firsts, strict=True)]


def _dilated_and_padded(
    graph: Graph, operand: Tensor, axes: Sequence[int], factors: Sequence[int], pads: Sequence[tuple[int, int]]
) -> Tensor:
    """The operand dilated by factors and padded with zeros along its spatial axes; negative pads remove elements."""
    zero = constant(np.zeros((), operand.dtype))
    between, low, high = ([0] * operand.rank for _ in range(3))
    for axis, factor, ends in zip(axes, factors, pads, strict=True):
        between[axis], (low[axis], high[axis]) = factor - 1, ends
    return padded(graph, dilated(graph, operand, zero, between), zero, low, high)


def _of_two_axes(graph: Graph, tensor: Tensor, order: tuple[int, ...]) -> Tensor:
    """A tensor in this order of axes, with a last axis of length 1 if it has one spatial axis."""
    shape = tensor.shape[:, list(order)]
    transposed = graph.tensor(graph.data(tensor, order), shape, tensor.dtype)
    ones = np.ones((len(shape), 4 - len(order)), np.int64)
    return reshaped(graph, transposed, np.concatenate([shape, ones], axis=1))


@dataclass(frozen=True)
class SlidingWindow:
    """The window that slides: size, stride, dilation and padding for each axis of the operand."""

    sizes: Sequence[int]
    strides: Sequence[int]
    dilations: Sequence[int]
    low: Sequence[int]
    high: Sequence[int]

    @classmethod
    def parse(cls, op: Op, rank: int) -> SlidingWindow:
        ones = [1] * rank
        if any(d != 1 for d in op.ints("base_dilations", ones)):
            raise UnsupportedError("it dilates its operand")
        low, high = zip(*(op.pairs("padding") or [(0, 0)] * rank), strict=True)
        strides, dilations = op.ints("window_strides", ones), op.ints("window_dilations", ones)
        return cls(op.ints("window_dimensions"), strides, dilations, low, high)

    @property
    def axes(self) -> list[int]:
        """The axes along which a window has several elements."""
        return [axis for axis, size in enumerate(self.sizes) if size > 1]

    def is_cumulative(self, shape: Shape) -> bool:
        """Whether each window spans all elements up to the result's own, or from it on, as in JAX's cumsum."""
        if len(self.axes) != 1 or any(n != 1 for n in (*self.strides, *self.dilations)):
            return False
        (axis,) = self.axes
        size, pads = self.sizes[axis], sorted((self.low[axis], self.high[axis]))
        return pads == [0, size - 1] and sum(self.low) + sum(self.high) < size and bool((shape[:, axis] == size).all())

    def reduced_size(self, sizes: Sizes, axis: int) -> Sizes:
        """The result's size along an axis, `[probes]`, given the padded operand's."""
        return (sizes - ((self.sizes[axis] - 1) * self.dilations[axis] + 1)) // self.strides[axis] + 1


def reduce_window(graph: Graph, op: Op, operand: Tensor, start: Tensor, *others: Tensor) -> Tensor:
    """Sums, maxima or minima of windows along at most two axes."""
    if others:
        raise UnsupportedError("it reduces several values at once")
    kind = reducer(op)
    if kind not in ("add", "maximum", "minimum") or operand.dtype.kind not in "iuf":
        raise UnsupportedError(f"it reduces windows of {operand.dtype} by {kind}")
    identity = neutral(kind, operand.dtype)
    if not np.array_equal(start.array(), identity):
        if kind == "add":
            raise UnsupportedError("it starts from a number other than 0")
        result = reduce_window(graph, op, operand, constant(identity))
        return graph.elementwise(COMBINED[kind], [result, reshaped(graph, start, np.ones_like(result.shape))])
    window = SlidingWindow.parse(op, operand.rank)
    if kind == "add" and window.is_cumulative(operand.shape):
        return _cumulative_sum(graph, operand, window)
    if operand.dtype != np.float32:
        raise UnsupportedError(f"it reduces windows of {operand.dtype}")
    if len(window.axes) > 2:
        raise UnsupportedError(f"its windows have {len(window.axes)} axes")
    operand = padded(graph, operand, start, window.low, window.high)
    steps = [1 if axis in window.axes else stride for axis, stride in enumerate(window.strides)]
    operand = sliced(graph, operand, np.zeros_like(operand.shape), operand.shape, steps)
    return _pooled(graph, operand, kind, window) if window.axes else operand


def _cumulative_sum(graph: Graph, operand: Tensor, window: SlidingWindow) -> Tensor:
    (axis,) = window.axes
    wide = operand.dtype if operand.is_constant else computed_in("CumSum", operand.dtype)
    expanded = graph.expanded(graph.cast(operand, wide), [axis])
    place = np.array(expanded.part.order.index(axis))
    reverse = int(window.low[axis] == 0)
    result = map_parts(
        expanded,
        operand.shape,
        lambda part: View(graph.node("CumSum", [part.data, place], reverse=reverse), part.order, part.sizes),
    )
    return graph.cast(result, operand.dtype)


def _pooled(graph: Graph, operand: Tensor, kind: str, window: SlidingWindow) -> Tensor:
    """Windows of a padded operand reduced as images `[rows, 1, height, width]`, all other axes being rows."""
    axes = window.axes
    rest = [axis for axis in range(operand.rank) if axis not in axes]
    order = (*rest, *axes)
    rows = operand.shape[:, rest].prod(axis=1, keepdims=True)
    ones = np.ones((len(rows), 3 - len(axes)), np.int64)
    last = graph.tensor(graph.data(operand, order), operand.shape[:, list(order)], operand.dtype)
    images = reshaped(graph, last, np.concatenate([rows, ones, operand.shape[:, axes]], axis=1))
    unused = [1] * (2 - len(axes))
    taps = [*unused, *(window.sizes[axis] for axis in axes)]
    attributes = {
        "strides": [*unused, *(window.strides[axis] for axis in axes)],
        "dilations": [*unused, *(window.dilations[axis] for axis in axes)],
    }
    if kind == "add":
        data = graph.node("Conv", [images.part.data, np.ones((1, 1, *taps), np.float32)], **attributes)
    else:
        data = _max_pool(graph, images.part.data, kind == "minimum", {"kernel_shape": taps, **attributes})
    shape = operand.shape.copy()
    for axis in axes:
        shape[:, axis] = window.reduced_size(shape[:, axis], axis)
    pooled = graph.tensor(data, np.concatenate([rows, ones, shape[:, axes]], axis=1), operand.dtype)
    return graph.tensor(reshaped(graph, pooled, shape[:, list(order)]).part.data, shape, operand.dtype, order)


def _max_pool(graph: Graph, images: Data, minimum: bool, attributes: dict[str, Any]) -> Data:
    """The maximum or minimum of each window; NaN where the window has one, which ONNX Runtime's MaxPool may ignore."""
    data = graph.node("MaxPool", [graph.node("Neg", [images]) if minimum else images], **attributes)
    nans = graph.node("Cast", [graph.node("IsNaN", [images])], to=int(ir.DataType.FLOAT))
    has_nan = graph.node("Cast", [graph.node("MaxPool", [nans], **attributes)], to=int(ir.DataType.BOOL))
    return graph.node("Where", [has_nan, np.array(np.nan, np.float32), graph.node("Neg", [data]) if minimum else data])


OPERATIONS: dict[str, Operation] = {"convolution": convolution, "reduce_window": reduce_window}
