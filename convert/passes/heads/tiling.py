"""Prototype heads computed tile by tile, so that their products stay small.

    max over positions of x @ prototypes
    ->  for each tile of windows (a Loop), for each tile of prototypes:
            max over positions of x[windows] @ prototypes[:, tile]

All products of Perch v2's head are 15 MB a window, of which 0.2 MB are kept. A tile has four windows: their 256
positions use each weight that is read as well as more would (the 64 of one window are a tenth slower). It has some of
the prototypes, so that its products are still in a processor's cache when their maximum is taken.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from convert.passes.edit import Array, insert, new_constant, replace
from convert.passes.heads.prototypes import PrototypeHead, find_prototypes

TILE_WINDOWS = 4
TILE_BYTES = 2**23
"""Approximate size of a tile's products."""
POSITIONS_AT_ONCE = 16
"""The maximum is taken over so many positions at a time, then over the results: ONNX Runtime is slow to reduce all
positions of a window at once."""
Similarity = Callable[[ir.Node, ir.Value], ir.Value]
"""Inserts nodes before another that compute `[windows, prototypes]` of `[windows, *positions, features]`."""


def tile_prototypes(graph: ir.Graph, tile_bytes: int = TILE_BYTES) -> None:
    """Computes prototype heads tile by tile, where the products of `TILE_WINDOWS` windows are larger than a tile.

    Requires inferred shapes and a free batch. It has to be the last pass, since no pass looks into a Loop.
    """
    for head in find_prototypes(graph):
        count = tile_count(head, tile_bytes)
        if count > 1:

            def similarity(before: ir.Node, data: ir.Value, head: PrototypeHead = head, count: int = count) -> ir.Value:
                rows = insert(before, "Reshape", [data, _ints(graph, -1, len(head.prototypes))])
                tiles = np.array_split(head.prototypes, count, axis=1)
                return max_product(graph, before, "MatMul", rows, tiles, head)

            insert_loop(graph, head, similarity)


def tile_count(head: PrototypeHead, tile_bytes: int = TILE_BYTES) -> int:
    """Into how many tiles the prototypes are split; 1 if the products of `TILE_WINDOWS` windows fit in one."""
    return -(-TILE_WINDOWS * head.positions * head.prototypes.shape[1] * 4 // tile_bytes)


def max_product(
    graph: ir.Graph, before: ir.Node, op_type: str, rows: ir.Value, tiles: list[Array], head: PrototypeHead
) -> ir.Value:
    """The maximum over positions of `rows @ prototypes`: `[windows, prototypes]`.

    `rows` are `[windows * positions, features]`; the `tiles` of prototypes, each `[features, n]`, are multiplied one
    after the other by the op, MatMul or MatMulInteger.
    """
    step = max(n for n in range(1, POSITIONS_AT_ONCE + 1) if head.positions % n == 0)
    maxima = []
    for tile in tiles:
        result = insert(before, op_type, [rows, new_constant(graph, tile, "prototypes/tile")])
        for positions in (step, head.positions // step):
            grouped = insert(before, "Reshape", [result, _ints(graph, -1, positions, tile.shape[1])])
            result = insert(before, "ReduceMax", [grouped], {"axes": [1], "keepdims": 0})
        maxima.append(result)
    return insert(before, "Concat", maxima, {"axis": 1}) if len(maxima) > 1 else maxima[0]


def insert_at_once(graph: ir.Graph, head: PrototypeHead, similarity: Similarity) -> None:
    """Computes the head for all windows of a batch together."""
    _replace_maximum(graph, head, similarity(head.maximum, head.data))


def insert_loop(graph: ir.Graph, head: PrototypeHead, similarity: Similarity) -> None:
    """Computes the head for `TILE_WINDOWS` windows at a time, in a Loop; the last round may have fewer."""
    name, width = head.maximum.name, head.prototypes.shape[1]
    kind = ir.TensorType(head.maximum.outputs[0].dtype or ir.DataType.FLOAT)

    def value(what: str, kind: ir.TensorType, *shape: int | str) -> ir.Value:
        return ir.val(f"{name}/{what}", type=kind, shape=ir.Shape(shape))

    boolean = ir.TensorType(ir.DataType.BOOL)
    index, condition = value("index", ir.TensorType(ir.DataType.INT64)), value("condition", boolean)
    done = value("done", kind, f"{name}/before", width)
    next_condition = ir.node("Identity", [condition])
    body = ir.Graph([index, condition, done], next_condition.outputs, nodes=[next_condition], name=f"{name}/body")
    first = insert(next_condition, "Mul", [index, _ints(graph, TILE_WINDOWS)])
    last = insert(next_condition, "Add", [first, _ints(graph, TILE_WINDOWS)])
    windows = insert(next_condition, "Slice", [head.data, first, last, _ints(graph, 0)])
    body.outputs.append(insert(next_condition, "Concat", [done, similarity(next_condition, windows)], {"axis": 0}))
    for i, node in enumerate(body):
        node.name = f"{name}/{node.op_type}_{i}"
        node.outputs[0].name = f"{node.name}:0"
    next_condition.outputs[0].type, next_condition.outputs[0].shape = boolean, ir.Shape([])
    body.outputs[1].type, body.outputs[1].shape = kind, ir.Shape([f"{name}/after", width])

    before = head.maximum
    count = insert(before, "Shape", [head.data], {"start": 0, "end": 1})
    rounded_up = insert(before, "Add", [count, _ints(graph, TILE_WINDOWS - 1)])
    rounds = insert(before, "Squeeze", [insert(before, "Div", [rounded_up, _ints(graph, TILE_WINDOWS)])])
    no_rows = new_constant(graph, np.zeros((0, width), kind.dtype.numpy()), "prototypes/no_rows")
    _replace_maximum(graph, head, insert(before, "Loop", [rounds, None, no_rows], {"body": body}))


def _replace_maximum(graph: ir.Graph, head: PrototypeHead, result: ir.Value) -> None:
    old = head.maximum.outputs[0]
    reshaped = insert(head.maximum, "Reshape", [result, _ints(graph, -1, *head.layout)])
    reshaped.shape, reshaped.type = old.shape, old.type
    replace(old, reshaped)


def _ints(graph: ir.Graph, *values: int) -> ir.Value:
    return new_constant(graph, np.array(values, np.int64), "prototypes/ints")
