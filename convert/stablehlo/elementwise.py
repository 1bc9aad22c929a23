"""Elementwise operations; of complex numbers as arithmetic on real and imaginary parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from convert.passes.edit import Array
from convert.stablehlo import complex_pairs, integers
from convert.stablehlo.complex_pairs import complex_of, parts
from convert.stablehlo.graph import Graph
from convert.stablehlo.tensor import Tensor, UnsupportedError, constant, number
from convert.stablehlo.text import BFLOAT16, Op

Operation = Callable[..., Tensor | tuple[Tensor, Tensor]]
"""Translates an operation: from the graph, the operation's text and its operands to its result."""

UNARY = {
    "abs": "Abs", "ceil": "Ceil", "cosine": "Cos", "exponential": "Exp", "floor": "Floor", "log": "Log",
    "logistic": "Sigmoid", "negate": "Neg", "round_nearest_even": "Round", "sign": "Sign", "sine": "Sin",
    "sqrt": "Sqrt", "tan": "Tan", "tanh": "Tanh",
}  # fmt: skip
BINARY = {"add": "Add", "maximum": "Max", "minimum": "Min", "multiply": "Mul", "subtract": "Sub"}
LOGICAL = {"and": "And", "maximum": "Or", "minimum": "And", "multiply": "And", "or": "Or", "xor": "Xor"}
"""Operations on booleans. `add` is missing: compilers of StableHLO differ in it."""
BITS: dict[str, Callable[..., Array]] = {
    "and": np.bitwise_and, "not": np.bitwise_not, "or": np.bitwise_or, "xor": np.bitwise_xor,
    "shift_left": lambda array, by: integers.shifted(np.left_shift, "u", array, by),
    "shift_right_arithmetic": lambda array, by: integers.shifted(np.right_shift, "i", array, by),
    "shift_right_logical": lambda array, by: integers.shifted(np.right_shift, "u", array, by),
}  # fmt: skip
PRECISIONS = {"e5m10": np.float16, "e8m7": BFLOAT16}
COMPARED = {
    "EQ": ("Equal", False), "GE": ("GreaterOrEqual", False), "GT": ("Greater", False),
    "LE": ("LessOrEqual", False), "LT": ("Less", False), "NE": ("Equal", True),
}  # fmt: skip
"""ONNX's operation, and whether its result is negated."""


def unary(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    kind = op.name.removeprefix("stablehlo.")
    if operand.dtype.kind == "c":
        return complex_pairs.unary(graph, kind, operand)
    if kind == "negate" and operand.dtype.kind == "u":
        return graph.elementwise("Sub", [number(0, operand), operand])
    if kind == "sign" and operand.dtype.kind in "iu":  # of int64 ONNX Runtime's (1.31) reads only 32 bits
        sides = [graph.elementwise(each, [operand, number(0, operand)], np.bool_) for each in ("Greater", "Less")]
        return graph.elementwise("Sub", [graph.cast(side, operand.dtype) for side in sides])
    if kind == "sign" and operand.dtype.kind == "f":  # of NaN it is NaN, which ONNX leaves undefined
        same = graph.elementwise("Equal", [operand, operand], np.bool_)
        return graph.elementwise("Where", [same, graph.elementwise("Sign", [operand]), operand], operand.dtype)
    if kind == "tan" and operand.dtype == np.float64:
        return graph.elementwise("Div", [graph.elementwise(each, [operand]) for each in ("Sin", "Cos")])
    return graph.elementwise(UNARY[kind], [operand])


def binary(graph: Graph, op: Op, left: Tensor, right: Tensor) -> Tensor:
    kind = op.name.removeprefix("stablehlo.")
    if left.dtype.kind == "c":
        return complex_pairs.binary(graph, kind, left, right)
    if left.dtype == np.bool_:
        if kind not in LOGICAL:
            raise UnsupportedError("it takes booleans")
        return graph.elementwise(LOGICAL[kind], [left, right])
    return graph.elementwise(BINARY[kind], [left, right])


def divide(graph: Graph, op: Op, left: Tensor, right: Tensor) -> Tensor:
    if left.dtype.kind in "iu":
        return integers.quotient(graph, left, right, "Div")
    if left.dtype.kind == "c":
        return complex_pairs.binary(graph, "divide", left, right)
    return graph.elementwise("Div", [left, right])


def remainder(graph: Graph, op: Op, left: Tensor, right: Tensor) -> Tensor:
    """The remainder with the sign of the dividend, as in C."""
    if left.dtype.kind in "iu":
        return integers.quotient(graph, left, right, "Mod")
    return graph.elementwise("Mod", [left, right], fmod=1)


def compare(graph: Graph, op: Op, left: Tensor, right: Tensor) -> Tensor:
    direction = op.word(r"\b(EQ|GE|GT|LE|LT|NE)\b") or ""
    kind, negated = COMPARED[direction]
    if left.dtype.kind == "c":
        return complex_pairs.compare(graph, direction, left, right)
    if "TOTALORDER" in op.header:
        left, right = (_folded(_total_order, [operand]) for operand in (left, right))
    result = graph.elementwise(kind, [left, right], np.bool_)
    return graph.elementwise("Not", [result]) if negated else result


def select(graph: Graph, op: Op, predicate: Tensor, chosen: Tensor, other: Tensor) -> Tensor:
    if predicate.rank < chosen.rank:
        predicate = _scalar_of_rank(graph, predicate, chosen.rank)
    if chosen.dtype.kind == "c":
        pairs = zip(parts(chosen), parts(other), strict=True)
        return complex_of(graph, *(graph.elementwise("Where", [predicate, *pair], pair[0].dtype) for pair in pairs))
    return graph.elementwise("Where", [predicate, chosen, other], chosen.dtype)


def clamp(graph: Graph, op: Op, low: Tensor, operand: Tensor, high: Tensor) -> Tensor:
    low, high = (_scalar_of_rank(graph, bound, operand.rank) for bound in (low, high))
    return graph.elementwise("Min", [graph.elementwise("Max", [operand, low]), high])


def _scalar_of_rank(graph: Graph, tensor: Tensor, rank: int) -> Tensor:
    if tensor.rank == rank:
        return tensor
    ones = np.ones((len(tensor.shape), rank), np.int64)
    return Tensor(ones, tensor.dtype, (graph.reshaped(tensor.part, ones, tuple(range(rank))),))


def convert(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    (kind,) = op.result_types
    if kind.dtype is None:
        raise UnsupportedError(f"it converts to {op.types}")
    if kind.dtype.kind == "c":
        dtype = np.empty(0, kind.dtype).real.dtype
        return complex_of(graph, *(graph.cast(part, dtype) for part in parts(operand)))
    real, _ = parts(operand)
    if real.dtype.kind == "f" and kind.dtype.kind in "iu":
        return integers.from_float(graph, real, kind.dtype)
    result = graph.cast(real, kind.dtype)
    return graph.cast(result, np.float32) if kind.dtype == BFLOAT16 else result


def _folded(function: Callable[..., Array], operands: Sequence[Tensor]) -> Tensor:
    """Computes an operation that ONNX lacks, on constants.

    Raises:
        UnsupportedError: an operand is not constant.
    """
    try:
        each = [operand.arrays() for operand in operands]
    except UnsupportedError as error:
        raise UnsupportedError(f"{error}, and opset 17 of ONNX has no such operation") from None
    count = max(len(arrays) for arrays in each)
    each = [arrays * (count // len(arrays)) for arrays in each]
    return constant(*(function(*(np.array(array) for array in arrays)) for arrays in zip(*each, strict=True)))


def _total_order(array: Array) -> Array:
    """Floats as integers in IEEE 754's total order: -nan, -inf, ..., -0, 0, ..., inf, nan."""
    bits = array.view(f"i{array.itemsize}")
    return np.where(bits < 0, bits ^ np.iinfo(bits.dtype).max, bits)


def bits(graph: Graph, op: Op, *operands: Tensor) -> Tensor:
    """Bitwise operations on integers, logical ones on booleans."""
    kind = op.name.removeprefix("stablehlo.")
    if operands[0].dtype != np.bool_:
        return _folded(BITS[kind], operands)
    return graph.elementwise("Not", operands) if kind == "not" else binary(graph, op, *operands)


def bitcast_convert(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    (kind,), dtype = op.result_types, operand.dtype
    if kind.dtype is None or kind.dtype.itemsize != dtype.itemsize or BFLOAT16 in (kind.dtype, dtype):
        raise UnsupportedError(f"it reinterprets bits as {op.types}")
    return _folded(lambda array: array.view(kind.dtype), [operand])


def reduce_precision(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    name = op.word(r"format = (\w+)")
    if name not in PRECISIONS:
        raise UnsupportedError(f"it rounds to {name}")
    return graph.cast(graph.cast(operand, PRECISIONS[name]), operand.dtype)


def atan2(graph: Graph, op: Op, y: Tensor, x: Tensor) -> Tensor:
    do = graph.elementwise
    flat = do("Equal", [y, number(0, y)], np.bool_)
    slope = do("Where", [flat, y, do("Atan", [do("Div", [y, do("Abs", [x])])])], y.dtype)
    far = do("And", [_infinite(graph, operand) for operand in (x, y)])
    slope = do("Where", [far, do("Mul", [do("Sign", [y]), number(np.pi / 4, y)]), slope], y.dtype)
    turn = do("Where", [_negative(graph, y), number(-np.pi, y), number(np.pi, y)], y.dtype)
    angle = do("Where", [_negative(graph, x), do("Sub", [turn, slope]), slope], y.dtype)
    return do("Where", [do("Equal", [x, x], np.bool_), angle, x], y.dtype)


def _infinite(graph: Graph, operand: Tensor) -> Tensor:
    return graph.elementwise("Equal", [graph.elementwise("Abs", [operand]), number(np.inf, operand)], np.bool_)


def _negative(graph: Graph, operand: Tensor) -> Tensor:
    """Whether the sign is minus, also of -0."""
    do, zero = graph.elementwise, number(0, operand)
    inverse = do("Where", [do("Equal", [operand, zero], np.bool_), do("Reciprocal", [operand]), operand], operand.dtype)
    return do("Less", [inverse, zero], np.bool_)


def cbrt(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    do = graph.elementwise
    return do("Mul", [do("Sign", [operand]), do("Pow", [do("Abs", [operand]), number(1 / 3, operand)])])


def round_nearest_afz(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    """Rounds halves away from zero."""
    do, size = graph.elementwise, graph.elementwise("Abs", [operand])
    below = do("Floor", [size])
    up = do("GreaterOrEqual", [do("Sub", [size, below]), number(0.5, operand)], np.bool_)
    rounded = do("Where", [up, do("Add", [below, number(1, operand)]), below], operand.dtype)
    return do("Mul", [do("Sign", [operand]), rounded])


def rsqrt(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    return graph.elementwise("Reciprocal", [graph.elementwise("Sqrt", [operand])])


def power(graph: Graph, op: Op, base: Tensor, exponent: Tensor) -> Tensor:
    if base.dtype.kind == "c":
        raise UnsupportedError("it takes complex numbers")
    if base.dtype.kind == "f":
        return graph.elementwise("Pow", [base, exponent])
    return integers.power(graph, base, exponent)


def log_plus_one(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    """`log(1 + x)` as `log(u) * x / (u - 1)` with u = 1 + x, exact also where u is rounded (Kahan)."""
    do, one = graph.elementwise, number(1, operand)
    u = do("Add", [operand, one])
    rounded = do("Sub", [u, one])
    exact = do("Mul", [do("Log", [u]), do("Div", [operand, rounded])])
    tiny = do("Equal", [rounded, number(0, operand)], np.bool_)
    huge = do("Equal", [rounded, operand], np.bool_)  # also infinity, for which the quotient is NaN
    return do("Where", [tiny, operand, do("Where", [huge, do("Log", [u]), exact], operand.dtype)], operand.dtype)


def exponential_minus_one(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    """`exp(x) - 1` as `tanh(x / 2) * (exp(x) + 1)`, exact near 0."""
    do = graph.elementwise
    half = do("Tanh", [do("Mul", [operand, number(0.5, operand)])])
    return do("Mul", [half, do("Add", [do("Exp", [operand]), number(1, operand)])])


def is_finite(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    difference = graph.elementwise("Sub", [operand, operand])  # 0, or NaN
    return graph.elementwise("Equal", [difference, number(0, operand)], np.bool_)


def real(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    return parts(operand)[0]


def imag(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    return parts(operand)[1]


def complex_(graph: Graph, op: Op, real_: Tensor, imag_: Tensor) -> Tensor:
    return complex_of(graph, real_, imag_)


OPERATIONS: dict[str, Operation] = {
    **dict.fromkeys(UNARY, unary),
    **dict.fromkeys(BINARY, binary),
    **dict.fromkeys(BITS, bits),
    "atan2": atan2,
    "bitcast_convert": bitcast_convert,
    "cbrt": cbrt,
    "clamp": clamp,
    "compare": compare,
    "complex": complex_,
    "convert": convert,
    "divide": divide,
    "exponential_minus_one": exponential_minus_one,
    "imag": imag,
    "is_finite": is_finite,
    "log_plus_one": log_plus_one,
    "power": power,
    "real": real,
    "reduce_precision": reduce_precision,
    "remainder": remainder,
    "round_nearest_afz": round_nearest_afz,
    "rsqrt": rsqrt,
    "select": select,
}
