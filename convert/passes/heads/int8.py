"""The products of a head of prototypes in int8, which processors multiply three to four times as fast as float32.

Places are rounded to 255 steps from the least to the greatest value of their window, so that no window's scores depend
on those it shares a batch with; each prototype to 64 steps either way. An int8 product of 8 and 7 bits fits: where a
processor adds two of them in 16 bits (AVX2), 2 * 255 * 64 does not overflow, as with 8 and 8 bits it would, silently.
So all processors give the same whole numbers, and what was measured at conversion holds on all of them.

The greatest of whole numbers is found before they are scaled, since one scale holds for all places of a window.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from convert.errors import ConversionError
from convert.passes.edit import insert, new_constant
from convert.passes.heads.prototypes import Prototypes, find_prototypes
from convert.passes.heads.tiling import SLAB, at_once, greatest, in_groups, pieces

PLACE_STEPS, PROTOTYPE_STEPS = 255, 64


def quantise_prototypes(graph: ir.Graph, most: int = SLAB) -> None:
    """Computes heads of prototypes from int8 products, a slab at a time.

    Shapes must have been inferred, and the batch be free. No pass looks into a Loop: this has to be the last.

    Raises:
        ConversionError: the graph has no head of prototypes.
    """
    heads = [found for found in find_prototypes(graph) if found.weights.dtype == np.float32]
    if not heads:
        raise ConversionError(
            "the outputs kept have no head of prototypes for --head int8 to make smaller; convert without it"
        )
    for found in heads:
        count = pieces(found, most)
        compare = _Compare(graph, found, count)
        (in_groups if count > 1 else at_once)(graph, found, compare)


class _Compare:
    """What `in_groups` asks for, in whole numbers."""

    def __init__(self, graph: ir.Graph, found: Prototypes, count: int) -> None:
        self._graph, self._found = graph, found
        largest = np.abs(found.weights).max(axis=0)
        scales = np.where(largest > 0, largest, 1) / PROTOTYPE_STEPS
        whole = np.round(found.weights / scales).astype(np.int8)
        self._parts = np.array_split(whole, count, axis=1)
        self._scales = scales.astype(np.float32)
        self._sums = whole.sum(axis=0, dtype=np.int64).astype(np.float32)

    def __call__(self, before: ir.Node, windows: ir.Value) -> ir.Value:
        def number(value: float) -> ir.Value:
            return new_constant(self._graph, np.array(value, np.float32), "int8/number")

        def ints(*values: int) -> ir.Value:
            return new_constant(self._graph, np.array(values, np.int64), "int8/ints")

        def do(op_type: str, *inputs: ir.Value, **attributes: object) -> ir.Value:
            return insert(before, op_type, inputs, attributes)

        # As DynamicQuantizeLinear does for a whole batch: 0 is always one of the steps.
        flat = do("Flatten", windows)
        least = do("Min", do("ReduceMin", flat, axes=[1], keepdims=0), number(0))
        most = do("Max", do("ReduceMax", flat, axes=[1], keepdims=0), number(0))
        step = do("Max", do("Div", do("Sub", most, least), number(PLACE_STEPS)), number(1e-20))
        zero = do("Round", do("Neg", do("Div", least, step)))
        zero_step = do("Cast", zero, to=int(ir.DataType.UINT8))
        rows = do("Reshape", do("QuantizeLinear", flat, step, zero_step, axis=0), ints(-1, len(self._found.weights)))
        whole = greatest(self._graph, before, "MatMulInteger", rows, self._parts, self._found)
        # sum of step * (place - zero) * scale * prototype
        scales = new_constant(self._graph, self._scales, "int8/scales")
        sums = new_constant(self._graph, self._sums, "int8/sums")
        zeros, steps = (do("Unsqueeze", value, ints(1)) for value in (zero, step))
        centred = do("Sub", do("Cast", whole, to=int(ir.DataType.FLOAT)), do("Mul", zeros, sums))
        return do("Mul", do("Mul", centred, scales), steps)
