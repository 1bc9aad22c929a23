"""Operations that move elements: reshapes, broadcasts, transposes, slices, padding, concatenation.

They treat real and imaginary parts alike. Axes that are broadcast or permuted stay so where possible.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from convert.stablehlo.elementwise import Operation
from convert.stablehlo.graph import Graph, natural
from convert.stablehlo.kernels import computed_in
from convert.stablehlo.tensor import PROBES, ConstantData, Shape, Tensor, UnsupportedError, View, constant, empty
from convert.stablehlo.text import BFLOAT16, Op

END = np.iinfo(np.int64).max


def reshape(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    (kind,) = op.result_types
    return reshaped(graph, operand, fixed(kind.sizes))


def dynamic_reshape(graph: Graph, op: Op, operand: Tensor, sizes: Tensor) -> Tensor:
    return reshaped(graph, operand, sizes.sizes())


def same(vectors: Shape) -> ConstantData:
    """Sizes as a constant: one vector, if all probes have the same."""
    return tuple(vectors) if (vectors != vectors[0]).any() else (vectors[0],)


def fixed(sizes: Sequence[int | None]) -> Shape:
    """Static sizes as `[probes, axes]`."""
    if None in sizes:
        raise UnsupportedError("it has a dynamic size")
    return np.array([sizes] * len(PROBES), np.int64).reshape(len(PROBES), -1)


def reshaped(graph: Graph, tensor: Tensor, shape: Shape) -> Tensor:
    """The same elements, in row-major order, in another shape."""
    if tensor.empty:
        return empty(Tensor(shape, tensor.dtype, tensor.parts))
    before, after = (np.flatnonzero((sizes != 1).any(axis=0)) for sizes in (tensor.shape, shape))
    if len(before) == len(after) and (tensor.shape[:, before] == shape[:, after]).all():
        # Only axes of length 1 come and go.
        return _placed(graph, tensor, dict(zip(before.tolist(), after.tolist(), strict=True)), shape)
    kept = min(tensor.rank, shape.shape[1]) > 0 and (tensor.shape[:, 0] == shape[:, 0]).all()
    tensor = graph.expanded(tensor, range(1 if kept else 0, tensor.rank))
    parts = []
    for part in tensor.parts:
        view = graph.in_order(part, natural(tensor.rank))
        sizes = shape.copy()
        if kept:
            sizes[:, 0] = view.sizes[:, 0]
        parts.append(graph.reshaped(view, sizes, natural(shape.shape[1])))
    return Tensor(shape, tensor.dtype, tuple(parts))


def _placed(graph: Graph, tensor: Tensor, places: dict[int, int], shape: Shape) -> Tensor:
    """A value whose axis `i` becomes axis `places[i]`, or goes if it has length 1; all other axes are broadcast."""
    parts = []
    for part in tensor.parts:
        moved = [(places[axis], part.sizes[:, i]) for i, axis in enumerate(part.order) if axis in places]
        taken = [axis for axis, _ in moved]
        order = natural(shape.shape[1])
        if taken != sorted(taken):
            order = (*taken, *(axis for axis in order if axis not in taken))
        sizes = np.ones_like(shape)
        for axis, size in moved:
            sizes[:, order.index(axis)] = size
        parts.append(graph.reshaped(part, sizes, order))
    return Tensor(shape, tensor.dtype, tuple(parts))


def broadcast_in_dim(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    (kind,) = op.result_types
    return broadcast(graph, operand, op.ints("dims"), fixed(kind.sizes))


def dynamic_broadcast_in_dim(graph: Graph, op: Op, operand: Tensor, sizes: Tensor) -> Tensor:
    return broadcast(graph, operand, op.ints("dims"), sizes.sizes())


def broadcast(graph: Graph, tensor: Tensor, dims: Sequence[int], shape: Shape) -> Tensor:
    """A value broadcast to `shape`, with its axis `i` along axis `dims[i]`."""
    return _placed(graph, tensor, dict(enumerate(dims)), shape)


def transpose(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    return transposed(operand, op.ints("dims"))


def transposed(tensor: Tensor, permutation: list[int]) -> Tensor:
    """A view whose axis `i` is axis `permutation[i]` of the value; no data are moved."""
    shape = tensor.shape[:, permutation]
    return map_parts(
        tensor, shape, lambda part: View(part.data, tuple(permutation.index(a) for a in part.order), part.sizes)
    )


def map_parts(tensor: Tensor, shape: Shape, change: Callable[[View], View]) -> Tensor:
    """A value of this shape, with its parts changed."""
    return Tensor(shape, tensor.dtype, tuple(change(part) for part in tensor.parts))


def sliced(graph: Graph, tensor: Tensor, starts: Shape, limits: Shape, strides: Sequence[int]) -> Tensor:
    """The slice from `starts` to `limits`, each `[probes, axes]`, by strides."""
    steps = np.array(strides, np.int64)
    shape = -(-(limits - starts) // steps)
    if (result := Tensor(shape, tensor.dtype, tensor.parts)).empty:
        return empty(result)
    cut = [a for a in range(tensor.rank) if (shape[:, a] != tensor.shape[:, a]).any()]

    def change(part: View) -> View:
        sizes = part.sizes.copy()
        arguments = []
        for axis in cut:
            if part.is_broadcast(axis, tensor.shape[:, axis]):
                continue
            place = part.order.index(axis)
            sizes[:, place] = shape[:, axis]
            to_end = (limits[:, axis] == tensor.shape[:, axis]).all()
            arguments.append((place, starts[:, axis], END if to_end else limits[:, axis], int(steps[axis])))
        if not arguments:
            return part
        if len(arguments) == 1 and (steps[cut] == 1).all():
            place = arguments[0][0]
            axis = part.order[place]
            if (piece := graph.slice_of_pieces(part, place, starts[:, axis], limits[:, axis])) is not None:
                return piece
        places, first, last, by = zip(*arguments, strict=True)
        ends = [np.stack([np.broadcast_to(each, len(PROBES)) for each in column], axis=1) for column in (first, last)]
        inputs = [part.data, *map(same, ends), np.array(places), *([np.array(by)] if max(by) > 1 else [])]
        return View(graph.node("Slice", inputs), part.order, sizes)

    return map_parts(tensor, shape, change)


def slice_(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    ranges = [part.split(":") for part in (op.word(r"\[([^\]]*)\]") or "").split(",") if part.strip()]
    starts, limits = ([int(r[i]) for r in ranges] for i in (0, 1))
    strides = [int(r[2]) if len(r) > 2 else 1 for r in ranges]
    return sliced(graph, operand, fixed(starts), fixed(limits), strides)


def real_dynamic_slice(graph: Graph, op: Op, operand: Tensor, start: Tensor, limit: Tensor, stride: Tensor) -> Tensor:
    return sliced(graph, operand, start.sizes(), limit.sizes(), stride.array().tolist())


def concatenate(graph: Graph, op: Op, *operands: Tensor) -> Tensor:
    return concatenated(graph, operands, op.integer("dim"))


def concatenated(graph: Graph, tensors: Sequence[Tensor], axis: int) -> Tensor:
    """Values concatenated along an axis; axes that are broadcast in all of them stay so."""
    shape = tensors[0].shape.copy()
    shape[:, axis] = np.sum([t.shape[:, axis] for t in tensors], axis=0)
    tensors = [t for t in tensors if t.shape[:, axis].any()] or tensors[:1]
    if len(tensors) == 1:
        return tensors[0]
    axes = [a for a in range(shape.shape[1]) if a == axis or not all(t.is_broadcast(a) for t in tensors)]
    expanded = [graph.expanded(tensor, axes) for tensor in tensors]
    order = next((t.parts[0].order for t in expanded if not t.is_constant), natural(shape.shape[1]))
    parts = []
    for views in zip(*(t.parts for t in expanded), strict=True):
        parts.append(graph.concatenated([graph.in_order(view, order) for view in views], order.index(axis)))
    return Tensor(shape, tensors[0].dtype, tuple(parts))


def pad(graph: Graph, op: Op, operand: Tensor, value: Tensor) -> Tensor:
    return padded(graph, dilated(graph, operand, value, op.ints("interior")), value, op.ints("low"), op.ints("high"))


def dynamic_pad(
    graph: Graph, op: Op, operand: Tensor, value: Tensor, low: Tensor, high: Tensor, inside: Tensor
) -> Tensor:
    operand = dilated(graph, operand, value, inside.array().tolist())
    return padded(graph, operand, value, low.array().tolist(), high.array().tolist())


def dilated(graph: Graph, tensor: Tensor, value: Tensor, between: Sequence[int]) -> Tensor:
    """The value with `between[i]` padding values between neighbours along each axis `i`."""
    rank = tensor.rank
    for axis, count in enumerate(between):
        if count and (tensor.shape[:, axis] > 1).any():
            longer = tensor.shape.copy()
            longer[:, axis] *= count + 1
            apart = reshaped(graph, tensor, np.insert(tensor.shape, axis + 1, 1, axis=1))
            apart = padded(
                graph, apart, value, [0] * (rank + 1), [count if a == axis + 1 else 0 for a in range(rank + 1)]
            )
            tensor = reshaped(graph, apart, longer)
            tensor = padded(graph, tensor, value, [0] * rank, [-count if a == axis else 0 for a in range(rank)])
    return tensor


def padded(graph: Graph, tensor: Tensor, value: Tensor, low: Sequence[int], high: Sequence[int]) -> Tensor:
    """The value padded at both ends of its axes; negative amounts remove elements."""
    cropped = [np.minimum(amounts, 0).astype(np.int64) for amounts in (np.array(low), np.array(high))]
    if any(amounts.any() for amounts in cropped):
        tensor = sliced(
            graph, tensor, np.zeros_like(tensor.shape) - cropped[0], tensor.shape + cropped[1], [1] * tensor.rank
        )
    amounts = [np.maximum(ends, 0) for ends in (np.array(low, np.int64), np.array(high, np.int64))]
    axes = np.flatnonzero(amounts[0] + amounts[1])
    if not len(axes):
        return tensor
    wide = (
        tensor.dtype
        if tensor.dtype.kind == "c" or (tensor.is_constant and value.is_constant)
        else computed_in("Pad", tensor.dtype)
    )
    if wide != tensor.dtype:
        return graph.cast(padded(graph, graph.cast(tensor, wide), graph.cast(value, wide), low, high), tensor.dtype)
    tensor = graph.expanded(tensor, axes.tolist())
    parts = []
    for part, filler in zip(tensor.parts, value.parts, strict=True):
        ends = np.concatenate([end[list(part.order)] for end in amounts])
        sizes = part.sizes + (amounts[0] + amounts[1])[list(part.order)]
        zero = not isinstance(filler.data, ir.Value) and not filler.data[0].any()
        inputs = [part.data, ends] if zero else [part.data, ends, filler.data]
        parts.append(View(graph.node("Pad", inputs), part.order, sizes))
    return Tensor(tensor.shape + amounts[0] + amounts[1], tensor.dtype, tuple(parts))


def reverse(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    return reversed_along(graph, operand, op.ints("dims"))


def reversed_along(graph: Graph, operand: Tensor, dims: Sequence[int]) -> Tensor:
    """The value with its elements in reverse order along some axes."""

    def change(part: View) -> View:
        broadcast_axes = {axis for axis in range(operand.rank) if part.is_broadcast(axis, operand.shape[:, axis])}
        places = [part.order.index(axis) for axis in dims if axis not in broadcast_axes]
        if not places:
            return part
        columns: list[NDArray[np.int64]] = [
            np.array(c, np.int64) for c in ([-1] * len(places), [-END] * len(places), places)
        ]
        steps = np.full(len(places), -1, np.int64)
        return View(graph.node("Slice", [part.data, *columns, steps]), part.order, part.sizes)

    return map_parts(operand, operand.shape, change)


def iota(graph: Graph, op: Op) -> Tensor:
    (kind,) = op.result_types
    return iota_of(op, fixed(kind.sizes))


def dynamic_iota(graph: Graph, op: Op, sizes: Tensor) -> Tensor:
    return iota_of(op, sizes.sizes())


def iota_of(op: Op, shape: Shape) -> Tensor:
    """0, 1, 2, ... along one axis, the others broadcast."""
    (kind,), axis = op.result_types, op.integer("dim")
    if kind.dtype is None:
        raise UnsupportedError(f"it counts in {op.types}")
    dtype = np.dtype(np.float32) if kind.dtype == BFLOAT16 else kind.dtype
    along = np.where(np.arange(shape.shape[1]) == axis, -1, 1)
    numbers = constant(*(np.arange(count).astype(kind.dtype).astype(dtype).reshape(along) for count in shape[:, axis]))
    return Tensor(shape, dtype, numbers.parts)


def get_dimension_size(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    return constant(*(np.array(size, np.int32) for size in operand.shape[:, op.integer("dim")]))


OPERATIONS: dict[str, Operation] = {
    "broadcast_in_dim": broadcast_in_dim,
    "concatenate": concatenate,
    "dynamic_broadcast_in_dim": dynamic_broadcast_in_dim,
    "dynamic_iota": dynamic_iota,
    "dynamic_pad": dynamic_pad,
    "dynamic_reshape": dynamic_reshape,
    "get_dimension_size": get_dimension_size,
    "iota": iota,
    "pad": pad,
    "real_dynamic_slice": real_dynamic_slice,
    "reshape": reshape,
    "reverse": reverse,
    "slice": slice_,
    "transpose": transpose,
}
