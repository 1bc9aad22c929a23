"""Prototype heads in int8, which processors multiply three to four times as fast as float32.

    x @ p  ->  step * scale * ((round(x / step) + zero) @ round(p / scale) - zero * sum(round(p / scale)))

The positions x of each window are rounded to 255 steps from its minimum to its maximum, so that no window's scores
depend on those it shares a batch with; each prototype p to 64 steps either way. Products of 8 and 7 bits cannot
overflow: where a processor adds two of them in 16 bits (AVX2), 2 * 255 * 64 fits, while those of 8 and 8 bits would
overflow silently. So all processors give the same integers, and what the conversion measured holds on all of them.

The maximum over positions is taken of integers, before they are scaled: all positions of a window have one scale.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import onnx_ir as ir

from convert.errors import ConversionError
from convert.passes.edit import insert, new_constant, new_ints
from convert.passes.heads.prototypes import PrototypeHead, find_prototypes
from convert.passes.heads.tiling import TILE_BYTES, max_product, replace_maximum, split

POSITION_STEPS, PROTOTYPE_STEPS = 255, 64


def quantise_prototypes(graph: ir.Graph, tile_bytes: int = TILE_BYTES) -> None:
    """Computes float32 prototype heads from int8 products, tile by tile where they are large.

    Requires inferred shapes and a free batch.

    Raises:
        ConversionError: the graph has no prototype head.
    """
    heads = [head for head in find_prototypes(graph) if head.prototypes.dtype == np.float32]
    if not heads:
        raise ConversionError(
            "the outputs kept have no prototype head for --head int8 to make smaller; convert without --head int8"
        )
    for head in heads:
        replace_maximum(graph, head, _quantised(graph, head, tile_bytes))


def _quantised(graph: ir.Graph, head: PrototypeHead, tile_bytes: int) -> ir.Value:
    """Inserts nodes that compute the head's maximum, `[windows, prototypes]`, from int8 products."""
    largest = np.abs(head.prototypes).max(axis=0)
    scales = np.where(largest > 0, largest, 1) / PROTOTYPE_STEPS
    prototypes = np.round(head.prototypes / scales).astype(np.int8)
    ints = partial(new_ints, graph, "int8/ints")

    def number(value: float) -> ir.Value:
        return new_constant(graph, np.array(value, np.float32), "int8/number")

    def do(op_type: str, *inputs: ir.Value, **attributes: object) -> ir.Value:
        return insert(head.maximum, op_type, inputs, attributes)

    # As DynamicQuantizeLinear does for a whole batch: 0 is always one of the steps.
    flat = do("Flatten", head.data)
    low = do("Min", do("ReduceMin", flat, axes=[1], keepdims=0), number(0))
    high = do("Max", do("ReduceMax", flat, axes=[1], keepdims=0), number(0))
    step = do("Max", do("Div", do("Sub", high, low), number(POSITION_STEPS)), number(1e-20))
    zero = do("Round", do("Neg", do("Div", low, step)))
    zero_point = do("Cast", zero, to=int(ir.DataType.UINT8))
    quantised = do("QuantizeLinear", flat, step, zero_point, axis=0)
    rows = do("Reshape", quantised, ints(-1, len(head.prototypes)))
    product = max_product(graph, head, "MatMulInteger", rows, split(head, prototypes, tile_bytes))
    sums = new_constant(graph, prototypes.sum(axis=0, dtype=np.int64).astype(np.float32), "int8/sums")
    zeros, steps = (do("Unsqueeze", value, ints(1)) for value in (zero, step))
    centred = do("Sub", do("Cast", product, to=int(ir.DataType.FLOAT)), do("Mul", zeros, sums))
    return do("Mul", do("Mul", centred, new_constant(graph, scales.astype(np.float32), "int8/scales")), steps)
