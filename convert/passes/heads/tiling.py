"""Prototype heads computed tile by tile, so that their products stay small.

    max over positions of x @ prototypes
    ->  for each tile of prototypes: max over positions of x @ prototypes[:, tile]

All products of Perch v2's head are 15 MB a window, of which 0.2 MB are kept. A tile has so few prototypes that its
products are still in a processor's cache when their maximum is taken, and that a batch needs little memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from convert.passes.edit import Array, insert, new_constant, new_ints, replace
from convert.passes.heads.prototypes import PrototypeHead, find_prototypes

INTS = "prototypes/ints"
TILE_BYTES = 2**19
"""Approximate size of a tile's products, for one window."""
POSITIONS_AT_ONCE = 16
"""The maximum is taken over so many positions at a time, then over the results: ONNX Runtime is slow to reduce all
positions of a window at once."""


def tile_prototypes(graph: ir.Graph, tile_bytes: int = TILE_BYTES) -> None:
    """Computes prototype heads tile by tile, where their products are larger than a tile.

    Requires inferred shapes and a free batch.
    """
    for head in find_prototypes(graph):
        tiles = split(head, head.prototypes, tile_bytes)
        if len(tiles) > 1:
            rows = insert(head.maximum, "Reshape", [head.data, new_ints(graph, INTS, -1, len(head.prototypes))])
            replace_maximum(graph, head, max_product(graph, head, "MatMul", rows, tiles))


def split(head: PrototypeHead, prototypes: Array, tile_bytes: int = TILE_BYTES) -> list[Array]:
    """The prototypes, `[features, prototypes]`, in tiles; one if the products of a window fit in it."""
    count = -(-head.positions * prototypes.shape[1] * 4 // tile_bytes)
    return np.array_split(prototypes, count, axis=1)


def max_product(graph: ir.Graph, head: PrototypeHead, op_type: str, rows: ir.Value, tiles: Sequence[Array]) -> ir.Value:
    """The maximum over positions of `rows @ prototypes`: `[windows, prototypes]`.

    `rows` are `[windows * positions, features]`; the `tiles` of prototypes, each `[features, n]`, are multiplied one
    after the other by the op, MatMul or MatMulInteger.
    """
    before = head.maximum
    step = max(n for n in range(1, POSITIONS_AT_ONCE + 1) if head.positions % n == 0)
    maxima = []
    for tile in tiles:
        result = insert(before, op_type, [rows, new_constant(graph, tile, "prototypes/tile")])
        for positions in (step, head.positions // step):
            grouped = insert(before, "Reshape", [result, new_ints(graph, INTS, -1, positions, tile.shape[1])])
            result = insert(before, "ReduceMax", [grouped], {"axes": [1], "keepdims": 0})
        maxima.append(result)
    return insert(before, "Concat", maxima, {"axis": 1}) if len(maxima) > 1 else maxima[0]


def replace_maximum(graph: ir.Graph, head: PrototypeHead, result: ir.Value) -> None:
    """Lets the graph go on with another result, `[windows, prototypes]`, in place of the head's maximum."""
    old = head.maximum.outputs[0]
    reshaped = insert(head.maximum, "Reshape", [result, new_ints(graph, INTS, -1, *head.layout)])
    reshaped.shape, reshaped.type = old.shape, old.type
    replace(old, reshaped)
