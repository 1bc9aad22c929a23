"""Reductions over axes, matrix products, Fourier transforms, top k."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from convert.passes.edit import Array
from convert.stablehlo import complex_pairs
from convert.stablehlo.complex_pairs import complex_of, parts
from convert.stablehlo.elementwise import Operation
from convert.stablehlo.graph import Data, Graph
from convert.stablehlo.kernels import computed_in
from convert.stablehlo.shapes import reshaped
from convert.stablehlo.tensor import Tensor, UnsupportedError, View, constant, constant_size, number
from convert.stablehlo.text import BFLOAT16, Op

AxisPairs = tuple[list[int], list[int]]
"""Axes of the left operand, and the matching axes of the right one."""
REDUCTIONS = {"add": "ReduceSum", "maximum": "ReduceMax", "minimum": "ReduceMin", "multiply": "ReduceProd"}
COMBINED = {"add": "Add", "maximum": "Max", "minimum": "Min", "multiply": "Mul"}
ON_BOOLEANS = {
    "and": "minimum", "maximum": "maximum", "minimum": "minimum", "multiply": "minimum", "or": "maximum",
}  # fmt: skip


def reducer(op: Op) -> str:
    """The operation by which a reduction combines two elements, such as "add".

    Raises:
        UnsupportedError: it combines them by several operations.
    """
    if word := op.word(r"applies stablehlo\.(\w+)"):
        return word
    (region,) = op.regions
    first, *_ = region.ops
    if len(region.ops) != 2 or sorted(first.operands) != sorted(region.arguments):
        raise UnsupportedError("it reduces by more than one operation")
    return first.name.removeprefix("stablehlo.")


def reduce(graph: Graph, op: Op, operand: Tensor, start: Tensor, *others: Tensor) -> Tensor | tuple[Tensor, Tensor]:
    axes = op.ints("dimensions")
    if others:
        return _arg_max(graph, op, operand, start, others[0])
    kind = reducer(op)
    if operand.dtype == np.bool_:
        if kind not in ON_BOOLEANS:
            raise UnsupportedError(f"it reduces booleans by {kind}")
        result = reduced(graph, ON_BOOLEANS[kind], operand, axes)
        if start.is_constant and bool(start.array()) == (ON_BOOLEANS[kind] == "minimum"):
            return result
        both = [result, reshaped(graph, start, np.ones_like(result.shape))]
        return graph.elementwise("And" if ON_BOOLEANS[kind] == "minimum" else "Or", both)
    if operand.dtype.kind == "c":
        if kind != "add":
            raise UnsupportedError("it takes complex numbers")
        if not all(part.zero for part in start.parts):
            raise UnsupportedError("it starts from a complex number other than 0")
        return complex_of(graph, *(reduced(graph, kind, part, axes) for part in parts(operand)))
    result = reduced(graph, kind, operand, axes)
    if start.is_constant and np.array_equal(start.array(), neutral(kind, operand.dtype)):
        return result
    return graph.elementwise(COMBINED[kind], [result, reshaped(graph, start, np.ones_like(result.shape))])


ARG_MAX = "compare compare or compare compare and or select select"
"""The operations by which JAX's argmax and argmin choose between two numbers; of equal ones they take the first."""


def _arg_max(graph: Graph, op: Op, operand: Tensor, start: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """The maximum (or minimum) along an axis, and its index."""
    (region,), axes = op.regions, op.ints("dimensions")
    names = " ".join(inner.name.removeprefix("stablehlo.") for inner in region.ops[:-1])
    direction = region.ops[0].word(r"\b(GT|LT)\b")
    if names != ARG_MAX or direction is None or len(axes) != 1 or not counted.is_constant:
        raise UnsupportedError("it reduces several values at once")
    (axis,), kind = axes, "maximum" if direction == "GT" else "minimum"
    places = np.arange(constant_size(operand.shape[:, axis])).reshape(
        [-1 if a == axis else 1 for a in range(operand.rank)]
    )
    if any((array != places).any() for array in counted.arrays()):
        raise UnsupportedError("it reduces several values at once")
    if not np.array_equal(start.array(), neutral(kind, operand.dtype)):
        raise UnsupportedError("it starts from a number that could be its result")
    value = reduced(graph, kind, operand, axes)
    place = _first(graph, "ArgMax" if direction == "GT" else "ArgMin", operand, axis)
    if operand.dtype.kind == "f":  # NaN comes before all numbers
        nans = graph.cast(_is_nan(graph, operand), np.int32)
        place = graph.elementwise(
            "Where", [_is_nan(graph, value), _first(graph, "ArgMax", nans, axis), place], place.dtype
        )
    return value, graph.cast(place, counted.dtype)


def _first(graph: Graph, op_type: str, operand: Tensor, axis: int) -> Tensor:
    """The index of the maximum or minimum along an axis, which is removed."""
    dtype = operand.dtype if operand.is_constant else computed_in(op_type, operand.dtype)
    expanded = graph.expanded(graph.cast(operand, dtype), [axis])
    place = expanded.part.order.index(axis)
    data = graph.node(op_type, [expanded.part.data], axis=place, keepdims=0)
    return _without(operand, expanded.part, [place], data, np.int64)


def _without(operand: Tensor, view: View, places: Sequence[int], data: Data, dtype: np.dtype | type) -> Tensor:
    """The value of a node's output; the node removed the axes at these places of its input."""
    removed = [view.order[place] for place in places]
    left = [axis for axis in range(operand.rank) if axis not in removed]
    order = tuple(left.index(axis) for axis in view.order if axis not in removed)
    return Tensor(operand.shape[:, left], np.dtype(dtype), (View(data, order, np.delete(view.sizes, places, axis=1)),))


def _is_nan(graph: Graph, operand: Tensor) -> Tensor:
    """Whether each float is NaN."""
    return graph.elementwise("IsNaN", [operand], np.bool_)


def neutral(kind: str, dtype: np.dtype) -> np.ndarray:
    """The number that a reduction can start from without changing its result."""
    if kind in ("maximum", "minimum"):
        low = kind == "maximum"
        if dtype.kind == "f":
            return np.array(-np.inf if low else np.inf, dtype)
        if dtype.kind == "b":
            return np.array(not low)
        return np.array(np.iinfo(dtype).min if low else np.iinfo(dtype).max, dtype)
    return np.array(1 if kind == "multiply" else 0, dtype)


def reduced(graph: Graph, kind: str, operand: Tensor, axes: Sequence[int]) -> Tensor:
    """A real value reduced over axes, which are removed."""
    if kind not in REDUCTIONS:
        raise UnsupportedError(f"it reduces {operand.dtype.name} by {kind}")
    if not axes:
        return operand
    wide = (
        operand.dtype
        if operand.is_constant and operand.dtype != np.bool_
        else computed_in(REDUCTIONS[kind], operand.dtype)
    )
    if wide != operand.dtype:
        result = reduced(graph, kind, graph.cast(operand, wide), axes)
        return graph.cast(_wrapped(graph, result, operand.dtype) if wide.kind == "f" else result, operand.dtype)
    if kind in ("add", "multiply"):
        operand = graph.expanded(operand, axes)
    view = operand.part
    places = sorted(view.order.index(axis) for axis in axes)
    if kind == "add":
        data = graph.node("ReduceSum", [view.data, np.array(places, np.int64)], keepdims=0)
    else:
        data = graph.node(REDUCTIONS[kind], [view.data], axes=places, keepdims=0)
    result = _without(operand, view, places, data, operand.dtype)
    if kind in ("add", "multiply") or operand.dtype.kind != "f" or operand.is_constant or _of_product(view.data):
        return result
    has_nan = reduced(graph, "maximum", _is_nan(graph, operand), axes)
    return graph.elementwise("Where", [has_nan, number(np.nan, result), result], result.dtype)


def _wrapped(graph: Graph, operand: Tensor, dtype: np.dtype) -> Tensor:
    """Integers in floats, wrapped around as their dtype of at most 32 bits wraps."""
    if dtype.itemsize == 8:
        return operand
    do, period = graph.elementwise, number(2.0 ** (8 * dtype.itemsize), operand)
    from_least = do("Sub", [operand, number(np.iinfo(dtype).min, operand)])
    return do("Sub", [operand, do("Mul", [do("Floor", [do("Div", [from_least, period])]), period])])


def _of_product(data: Data) -> bool:
    """Whether a value is a matrix product, perhaps reshaped or transposed.

    The maximum of products is ONNX Runtime's own, which may ignore NaN among numbers: to look for NaN in the products
    of Perch v2's head would take longer than the rest of the model.
    """
    node = data.producer() if isinstance(data, ir.Value) else None
    while node is not None and node.op_type in ("Reshape", "Transpose"):
        value = node.inputs[0]
        node = value.producer() if value is not None else None
    return node is not None and node.op_type == "MatMul"


def dot_general(graph: Graph, op: Op, left: Tensor, right: Tensor) -> Tensor:
    def axes(key: str) -> tuple[list[int], list[int]]:
        texts = op.word(rf"{key} = (\[[^\]]*\] x \[[^\]]*\])") or "[] x []"
        first, second = texts.split(" x ")
        return [int(n) for n in first[1:-1].split(",") if n], [int(n) for n in second[1:-1].split(",") if n]

    left, right = (in_result_type(graph, op, operand) for operand in (left, right))
    return product(graph, left, right, axes("contracting_dims"), axes("batching_dims"))


def in_result_type(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    """An operand in the type of the result, in which its products are summed."""
    kind = op.result_types[0].dtype
    if operand.dtype == np.bool_ or kind is None:
        raise UnsupportedError("it multiplies booleans")
    return operand if kind.kind == "c" or kind == BFLOAT16 else graph.cast(operand, kind)


def dot(graph: Graph, op: Op, left: Tensor, right: Tensor) -> Tensor:
    return product(graph, left, right, ([left.rank - 1], [0]), ([], []))


def product(graph: Graph, left: Tensor, right: Tensor, contracted: AxisPairs, batching: AxisPairs) -> Tensor:
    """Products summed over the contracted axes: `[*batching axes, *left's other axes, *right's other axes]`."""
    if left.dtype.kind == "c":
        return complex_pairs.product(
            graph, lambda pair: product(graph, pair[0], pair[1], contracted, batching), left, right
        )
    sides_axes = zip((left, right), contracted, batching, strict=True)
    own = [[a for a in range(t.rank) if a not in c + b] for t, c, b in sides_axes]
    shape = np.concatenate([left.shape[:, batching[0] + own[0]], right.shape[:, own[1]]], axis=1)
    depth = left.shape[:, contracted[0]].prod(axis=1, keepdims=True)
    rows, columns = left.shape[:, own[0]], right.shape[:, own[1]]
    # With one right matrix for all rows, the left axes can stay apart.
    flat = rows.prod(axis=1, keepdims=True) if batching[0] or (columns != columns[0]).any() else rows
    common = left.shape[:, batching[0]]
    sides = [
        _matrix(graph, left, batching[0] + own[0] + contracted[0], np.concatenate([common, flat, depth], axis=1)),
        _matrix(
            graph,
            right,
            batching[1] + contracted[1] + own[1],
            np.concatenate([common, depth, columns.prod(axis=1, keepdims=True)], axis=1),
        ),
    ]
    wide = left.dtype if left.is_constant and right.is_constant else computed_in("MatMul", left.dtype)
    data = graph.node("MatMul", [graph.cast(side, wide).part.data for side in sides])
    made = np.concatenate([common, flat, columns.prod(axis=1, keepdims=True)], axis=1)
    return reshaped(graph, graph.cast(graph.tensor(data, made, wide), left.dtype), shape)


def _matrix(graph: Graph, tensor: Tensor, order: list[int], shape: np.ndarray) -> Tensor:
    """An expanded value with its axes in this order, reshaped."""
    transposed = graph.tensor(graph.data(tensor, tuple(order)), tensor.shape[:, order], tensor.dtype)
    return reshaped(graph, transposed, shape)


def fft(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    """A Fourier transform along the last axis as a product with the DFT matrix.

    `passes.frontend.spectrogram` makes it fast.
    """
    kind = op.word(r"\b(I?R?FFT)\b") or ""
    length = op.ints("length")
    if len(length) != 1:
        raise UnsupportedError(f"it transforms {len(length)} axes")
    (count,) = length
    half, inverse = count // 2 + 1, kind.startswith("I")
    turns = np.outer(np.arange(count), np.arange(count)) % count
    matrix = np.exp((2j if inverse else -2j) * np.pi * turns / count) / (count if inverse else 1)

    def times(value: Tensor, side: Array) -> Tensor:
        return product(graph, value, constant(side.astype(value.dtype)), ([value.rank - 1], [0]), ([], []))

    if kind == "RFFT":
        return complex_of(graph, *(times(operand, side[:, :half]) for side in (matrix.real, matrix.imag)))
    if kind == "IRFFT":  # the other half of the spectrum mirrors this one
        mirrored = matrix[:half] * np.where(np.isin(np.arange(half), [0, count / 2]), 1, 2)[:, None]
        real, imag = (times(*pair) for pair in zip(parts(operand), (mirrored.real, -mirrored.imag), strict=True))
        return graph.elementwise("Add", [real, imag])
    return times(operand, matrix)


def top_k(graph: Graph, count: int, operand: Tensor) -> tuple[Tensor, Tensor]:
    """The `count` largest numbers along the last axis, and their indices."""
    data, shape = graph.data(operand), operand.shape.copy()
    shape[:, -1] = count
    if not isinstance(data, ir.Value):
        array = operand.array()
        places = _descending(array)[..., :count]
        return constant(np.take_along_axis(array, places, -1)), constant(places.astype(np.int32))
    keys = graph.cast(operand, computed_in("TopK", operand.dtype))
    if keys.dtype.kind == "f":  # NaN comes before infinity, and infinity before all others
        finite = graph.elementwise("Min", [keys, number(np.finfo(keys.dtype).max, keys)])
        keys = graph.elementwise("Where", [_is_nan(graph, keys), number(np.inf, keys), finite], keys.dtype)
    places_ = graph.outputs("TopK", [graph.value(graph.data(keys)), (np.array([count]),)], 2, {"axis": -1})[1]
    values = graph.node("GatherElements", [data, places_], axis=-1)
    return graph.tensor(values, shape, operand.dtype), graph.cast(graph.tensor(places_, shape, np.int64), np.int32)


def _descending(array: Array) -> Array:
    """Indices along the last axis in descending order of numbers, equal ones by index; NaN comes first."""
    last = array.shape[-1] - 1
    return last - np.argsort(array[..., ::-1], axis=-1, kind="stable")[..., ::-1]


OPERATIONS: dict[str, Operation] = {"dot": dot, "dot_general": dot_general, "fft": fft, "reduce": reduce}
