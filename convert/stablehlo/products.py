"""Sums over axes: reductions, products of matrices, Fourier transforms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from convert.passes.edit import Array
from convert.stablehlo.elementwise import Operation, complex_product, joined, parts
from convert.stablehlo.graph import Data, Graph
from convert.stablehlo.kernels import computed_in
from convert.stablehlo.shapes import reshaped
from convert.stablehlo.tensor import Held, Tensor, UnknownError, constant_size, known, number
from convert.stablehlo.text import BFLOAT16, Op

REDUCTIONS = {"add": "ReduceSum", "maximum": "ReduceMax", "minimum": "ReduceMin", "multiply": "ReduceProd"}
COMBINED = {"add": "Add", "maximum": "Max", "minimum": "Min", "multiply": "Mul"}
ON_TRUTH = {
    "and": "minimum", "maximum": "maximum", "minimum": "minimum", "multiply": "minimum", "or": "maximum",
}  # fmt: skip


def reducer(op: Op) -> str:
    """The operation that a reduction applies, as `add`.

    Raises:
        UnknownError: it is more than one.
    """
    if word := op.word(r"applies stablehlo\.(\w+)"):
        return word
    (region,) = op.regions
    first, *_ = region.ops
    if len(region.ops) != 2 or sorted(first.operands) != sorted(region.arguments):
        raise UnknownError("it reduces by more than one operation")
    return first.name.removeprefix("stablehlo.")


def reduce(graph: Graph, op: Op, operand: Tensor, start: Tensor, *others: Tensor) -> Tensor | tuple[Tensor, Tensor]:
    axes = op.ints("dimensions")
    if others:
        return _greatest(graph, op, operand, start, others[0])
    kind = reducer(op)
    if operand.dtype == np.bool_:
        if kind not in ON_TRUTH:
            raise UnknownError(f"it reduces truths by {kind}")
        whole = summed(graph, ON_TRUTH[kind], operand, axes)
        if start.known and bool(start.array()) == (ON_TRUTH[kind] == "minimum"):
            return whole
        both = [whole, reshaped(graph, start, np.ones_like(whole.shape))]
        return graph.elementwise("And" if ON_TRUTH[kind] == "minimum" else "Or", both)
    if operand.dtype.kind == "c":
        if kind != "add":
            raise UnknownError("it takes complex numbers")
        if not all(part.zero for part in start.parts):
            raise UnknownError("it adds to a complex number")
        return joined(graph, *(summed(graph, kind, part, axes) for part in parts(operand)))
    result = summed(graph, kind, operand, axes)
    if start.known and np.array_equal(start.array(), neutral(kind, operand.dtype)):
        return result
    return graph.elementwise(COMBINED[kind], [result, reshaped(graph, start, np.ones_like(result.shape))])


GREATEST = "compare compare or compare compare and or select select"
"""How JAX's argmax and argmin pick one of two numbers, and of equal ones that which comes first."""


def _greatest(graph: Graph, op: Op, operand: Tensor, start: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """The greatest (or least) number along an axis, and its place."""
    (region,), axes = op.regions, op.ints("dimensions")
    names = " ".join(inner.name.removeprefix("stablehlo.") for inner in region.ops[:-1])
    direction = region.ops[0].word(r"\b(GT|LT)\b")
    if names != GREATEST or direction is None or len(axes) != 1 or not counted.known:
        raise UnknownError("it reduces several values at once")
    (axis,), kind = axes, "maximum" if direction == "GT" else "minimum"
    places = np.arange(constant_size(operand.shape[:, axis])).reshape(
        [-1 if a == axis else 1 for a in range(operand.rank)]
    )
    if any((array != places).any() for array in counted.arrays()):
        raise UnknownError("it reduces several values at once")
    if not np.array_equal(start.array(), neutral(kind, operand.dtype)):
        raise UnknownError("it starts from a number that counts")
    value = summed(graph, kind, operand, axes)
    place = _first(graph, "ArgMax" if direction == "GT" else "ArgMin", operand, axis)
    if operand.dtype.kind == "f":  # what is no number comes before all others
        nothing = graph.cast(_nothing(graph, operand), np.int32)
        place = graph.elementwise(
            "Where", [_nothing(graph, value), _first(graph, "ArgMax", nothing, axis), place], place.dtype
        )
    return value, graph.cast(place, counted.dtype)


def _first(graph: Graph, op_type: str, operand: Tensor, axis: int) -> Tensor:
    """The place of the greatest or least along an axis, which goes."""
    dtype = operand.dtype if operand.known else computed_in(op_type, operand.dtype)
    whole = graph.whole(graph.cast(operand, dtype), [axis])
    place = whole.part.order.index(axis)
    data = graph.node(op_type, [whole.part.data], axis=place, keepdims=0)
    return _without(operand, whole.part, [place], data, np.int64)


def _without(operand: Tensor, held: Held, places: Sequence[int], data: Data, dtype: np.dtype | type) -> Tensor:
    """What a node gave that took away the axes that were held at these places."""
    gone = [held.order[place] for place in places]
    left = [axis for axis in range(operand.rank) if axis not in gone]
    order = tuple(left.index(axis) for axis in held.order if axis not in gone)
    return Tensor(operand.shape[:, left], np.dtype(dtype), (Held(data, order, np.delete(held.sizes, places, axis=1)),))


def _nothing(graph: Graph, operand: Tensor) -> Tensor:
    """Whether a float is no number."""
    return graph.elementwise("IsNaN", [operand], np.bool_)


def neutral(kind: str, dtype: np.dtype) -> np.ndarray:
    """What a reduction starts from, so that it does not count."""
    if kind in ("maximum", "minimum"):
        low = kind == "maximum"
        if dtype.kind == "f":
            return np.array(-np.inf if low else np.inf, dtype)
        if dtype.kind == "b":
            return np.array(not low)
        return np.array(np.iinfo(dtype).min if low else np.iinfo(dtype).max, dtype)
    return np.array(1 if kind == "multiply" else 0, dtype)


def summed(graph: Graph, kind: str, operand: Tensor, axes: Sequence[int]) -> Tensor:
    """A real value reduced over axes, which go."""
    if kind not in REDUCTIONS:
        raise UnknownError(f"it reduces {operand.dtype.name} by {kind}")
    if not axes:
        return operand
    wide = (
        operand.dtype if operand.known and operand.dtype != np.bool_ else computed_in(REDUCTIONS[kind], operand.dtype)
    )
    if wide != operand.dtype:
        result = summed(graph, kind, graph.cast(operand, wide), axes)
        return graph.cast(_wrapped(graph, result, operand.dtype) if wide.kind == "f" else result, operand.dtype)
    if kind in ("add", "multiply"):
        operand = graph.whole(operand, axes)
    held = operand.part
    places = sorted(held.order.index(axis) for axis in axes)
    if kind == "add":
        data = graph.node("ReduceSum", [held.data, np.array(places, np.int64)], keepdims=0)
    else:
        data = graph.node(REDUCTIONS[kind], [held.data], axes=places, keepdims=0)
    result = _without(operand, held, places, data, operand.dtype)
    if kind in ("add", "multiply") or operand.dtype.kind != "f" or operand.known or _of_product(held.data):
        return result
    nothing = summed(graph, "maximum", _nothing(graph, operand), axes)
    return graph.elementwise("Where", [nothing, number(np.nan, result), result], result.dtype)


def _wrapped(graph: Graph, operand: Tensor, dtype: np.dtype) -> Tensor:
    """Whole numbers held as floats, wrapped round as integers of at most 32 bits do."""
    if dtype.itemsize == 8:
        return operand
    do, turn = graph.elementwise, number(2.0 ** (8 * dtype.itemsize), operand)
    from_least = do("Sub", [operand, number(np.iinfo(dtype).min, operand)])
    return do("Sub", [operand, do("Mul", [do("Floor", [do("Div", [from_least, turn])]), turn])])


def _of_product(data: Data) -> bool:
    """Whether a value is a product of matrices, perhaps in another shape.

    Of these the greatest is taken as ONNX Runtime does it, which may pass over what is no number where other values are
    one: to look for it in the products of Perch v2's head would take longer than the rest of the model.
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
    """An operand in the type in which its products are added up."""
    kind = op.result_types[0].dtype
    if operand.dtype == np.bool_ or kind is None:
        raise UnknownError("it multiplies truths")
    return operand if kind.kind == "c" or kind == BFLOAT16 else graph.cast(operand, kind)


def dot(graph: Graph, op: Op, left: Tensor, right: Tensor) -> Tensor:
    return product(graph, left, right, ([left.rank - 1], [0]), ([], []))


def product(
    graph: Graph, left: Tensor, right: Tensor, summed_: tuple[list[int], list[int]], shared: tuple[list[int], list[int]]
) -> Tensor:
    """Sums of products over pairs of axes: `[shared, left's own, right's own]`."""
    if left.dtype.kind == "c":
        return complex_product(graph, lambda pair: product(graph, pair[0], pair[1], summed_, shared), left, right)
    own = [[a for a in range(t.rank) if a not in s + b] for t, s, b in zip((left, right), summed_, shared, strict=True)]
    shape = np.concatenate([left.shape[:, shared[0] + own[0]], right.shape[:, own[1]]], axis=1)
    depth = left.shape[:, summed_[0]].prod(axis=1, keepdims=True)
    rows, columns = left.shape[:, own[0]], right.shape[:, own[1]]
    # A product with one matrix for all leaves rows apart.
    flat = rows.prod(axis=1, keepdims=True) if shared[0] or (columns != columns[0]).any() else rows
    common = left.shape[:, shared[0]]
    sides = [
        _matrix(graph, left, shared[0] + own[0] + summed_[0], np.concatenate([common, flat, depth], axis=1)),
        _matrix(
            graph,
            right,
            shared[1] + summed_[1] + own[1],
            np.concatenate([common, depth, columns.prod(axis=1, keepdims=True)], axis=1),
        ),
    ]
    wide = left.dtype if left.known and right.known else computed_in("MatMul", left.dtype)
    data = graph.node("MatMul", [graph.cast(side, wide).part.data for side in sides])
    made = np.concatenate([common, flat, columns.prod(axis=1, keepdims=True)], axis=1)
    return reshaped(graph, graph.cast(graph.made(data, made, wide), left.dtype), shape)


def _matrix(graph: Graph, tensor: Tensor, order: list[int], shape: np.ndarray) -> Tensor:
    """A whole value with its axes in this order, in this shape."""
    turned = graph.made(graph.data(tensor, tuple(order)), tensor.shape[:, order], tensor.dtype)
    return reshaped(graph, turned, shape)


def fft(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    """A transform along the last axis as a product with cosines and sines, which
    `passes.frontend.spectrogram` makes quick.
    """
    kind = op.word(r"\b(I?R?FFT)\b") or ""
    length = op.ints("length")
    if len(length) != 1:
        raise UnknownError(f"it transforms {len(length)} axes")
    (count,) = length
    half, inverse = count // 2 + 1, kind.startswith("I")
    turns = np.outer(np.arange(count), np.arange(count)) % count
    matrix = np.exp((2j if inverse else -2j) * np.pi * turns / count) / (count if inverse else 1)

    def times(value: Tensor, side: Array) -> Tensor:
        return product(graph, value, known(side.astype(value.dtype)), ([value.rank - 1], [0]), ([], []))

    if kind == "RFFT":
        return joined(graph, *(times(operand, side[:, :half]) for side in (matrix.real, matrix.imag)))
    if kind == "IRFFT":  # the other half of the spectrum mirrors this one
        mirrored = matrix[:half] * np.where(np.isin(np.arange(half), [0, count / 2]), 1, 2)[:, None]
        real, imag = (times(*pair) for pair in zip(parts(operand), (mirrored.real, -mirrored.imag), strict=True))
        return graph.elementwise("Add", [real, imag])
    return times(operand, matrix)


def top_k(graph: Graph, count: int, operand: Tensor) -> tuple[Tensor, Tensor]:
    """The greatest along the last axis, and their places."""
    data, shape = graph.data(operand), operand.shape.copy()
    shape[:, -1] = count
    if not isinstance(data, ir.Value):
        array = operand.array()
        places = _from_the_greatest(array)[..., :count]
        return known(np.take_along_axis(array, places, -1)), known(places.astype(np.int32))
    keys = graph.cast(operand, computed_in("TopK", operand.dtype))
    if keys.dtype.kind == "f":  # what is no number comes before infinity, and infinity before all others
        finite = graph.elementwise("Min", [keys, number(np.finfo(keys.dtype).max, keys)])
        keys = graph.elementwise("Where", [_nothing(graph, keys), number(np.inf, keys), finite], keys.dtype)
    places_ = graph.outputs("TopK", [graph.value(graph.data(keys)), (np.array([count]),)], 2, {"axis": -1})[1]
    values = graph.node("GatherElements", [data, places_], axis=-1)
    return graph.made(values, shape, operand.dtype), graph.cast(graph.made(places_, shape, np.int64), np.int32)


def _from_the_greatest(array: Array) -> Array:
    """Places along the last axis, of equal values the first one first; what is no number stands before all others."""
    last = array.shape[-1] - 1
    return last - np.argsort(array[..., ::-1], axis=-1, kind="stable")[..., ::-1]


OPERATIONS: dict[str, Operation] = {"dot": dot, "dot_general": dot_general, "fft": fft, "reduce": reduce}
