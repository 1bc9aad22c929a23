"""Operations that slide: convolutions and reductions of windows."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx_ir as ir

from convert.stablehlo.elementwise import Operation
from convert.stablehlo.graph import Data, Graph
from convert.stablehlo.kernels import computed_in
from convert.stablehlo.products import COMBINED, in_result_type, neutral, reducer
from convert.stablehlo.shapes import dilated, each_part, padded, reshaped, sliced, turned_round
from convert.stablehlo.tensor import Held, Tensor, UnknownError, constant_size, known
from convert.stablehlo.text import Op

DIMENSIONS = re.compile(r"\[([^\]]*)\]x\[([^\]]*)\]->\[([^\]]*)\]")


def convolution(graph: Graph, op: Op, operand: Tensor, kernel: Tensor) -> Tensor:
    """A convolution of one or two axes, as ONNX's of two; its result stays held channels-first."""
    found = DIMENSIONS.search(op.header)
    if found is None:
        raise UnknownError("its axes are not named")
    names = [[name.strip() for name in group.split(",")] for group in found.groups()]
    axes = len(names[0]) - 2
    spatial = [str(axis) for axis in range(axes)]
    if not 1 <= axes <= 2:
        raise UnknownError(f"it slides along {axes} axes")
    if op.integer("batch_group_count", 1) != 1:
        raise UnknownError("it divides the batch into groups")
    operand, kernel = (in_result_type(graph, op, each) for each in (operand, kernel))
    if not (operand.known and kernel.known):
        computed_in("Conv", operand.dtype)
    heads = ("bf", "oi", "bf")
    orders = [tuple(group.index(name) for name in [*head, *spatial]) for group, head in zip(names, heads, strict=True)]
    pads = op.pairs("pad") or [(0, 0)] * axes
    strides, dilations = op.ints("stride", [1] * axes), op.ints("rhs_dilate", [1] * axes)

    spread = op.ints("lhs_dilate", [1] * axes)
    if max(spread) > 1 or min(map(min, pads)) < 0:
        zero = known(np.zeros((), operand.dtype))
        between, first, last = ([0] * operand.rank for _ in range(3))
        for axis, factor, ends in zip(orders[0][2:], spread, pads, strict=True):
            between[axis], (first[axis], last[axis]) = factor - 1, ends
        operand = padded(graph, dilated(graph, operand, zero, between), zero, first, last)
        pads = [(0, 0)] * axes
    turned_axes = (op.word(r"reverse = \[([^\]]*)\]") or "").split(",")
    kernel = turned_round(
        graph, kernel, [a for a, word in zip(orders[1][2:], turned_axes, strict=False) if "t" in word]
    )
    images, weights = (_of_two_axes(graph, t, order) for t, order in zip((operand, kernel), orders, strict=False))
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
    made = graph.node("Conv", [images.part.data, weights.part.data], **attributes)
    result = graph.made(made, shape, operand.dtype)
    order, logical = orders[2], np.empty((len(shape), axes + 2), np.int64)
    logical[:, list(order)] = shape[:, : axes + 2]
    flat = reshaped(graph, result, shape[:, : axes + 2]) if axes == 1 else result
    turned = graph.made(flat.part.data, logical, operand.dtype, order)
    # Frames cut by a convolution are rows to what follows: they are put in order at once.
    return turned if axes == 2 else graph.made(graph.data(turned), logical, operand.dtype)


def _of_two_axes(graph: Graph, tensor: Tensor, order: tuple[int, ...]) -> Tensor:
    shape = tensor.shape[:, list(order)]
    whole = graph.made(graph.data(tensor, order), shape, tensor.dtype)
    ones = np.ones((len(shape), 4 - len(order)), np.int64)
    return reshaped(graph, whole, np.concatenate([shape, ones], axis=1))


def reduce_window(graph: Graph, op: Op, operand: Tensor, start: Tensor, *others: Tensor) -> Tensor:
    """Sums (by a convolution with ones) or maxima of windows along at most two axes."""
    if others:
        raise UnknownError("it reduces several values at once")
    kind, rank = reducer(op), operand.rank
    if kind not in ("add", "maximum", "minimum") or operand.dtype.kind not in "iuf":
        raise UnknownError(f"it reduces windows of {operand.dtype} by {kind}")
    none = neutral(kind, operand.dtype)
    if not np.array_equal(start.array(), none):
        if kind == "add":
            raise UnknownError("it starts from a number that counts")
        largest = reduce_window(graph, op, operand, known(none))
        return graph.elementwise(COMBINED[kind], [largest, reshaped(graph, start, np.ones_like(largest.shape))])
    window = op.ints("window_dimensions")
    ones = [1] * rank
    strides, dilations = op.ints("window_strides", ones), op.ints("window_dilations", ones)
    if any(d != 1 for d in op.ints("base_dilations", ones)):
        raise UnknownError("it spreads what it reduces")
    low, high = zip(*(op.pairs("padding") or [(0, 0)] * rank), strict=True)
    axes = [a for a in range(rank) if window[a] > 1]
    if kind == "add" and len(axes) == 1 and strides == dilations == ones:
        (axis,), sizes = axes, operand.shape[:, axes]
        ends = {(window[axis] - 1, 0): 0, (0, window[axis] - 1): 1}.get((low[axis], high[axis]))
        if ends is not None and (sizes == window[axis]).all() and not sum(low) + sum(high) >= window[axis]:
            wide = operand.dtype if operand.known else computed_in("CumSum", operand.dtype)
            whole = graph.whole(graph.cast(operand, wide), axes)
            place = np.array(whole.part.order.index(axis))
            running = each_part(
                whole,
                operand.shape,
                lambda part: Held(graph.node("CumSum", [part.data, place], reverse=ends), part.order, part.sizes),
            )
            return graph.cast(running, operand.dtype)
    if operand.dtype != np.float32:
        raise UnknownError(f"it reduces windows of {operand.dtype}")
    if len(axes) > 2:
        raise UnknownError(f"its windows have {len(axes)} axes")
    operand = padded(graph, operand, start, low, high)
    steps = [1 if a in axes else strides[a] for a in range(rank)]
    operand = sliced(graph, operand, np.zeros_like(operand.shape), operand.shape, steps)
    if not axes:
        return operand
    others_ = [a for a in range(rank) if a not in axes]
    order = (*others_, *axes)
    sizes = operand.shape[:, axes]
    rows = operand.shape[:, others_].prod(axis=1, keepdims=True)
    second = np.ones((len(rows), 3 - len(axes)), np.int64)
    turned = graph.made(graph.data(operand, order), operand.shape[:, list(order)], operand.dtype)
    images = reshaped(graph, turned, np.concatenate([rows, second, sizes], axis=1))
    taps = [*[1] * (2 - len(axes)), *(window[a] for a in axes)]
    attributes = {
        "strides": [*[1] * (2 - len(axes)), *(strides[a] for a in axes)],
        "dilations": [*[1] * (2 - len(axes)), *(dilations[a] for a in axes)],
    }
    if kind == "add":
        data = graph.node("Conv", [images.part.data, np.ones((1, 1, *taps), np.float32)], **attributes)
    else:
        data = _greatest(graph, images.part.data, kind == "minimum", {"kernel_shape": taps, **attributes})
    after = operand.shape.copy()
    for a in axes:
        after[:, a] = (after[:, a] - ((window[a] - 1) * dilations[a] + 1)) // strides[a] + 1
    made = graph.made(data, np.concatenate([rows, second, after[:, axes]], axis=1), operand.dtype)
    flat = reshaped(graph, made, after[:, list(order)])
    return graph.made(flat.part.data, after, operand.dtype, order)


def _greatest(graph: Graph, images: Data, least: bool, attributes: dict[str, Any]) -> Data:
    """The greatest or least of each window; where one is no number, none, which ONNX Runtime would pass over."""
    data = graph.node("MaxPool", [graph.node("Neg", [images]) if least else images], **attributes)
    nothing = graph.node("Cast", [graph.node("IsNaN", [images])], to=int(ir.DataType.FLOAT))
    found = graph.node("Cast", [graph.node("MaxPool", [nothing], **attributes)], to=int(ir.DataType.BOOL))
    return graph.node("Where", [found, np.array(np.nan, np.float32), graph.node("Neg", [data]) if least else data])


OPERATIONS: dict[str, Operation] = {"convolution": convolution, "reduce_window": reduce_window}
