"""Complex numbers as pairs of real ones, since ONNX Runtime computes only those."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from convert.stablehlo.graph import Graph
from convert.stablehlo.tensor import Tensor, UnsupportedError, number

OPS = {"add": "Add", "subtract": "Sub"}


def parts(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary part; the latter is 0 for a real value."""
    zero = number(0, tensor)
    real, imag = tensor.parts if len(tensor.parts) > 1 else (*tensor.parts, zero.part)
    return Tensor(tensor.shape, zero.dtype, (real,)), Tensor(tensor.shape, zero.dtype, (imag,))


def complex_of(graph: Graph, real: Tensor, imag: Tensor) -> Tensor:
    """A complex value of its real and imaginary part."""
    order = imag.part.order if real.is_constant else real.part.order
    views = tuple(graph.in_order(part.part, order) for part in (real, imag))
    return Tensor(real.shape, np.result_type(real.dtype, np.complex64), views)


def unary(graph: Graph, kind: str, operand: Tensor) -> Tensor:
    real, imag = parts(operand)
    if kind == "negate":
        return complex_of(graph, *(graph.elementwise("Neg", [part]) for part in (real, imag)))
    if kind == "abs":
        if real.part.zero or imag.part.zero:
            return graph.elementwise("Abs", [imag if real.part.zero else real])
        squares = [graph.elementwise("Mul", [part, part]) for part in (real, imag)]
        return graph.elementwise("Sqrt", [graph.elementwise("Add", squares)])
    if kind == "exponential":
        size = graph.elementwise("Exp", [real])
        rotation = [graph.elementwise(function, [imag]) for function in ("Cos", "Sin")]
        return complex_of(graph, *(graph.elementwise("Mul", [size, part]) for part in rotation))
    raise UnsupportedError("it takes complex numbers")


def binary(graph: Graph, kind: str, left: Tensor, right: Tensor) -> Tensor:
    do = graph.elementwise
    (a, b), (c, d) = parts(left), parts(right)
    if kind in ("add", "subtract"):
        return complex_of(graph, do(OPS[kind], [a, c]), do(OPS[kind], [b, d]))
    if kind == "divide" and d.part.zero:
        return complex_of(graph, do("Div", [a, c]), do("Div", [b, c]))
    if kind == "divide":  # multiply by the conjugate over the squared magnitude
        square = do("Add", [do("Mul", [c, c]), do("Mul", [d, d])])
        right = complex_of(graph, do("Div", [c, square]), do("Neg", [do("Div", [d, square])]))
    elif kind != "multiply":
        raise UnsupportedError("it takes complex numbers")
    return product(graph, partial(do, "Mul"), left, right)


def product(graph: Graph, times: Callable[[Sequence[Tensor]], Tensor], left: Tensor, right: Tensor) -> Tensor:
    """A product of complex values, given the product of real ones; parts that are constant 0 are left out."""
    do = graph.elementwise
    (a, b), (c, d) = parts(left), parts(right)
    if d.part.zero:
        return complex_of(graph, times([a, c]), times([b, c]))
    if b.part.zero:
        return complex_of(graph, times([a, c]), times([a, d]))
    ac, bd, ad, bc = (times(pair) for pair in ([a, c], [b, d], [a, d], [b, c]))
    return complex_of(graph, do("Sub", [ac, bd]), do("Add", [ad, bc]))


def compare(graph: Graph, direction: str, left: Tensor, right: Tensor) -> Tensor:
    if direction not in ("EQ", "NE"):
        raise UnsupportedError("it orders complex numbers")
    same = [graph.elementwise("Equal", list(pair), np.bool_) for pair in zip(parts(left), parts(right), strict=True)]
    equal = graph.elementwise("And", same)
    return equal if direction == "EQ" else graph.elementwise("Not", [equal])
