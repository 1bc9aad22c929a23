"""Operations that treat each element by itself; complex ones as what they come to on real and imaginary parts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import onnx_ir as ir

from convert.stablehlo.graph import Graph
from convert.stablehlo.tensor import Held, Tensor, UnknownError, known
from convert.stablehlo.text import Op

Operation = Callable[..., Tensor]
"""Of the graph, the operation's text and its operands."""

UNARY = {
    "abs": "Abs", "ceil": "Ceil", "cosine": "Cos", "exponential": "Exp", "floor": "Floor", "log": "Log",
    "logistic": "Sigmoid", "negate": "Neg", "round_nearest_even": "Round", "sign": "Sign", "sine": "Sin",
    "sqrt": "Sqrt", "tan": "Tan", "tanh": "Tanh",
}  # fmt: skip
BINARY = {"add": "Add", "divide": "Div", "maximum": "Max", "minimum": "Min", "multiply": "Mul", "subtract": "Sub"}
LOGICAL = {"and": "And", "maximum": "Or", "minimum": "And", "multiply": "And", "or": "Or", "add": "Or", "xor": "Xor"}
"""What operations on two truth values are."""
COMPARED = {
    "EQ": ("Equal", False), "GE": ("GreaterOrEqual", False), "GT": ("Greater", False),
    "LE": ("LessOrEqual", False), "LT": ("Less", False), "NE": ("Equal", True),
}  # fmt: skip
"""ONNX's operation, and whether its result is turned round."""


def number(value: float, like: Tensor) -> Tensor:
    """A number of the type and rank of another value's (real) parts."""
    return known(np.full((1,) * like.rank, value, np.empty(0, like.dtype).real.dtype))


def parts(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary part; that of a real number is 0."""
    real = np.dtype(tensor.dtype.type(0).real.dtype)
    whole = [Tensor(tensor.shape, real, (part,)) for part in tensor.parts]
    return whole[0], whole[1] if len(whole) > 1 else number(0, tensor)


def joined(graph: Graph, real: Tensor, imag: Tensor) -> Tensor:
    """A complex value of two real ones."""
    whole = [
        graph.whole(part, [a for a in range(real.rank) if not (real.lazy(a) and imag.lazy(a))]) for part in (real, imag)
    ]
    order = next((t.part.order for t in whole if not t.known), whole[0].part.order)
    held: tuple[Held, ...] = tuple(graph.in_order(t.part, order) for t in whole)
    return Tensor(real.shape, np.result_type(real.dtype, np.complex64), held)


def unary(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    kind = op.name.removeprefix("stablehlo.")
    if operand.dtype.kind == "c":
        return _complex_unary(graph, kind, operand)
    return graph.elementwise(UNARY[kind], [operand])


def _complex_unary(graph: Graph, kind: str, operand: Tensor) -> Tensor:
    real, imag = parts(operand)
    if kind == "negate":
        return joined(graph, *(graph.elementwise("Neg", [part]) for part in (real, imag)))
    if kind == "abs":
        squares = [graph.elementwise("Mul", [part, part]) for part in (real, imag)]
        return graph.elementwise("Sqrt", [graph.elementwise("Add", squares)])
    if kind == "exponential":
        size = graph.elementwise("Exp", [real])
        turned = [graph.elementwise(function, [imag]) for function in ("Cos", "Sin")]
        return joined(graph, *(graph.elementwise("Mul", [size, part]) for part in turned))
    raise UnknownError("it takes complex numbers")


def binary(graph: Graph, op: Op, left: Tensor, right: Tensor) -> Tensor:
    kind = op.name.removeprefix("stablehlo.")
    if left.dtype.kind == "c":
        return _complex_binary(graph, kind, left, right)
    if left.dtype == np.bool_:
        return graph.elementwise(LOGICAL[kind], [left, right])
    if kind not in BINARY:
        raise UnknownError("it takes the bits of integers")
    return graph.elementwise(BINARY[kind], [left, right])


def _complex_binary(graph: Graph, kind: str, left: Tensor, right: Tensor) -> Tensor:
    (a, b), (c, d) = parts(left), parts(right)
    real = partial(graph.elementwise)
    if kind in ("add", "subtract"):
        return joined(graph, real(BINARY[kind], [a, c]), real(BINARY[kind], [b, d]))
    if kind == "divide":  # by a number: times its conjugate, over its square
        square = real("Add", [real("Mul", [c, c]), real("Mul", [d, d])])
        c, d = real("Div", [c, square]), real("Neg", [real("Div", [d, square])])
    elif kind != "multiply":
        raise UnknownError("it takes complex numbers")
    if _is_zero(d):  # a real factor, as scales are
        return joined(graph, real("Mul", [a, c]), real("Mul", [b, c]))
    ac, bd, ad, bc = (real("Mul", pair) for pair in ([a, c], [b, d], [a, d], [b, c]))
    return joined(graph, real("Sub", [ac, bd]), real("Add", [ad, bc]))


def _is_zero(tensor: Tensor) -> bool:
    data = tensor.part.data
    return not isinstance(data, ir.Value) and not any(array.any() for array in data)


def compare(graph: Graph, op: Op, left: Tensor, right: Tensor) -> Tensor:
    direction = op.word(r"\b(EQ|GE|GT|LE|LT|NE)\b") or ""
    kind, turned = COMPARED[direction]
    if "TOTALORDER" in op.header:
        raise UnknownError("it orders what is not a number, too")
    if left.dtype == np.bool_ and kind != "Equal":
        left, right = (_cast(graph, operand, np.int32) for operand in (left, right))
    result = graph.elementwise(kind, [left, right], np.bool_)
    return graph.elementwise("Not", [result]) if turned else result


def select(graph: Graph, op: Op, predicate: Tensor, chosen: Tensor, other: Tensor) -> Tensor:
    if predicate.rank < chosen.rank:
        predicate = _scalar_of_rank(graph, predicate, chosen.rank)
    if chosen.dtype.kind == "c":
        pairs = zip(parts(chosen), parts(other), strict=True)
        return joined(graph, *(graph.elementwise("Where", [predicate, *pair], pair[0].dtype) for pair in pairs))
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
        raise UnknownError(f"it converts to {op.types}")
    if kind.dtype.kind == "c":
        real, imag = parts(operand)
        return joined(graph, real, imag)
    return _cast(graph, parts(operand)[0], kind.dtype)


def _cast(graph: Graph, operand: Tensor, dtype: np.dtype | type) -> Tensor:
    if operand.dtype == dtype:
        return operand
    return graph.elementwise("Cast", [operand], dtype, to=int(ir.DataType.from_numpy(np.dtype(dtype))))


def rsqrt(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    return graph.elementwise("Reciprocal", [graph.elementwise("Sqrt", [operand])])


def power(graph: Graph, op: Op, base: Tensor, exponent: Tensor) -> Tensor:
    return graph.elementwise("Pow", [base, exponent])


def remainder(graph: Graph, op: Op, left: Tensor, right: Tensor) -> Tensor:
    return graph.elementwise("Mod", [left, right], fmod=1)  # of the dividend's sign, as C's


def logical_not(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    if operand.dtype != np.bool_:
        raise UnknownError("it takes the bits of integers")
    return graph.elementwise("Not", [operand])


def log_plus_one(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    """`log(1 + x)`, exact where 1 + x rounds x away: log(u) * x / (u - 1) with u = 1 + x (Kahan's)."""
    do, one = graph.elementwise, number(1, operand)
    u = do("Add", [operand, one])
    rounded = do("Sub", [u, one])
    exact = do("Mul", [do("Log", [u]), do("Div", [operand, rounded])])
    tiny = do("Equal", [rounded, number(0, operand)], np.bool_)
    huge = do("Equal", [rounded, operand], np.bool_)  # also infinity, of which the quotient is none
    return do("Where", [tiny, operand, do("Where", [huge, do("Log", [u]), exact], operand.dtype)], operand.dtype)


def exponential_minus_one(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    """`exp(x) - 1`, as tanh(x / 2) * (exp(x) + 1) exact near 0."""
    do = graph.elementwise
    half = do("Tanh", [do("Mul", [operand, number(0.5, operand)])])
    return do("Mul", [half, do("Add", [do("Exp", [operand]), number(1, operand)])])


def is_finite(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    nothing = graph.elementwise("Sub", [operand, operand])  # 0, or not a number
    return graph.elementwise("Equal", [nothing, number(0, operand)], np.bool_)


def real(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    return parts(operand)[0]


def imag(graph: Graph, op: Op, operand: Tensor) -> Tensor:
    return parts(operand)[1]


def complex_(graph: Graph, op: Op, real_: Tensor, imag_: Tensor) -> Tensor:
    return joined(graph, real_, imag_)


OPERATIONS: dict[str, Operation] = {
    **dict.fromkeys(UNARY, unary),
    **dict.fromkeys([*BINARY, "and", "or", "xor"], binary),
    "clamp": clamp,
    "compare": compare,
    "complex": complex_,
    "convert": convert,
    "exponential_minus_one": exponential_minus_one,
    "imag": imag,
    "is_finite": is_finite,
    "log_plus_one": log_plus_one,
    "not": logical_not,
    "power": power,
    "real": real,
    "remainder": remainder,
    "rsqrt": rsqrt,
    "select": select,
}
