"""Updates of a part of a value at constant indices: replaced, or combined with another value."""

from __future__ import annotations

import numpy as np

from convert.stablehlo.elementwise import Operation
from convert.stablehlo.gather import starts_inside
from convert.stablehlo.graph import Graph
from convert.stablehlo.products import COMBINED, reducer
from convert.stablehlo.shapes import concatenated, reshaped, sliced
from convert.stablehlo.tensor import Shape, Tensor, UnsupportedError
from convert.stablehlo.text import Op

MOST_UPDATES = 100
"""The most slices of a scatter, which is unrolled."""


def dynamic_update_slice(graph: Graph, op: Op, operand: Tensor, update: Tensor, *starts: Tensor) -> Tensor:
    return updated(graph, operand, update, starts_inside(starts, operand.shape - update.shape))


def updated(graph: Graph, operand: Tensor, update: Tensor, first: Shape) -> Tensor:
    """A value with the part that starts at `first`, `[probes, axes]`, replaced."""
    axes = np.flatnonzero((update.shape != operand.shape).any(axis=0))
    if not len(axes):
        return update
    axis, ones = int(axes[0]), [1] * operand.rank
    starts, limits = np.zeros_like(operand.shape), operand.shape.copy()
    starts[:, axis], limits[:, axis] = first[:, axis], first[:, axis] + update.shape[:, axis]
    block = updated(graph, sliced(graph, operand, starts, limits, ones), update, first)
    before, after = operand.shape.copy(), np.zeros_like(operand.shape)
    before[:, axis], after[:, axis] = starts[:, axis], limits[:, axis]
    pieces = [
        sliced(graph, operand, np.zeros_like(before), before, ones),
        block,
        sliced(graph, operand, after, operand.shape, ones),
    ]
    return concatenated(graph, pieces, axis)


def scatter(graph: Graph, op: Op, operand: Tensor, places: Tensor, updates: Tensor, *others: Tensor) -> Tensor:
    """Slices of `updates` written to the operand, or combined with it, one by one; those not inside are skipped."""
    if others or op.ints("input_batching_dims", []):
        raise UnsupportedError("it scatters several values, or along batching axes")
    kind = None if _replaces(op) else reducer(op)
    if kind is not None and (kind not in COMBINED or updates.dtype.kind in "bc"):
        raise UnsupportedError(f"it scatters {updates.dtype} by {kind}")
    vector = op.integer("index_vector_dim", 0)
    if vector == places.rank:
        places = reshaped(graph, places, np.insert(places.shape, vector, 1, axis=1))
    starts = np.moveaxis(places.array(), vector, -1)
    window, inserted = op.ints("update_window_dims", []), op.ints("inserted_window_dims", [])
    if starts[..., 0].size > MOST_UPDATES:
        raise UnsupportedError(f"it scatters more than {MOST_UPDATES} slices")
    kept = [a for a in range(operand.rank) if a not in inserted]
    size = np.ones_like(operand.shape)
    size[:, kept] = updates.shape[:, window]
    rows = [a for a in range(updates.rank) if a not in window]
    ones = [1] * updates.rank
    for place in np.ndindex(starts.shape[:-1]):
        first = np.zeros_like(operand.shape)
        first[:, op.ints("scatter_dims_to_operand_dims")] = starts[place]
        if (first < 0).any() or (first + size > operand.shape).any(axis=1).all():
            continue
        if (first + size > operand.shape).any():
            raise UnsupportedError("whether a slice is inside depends on the number of windows in the batch")
        low, high = np.zeros_like(updates.shape), updates.shape.copy()
        low[:, rows], high[:, rows] = place, np.array(place, np.int64) + 1
        update = reshaped(graph, sliced(graph, updates, low, high, ones), size)
        if kind is not None:
            before = sliced(graph, operand, first, first + size, [1] * operand.rank)
            update = graph.elementwise(COMBINED[kind], [before, update])
        operand = updated(graph, operand, update, first)
    return operand


def _replaces(op: Op) -> bool:
    (region,) = op.regions
    return len(region.ops) == 1 and region.ops[0].operands == region.arguments[1:]


OPERATIONS: dict[str, Operation] = {"dynamic_update_slice": dynamic_update_slice, "scatter": scatter}
