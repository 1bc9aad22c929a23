"""Prototypes compared with a few windows at a time, so that their products never fill more than a slab of memory.

All products of Perch v2's head are 15 MB a window, of which 0.2 MB are kept. A Loop takes four windows at a time: their
256 places make as good use of each weight that is read as more would (the 64 of one window are a tenth slower). It
takes the prototypes in a few pieces, so that products are still near the processor when their greatest is looked for.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from convert.passes.edit import Array, insert, new_constant, replace
from convert.passes.heads.prototypes import Prototypes, find_prototypes

GROUP = 4
"""Windows compared at once."""
SLAB = 2**23
"""Bytes of products that are held at once, about."""
STEP = 16
"""Places of which the greatest is found first: ONNX Runtime is slow to reduce all of a single window in one step."""
Compare = Callable[[ir.Node, ir.Value], ir.Value]
"""Puts nodes before another: `[windows, *places, features]` to `[windows, prototypes]`."""


def bound_slab(graph: ir.Graph, most: int = SLAB) -> None:
    """Computes heads of prototypes in groups of windows, where the products of a group are larger than a slab.

    Shapes must have been inferred, and the batch be free. No pass looks into a Loop: this has to be the last.
    """
    for found in find_prototypes(graph):
        count = pieces(found, most)
        if count > 1:

            def compare(before: ir.Node, windows: ir.Value, found: Prototypes = found, count: int = count) -> ir.Value:
                rows = insert(before, "Reshape", [windows, _ints(graph, -1, len(found.weights))])
                return greatest(graph, before, "MatMul", rows, np.array_split(found.weights, count, axis=1), found)

            in_groups(graph, found, compare)


def pieces(found: Prototypes, most: int = SLAB) -> int:
    """In how many pieces a group's products fit a slab; one means that no group is needed."""
    return -(-GROUP * found.places * found.weights.shape[1] * 4 // most)


def greatest(
    graph: ir.Graph, before: ir.Node, product: str, rows: ir.Value, parts: list[Array], found: Prototypes
) -> ir.Value:
    """The greatest product of each prototype with the rows of each window: `[windows, prototypes]`.

    `parts` of the prototypes, `[features, n]` each, are multiplied one after the other by the op that is named.
    """
    step = max(n for n in range(1, STEP + 1) if found.places % n == 0)
    results = []
    for part in parts:
        result = insert(before, product, [rows, new_constant(graph, part, "prototypes/part")])
        for places in (step, found.places // step):
            grouped = insert(before, "Reshape", [result, _ints(graph, -1, places, part.shape[1])])
            result = insert(before, "ReduceMax", [grouped], {"axes": [1], "keepdims": 0})
        results.append(result)
    return insert(before, "Concat", results, {"axis": 1}) if len(results) > 1 else results[0]


def at_once(graph: ir.Graph, found: Prototypes, compare: Compare) -> None:
    """Compares all windows of a batch together."""
    _lay_out(graph, found, compare(found.greatest, _windows(found)))


def in_groups(graph: ir.Graph, found: Prototypes, compare: Compare) -> None:
    """Compares so many windows of a batch at a time, in a Loop; the last group may be smaller."""
    windows, name = _windows(found), found.greatest.name
    kind, width = ir.TensorType(found.greatest.outputs[0].dtype or ir.DataType.FLOAT), found.weights.shape[1]

    def value(what: str, kind: ir.TensorType, *shape: int | str) -> ir.Value:
        return ir.val(f"{name}/{what}", type=kind, shape=ir.Shape(shape))

    truth = ir.TensorType(ir.DataType.BOOL)
    number, go_on = value("group", ir.TensorType(ir.DataType.INT64)), value("go_on", truth)
    done = value("done", kind, f"{name}/before", width)
    keep = ir.node("Identity", [go_on])
    body = ir.Graph([number, go_on, done], keep.outputs, nodes=[keep], name=f"{name}/groups")
    first = insert(keep, "Mul", [number, _ints(graph, GROUP)])
    last = insert(keep, "Add", [first, _ints(graph, GROUP)])
    group = insert(keep, "Slice", [windows, first, last, _ints(graph, 0)])
    body.outputs.append(insert(keep, "Concat", [done, compare(keep, group)], {"axis": 0}))
    for i, node in enumerate(body):
        node.name = f"{name}/{node.op_type}_{i}"
        node.outputs[0].name = f"{node.name}:0"
    keep.outputs[0].type, keep.outputs[0].shape = truth, ir.Shape([])
    body.outputs[1].type, body.outputs[1].shape = kind, ir.Shape([f"{name}/after", width])

    before = found.greatest
    count = insert(before, "Shape", [windows], {"start": 0, "end": 1})
    rounded_up = insert(before, "Add", [count, _ints(graph, GROUP - 1)])
    groups = insert(before, "Squeeze", [insert(before, "Div", [rounded_up, _ints(graph, GROUP)])])
    none = new_constant(graph, np.zeros((0, width), kind.dtype.numpy()), "prototypes/none")
    _lay_out(graph, found, insert(before, "Loop", [groups, None, none], {"body": body}))


def _windows(found: Prototypes) -> ir.Value:
    windows = found.product.inputs[0]
    assert windows is not None
    return windows


def _lay_out(graph: ir.Graph, found: Prototypes, result: ir.Value) -> None:
    old = found.greatest.outputs[0]
    laid_out = insert(found.greatest, "Reshape", [result, _ints(graph, -1, *found.layout)])
    laid_out.shape, laid_out.type = old.shape, old.type
    replace(old, laid_out)


def _ints(graph: ir.Graph, *values: int) -> ir.Value:
    return new_constant(graph, np.array(values, np.int64), "prototypes/ints")
