"""Integer arithmetic as XLA defines it, where ONNX leaves the result undefined or ONNX Runtime crashes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from convert.passes.edit import Array
from convert.stablehlo.graph import Graph
from convert.stablehlo.tensor import Tensor, UnsupportedError, constant, number

MOST_EXPONENT = 64
"""The greatest exponent of integers: powers are written out as products."""


def quotient(graph: Graph, left: Tensor, right: Tensor, op_type: str) -> Tensor:
    """Div or Mod of integers, also where ONNX Runtime would crash by a trap of the processor.

    A quotient by 0 is -1, and a remainder by 0 the dividend. The least integer by -1 is itself, with remainder 0.
    """
    do = graph.elementwise
    zero, one, least = number(0, left), number(1, left), number(-1 if left.dtype.kind == "i" else 0, left)
    divisors = right.arrays() if right.is_constant else ()
    if divisors and not any(np.isin(array, [0, -1]).any() for array in divisors):
        return _divided(graph, left, right, op_type)
    by_zero = do("Equal", [right, zero], np.bool_)
    by_minus_one = do("Equal", [right, least], np.bool_) if left.dtype.kind == "i" else by_zero
    safe = do("Where", [do("Or", [by_zero, by_minus_one]), one, right], left.dtype)
    result = _divided(graph, left, safe, op_type)
    turned, without = (do("Sub", [zero, left]), number(-1, left)) if op_type == "Div" else (zero, left)
    if left.dtype.kind == "i":
        result = do("Where", [by_minus_one, turned, result], left.dtype)
    return do("Where", [by_zero, without, result], left.dtype)


def _divided(graph: Graph, left: Tensor, right: Tensor, op_type: str) -> Tensor:
    if op_type == "Div":
        return graph.elementwise("Div", [left, right])
    if left.dtype.itemsize < 8:
        return graph.elementwise("Mod", [left, right], fmod=1)
    times = graph.elementwise("Mul", [graph.elementwise("Div", [left, right]), right])
    return graph.elementwise("Sub", [left, times])  # ONNX Runtime's Mod computes in floats


def from_float(graph: Graph, operand: Tensor, dtype: np.dtype) -> Tensor:
    """Floats as integers, truncated: NaN becomes 0, and values out of range the least or greatest integer.

    ONNX leaves these cases undefined, and a processor's instruction sets differ in them.
    """
    do = graph.elementwise
    if operand.dtype == np.float16:
        operand = graph.cast(operand, np.float32)
    limits = np.iinfo(dtype)
    is_nan = do("Not", [do("Equal", [operand, operand], np.bool_)])
    inside = do("Where", [is_nan, number(0, operand), operand], operand.dtype)
    inside = do("Max", [inside, number(limits.min, operand)])
    ceiling = np.array(limits.max, operand.dtype)
    if int(ceiling) <= limits.max:  # the greatest integer is exact in this float type
        return graph.cast(do("Min", [inside, number(limits.max, operand)]), dtype)
    below = number(float(np.nextafter(ceiling, 0)), operand)
    cut = graph.cast(do("Min", [inside, below]), dtype)
    greatest = constant(np.full((1,) * operand.rank, limits.max, dtype))
    return do("Where", [do("Greater", [inside, below], np.bool_), greatest, cut], dtype)


def power(graph: Graph, base: Tensor, exponent: Tensor) -> Tensor:
    """An integer to the power of one constant number, up to `MOST_EXPONENT`."""
    numbers = (
        {int(number) for array in exponent.arrays() for number in np.unique(array)} if exponent.is_constant else set()
    )
    if len(numbers) != 1 or not 0 <= (times := numbers.pop()) <= MOST_EXPONENT:
        raise UnsupportedError(f"it raises integers to powers other than one number from 0 to {MOST_EXPONENT}")
    result = number(1, base)
    for _ in range(times):
        result = graph.elementwise("Mul", [result, base])
    return Tensor(base.shape, base.dtype, result.parts)


def shifted(shift: Callable[..., Array], kind: str, array: Array, by: Array) -> Array:
    """Shifts integers as signed ("i") or unsigned ("u"); shifts by their width or more leave no bits."""
    bits, places = array.view(f"{kind}{array.itemsize}"), by.view(f"u{by.itemsize}")
    width = 8 * array.itemsize
    inside = shift(bits, np.minimum(places, width - 1).astype(bits.dtype))
    beyond = bits * 0 if kind == "u" else inside
    return np.where(places < width, inside, beyond).view(array.dtype)
