"""Values of which a part is replaced, or combined with another value, at places that are known."""

from __future__ import annotations

import numpy as np

from convert.stablehlo.elementwise import Operation
from convert.stablehlo.gather import starts_inside
from convert.stablehlo.graph import Graph
from convert.stablehlo.products import COMBINED, reducer
from convert.stablehlo.shapes import joined_along, reshaped, sliced
from convert.stablehlo.tensor import Shape, Tensor, UnknownError
from convert.stablehlo.text import Op

MOST_PLACES = 100
"""Of a scatter, that is written out place by place."""


def dynamic_update_slice(graph: Graph, op: Op, operand: Tensor, update: Tensor, *starts: Tensor) -> Tensor:
    return updated(graph, operand, update, starts_inside(starts, operand.shape - update.shape))


def updated(graph: Graph, operand: Tensor, update: Tensor, first: Shape) -> Tensor:
    """A value of which a part, from `first` on (`[probes, axes]`), is another's."""
    axes = np.flatnonzero((update.shape != operand.shape).any(axis=0))
    if not len(axes):
        return update
    axis, ones = int(axes[0]), [1] * operand.rank
    starts, limits = np.zeros_like(operand.shape), operand.shape.copy()
    starts[:, axis], limits[:, axis] = first[:, axis], first[:, axis] + update.shape[:, axis]
    slab = updated(graph, sliced(graph, operand, starts, limits, ones), update, first)
    before, after = operand.shape.copy(), np.zeros_like(operand.shape)
    before[:, axis], after[:, axis] = starts[:, axis], limits[:, axis]
    pieces = [
        sliced(graph, operand, np.zeros_like(before), before, ones),
        slab,
        sliced(graph, operand, after, operand.shape, ones),
    ]
    return joined_along(graph, pieces, axis)


def scatter(graph: Graph, op: Op, operand: Tensor, places: Tensor, updates: Tensor, *others: Tensor) -> Tensor:
    """Slices of `updates` put or added to the operand, one after another; what does not fit inside is left out."""
    if others or op.ints("input_batching_dims", []):
        raise UnknownError("it scatters several values, or in each row of a batch")
    kind = None if _replaces(op) else reducer(op)
    if kind is not None and (kind not in COMBINED or updates.dtype.kind in "bc"):
        raise UnknownError(f"it scatters {updates.dtype} by {kind}")
    vector = op.integer("index_vector_dim", 0)
    if vector == places.rank:
        places = reshaped(graph, places, np.insert(places.shape, vector, 1, axis=1))
    starts = np.moveaxis(places.array(), vector, -1)
    window, inserted = op.ints("update_window_dims", []), op.ints("inserted_window_dims", [])
    if starts[..., 0].size > MOST_PLACES:
        raise UnknownError(f"it scatters to more than {MOST_PLACES} places")
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
            raise UnknownError("whether a place is inside depends on the number of windows in the batch")
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
