"""StableHLO's gather: slices of an array at places that another array holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convert.stablehlo.elementwise import Operation
from convert.stablehlo.graph import Graph, natural
from convert.stablehlo.shapes import _fixed, reshaped, sliced
from convert.stablehlo.tensor import Shape, Tensor, UnknownError, constant_size, known
from convert.stablehlo.text import Op


def gather(graph: Graph, op: Op, operand: Tensor, starts: Tensor) -> Tensor:
    return gathered(graph, op, operand, starts, _fixed(op.ints("slice_sizes")))


def dynamic_gather(graph: Graph, op: Op, operand: Tensor, starts: Tensor, sizes: Tensor) -> Tensor:
    return gathered(graph, op, operand, starts, sizes.sizes())


def gathered(graph: Graph, op: Op, operand: Tensor, starts: Tensor, sizes: Shape) -> Tensor:
    """For each row of `starts` a slice of `sizes`, its axes at `offset_dims` of the result.

    Places outside are pushed inside, as StableHLO does.
    """
    if op.ints("operand_batching_dims", []):
        return _along_batch(graph, op, operand, starts, sizes)
    collapsed, offsets = op.ints("collapsed_slice_dims", []), op.ints("offset_dims", [])
    vector = op.integer("index_vector_dim", 0)
    axes = op.ints("start_index_map")
    if vector == starts.rank:
        starts = reshaped(
            graph, starts, np.concatenate([starts.shape, np.ones((len(starts.shape), 1), np.int64)], axis=1)
        )
    rows = [a for a in range(starts.rank) if a != vector]
    columns = [_column(graph, starts, vector, i) for i in range(len(axes))]
    # Axes that are sliced from their start whatever the row need no gathering.
    fixed = {a: c for a, c in zip(axes, columns, strict=True) if c.known and _same_everywhere(c)}
    first = np.zeros_like(operand.shape)
    for axis, column in fixed.items():
        first[:, axis] = np.clip(
            [int(a.reshape(-1)[0]) for a in _each(column)], 0, operand.shape[:, axis] - sizes[:, axis]
        )
    moving = [(a, c) for a, c in zip(axes, columns, strict=True) if a not in fixed]
    if len(moving) > 1:
        raise UnknownError("it gathers along several axes at once")
    limits = first + sizes
    for axis, _ in moving:
        limits[:, axis] = operand.shape[:, axis]
    operand = sliced(graph, operand, first, limits, [1] * operand.rank)
    shape_of_rows = starts.shape[:, rows]
    if moving:
        ((axis, column),) = moving
        operand = _taken(graph, operand, column, axis, constant_size(sizes[:, axis]))
        order = [*range(axis, axis + len(rows)), *(a if a < axis else a + len(rows) for a in range(sizes.shape[1]))]
    else:
        order = list(range(sizes.shape[1]))
        operand = _spread(operand, shape_of_rows)
        order = [*range(len(rows)), *(a + len(rows) for a in order)]
    # Now rows first, then the slice's axes; those of one element go, and the others move to where they belong.
    turned = _turned(operand, order)
    kept = [a for a in range(sizes.shape[1]) if a not in collapsed]
    final = [0] * (len(rows) + len(kept))
    batch = iter(range(len(rows)))
    inside = iter(range(len(rows), len(rows) + len(kept)))
    for place in range(len(final)):
        final[place] = next(inside) if place in offsets else next(batch)
    squeezed = reshaped(graph, turned, np.concatenate([shape_of_rows, sizes[:, kept]], axis=1))
    return _turned(squeezed, final)


def _each(tensor: Tensor) -> Sequence[np.ndarray]:
    arrays = tensor.arrays()
    return arrays if len(arrays) > 1 else arrays * len(tensor.shape)


def _column(graph: Graph, starts: Tensor, vector: int, index: int) -> Tensor:
    first, last = np.zeros_like(starts.shape), starts.shape.copy()
    first[:, vector], last[:, vector] = index, index + 1
    taken = sliced(graph, starts, first, last, [1] * starts.rank)
    return reshaped(graph, taken, np.delete(taken.shape, vector, axis=1))


def _same_everywhere(column: Tensor) -> bool:
    return all(array.size > 0 and (array == array.reshape(-1)[0]).all() for array in column.arrays())


def _turned(tensor: Tensor, permutation: list[int]) -> Tensor:
    parts = tuple(
        type(part)(part.data, tuple(permutation.index(axis) for axis in part.order), part.sizes)
        for part in tensor.parts
    )
    return Tensor(tensor.shape[:, permutation], tensor.dtype, parts)


def _spread(tensor: Tensor, rows: Shape) -> Tensor:
    """The same slice for every row: new leading axes, held 1 long."""
    count = rows.shape[1]
    parts = tuple(
        type(part)(
            part.data if not part.known else tuple(a.reshape((1,) * count + a.shape) for a in part.data),  # type: ignore[union-attr]
            (*range(count), *(axis + count for axis in part.order)),
            np.concatenate([np.ones_like(rows), part.sizes], axis=1),
        )
        for part in tensor.parts
    )
    return Tensor(np.concatenate([rows, tensor.shape], axis=1), tensor.dtype, parts)


def _taken(graph: Graph, operand: Tensor, starts: Tensor, axis: int, size: int) -> Tensor:
    """Slices along one axis at `starts`: that axis becomes those of `starts`, and one of `size`."""
    most = operand.shape[:, axis] - size
    bounds = [known(*(np.full((1,) * starts.rank, n, starts.dtype) for n in each)) for each in (most * 0, most)]
    inside = graph.elementwise("Min", [graph.elementwise("Max", [starts, bounds[0]]), bounds[1]])
    shape = np.concatenate([inside.shape, np.ones((len(inside.shape), 1), np.int64)], axis=1)
    within = known(np.arange(size, dtype=starts.dtype).reshape((1,) * starts.rank + (-1,)))
    places = graph.elementwise("Add", [reshaped(graph, inside, shape), within])
    operand = graph.whole(operand, [axis])
    parts = []
    for part in operand.parts:
        held = graph.in_order(part, natural(operand.rank))
        data = graph.node("Gather", [held.data, graph.data(places)], axis=axis)
        sizes = np.concatenate([held.sizes[:, :axis], places.shape, held.sizes[:, axis + 1 :]], axis=1)
        parts.append(type(part)(data, natural(sizes.shape[1]), sizes))
    full = np.concatenate([operand.shape[:, :axis], places.shape, operand.shape[:, axis + 1 :]], axis=1)
    return Tensor(full, operand.dtype, tuple(parts))


def _along_batch(graph: Graph, op: Op, operand: Tensor, starts: Tensor, sizes: Shape) -> Tensor:
    """One element from each row of the axes that both share: `take_along_axis`, ONNX's GatherElements."""
    batching = op.ints("operand_batching_dims"), op.ints("start_indices_batching_dims")
    (axis, *more), vector = op.ints("start_index_map"), op.integer("index_vector_dim", 0)
    ones = (sizes == 1).all()
    plain = not more and ones and not op.ints("offset_dims", []) and vector == starts.rank - 1
    column = _column(graph, starts, vector, 0) if plain else starts
    shared = sorted({*range(operand.rank)} - {axis})
    if not plain or batching[0] != shared or batching[1] != shared or column.rank != operand.rank:
        raise UnknownError("it gathers from each row of a batch otherwise than one axis at a time")
    bounds = [
        known(np.full((1,) * column.rank, n, column.dtype)) for n in (0, constant_size(operand.shape[:, axis]) - 1)
    ]
    inside = graph.elementwise("Min", [graph.elementwise("Max", [column, bounds[0]]), bounds[1]])
    data = graph.node("GatherElements", [graph.data(operand), graph.data(inside)], axis=axis)
    return graph.made(data, inside.shape, operand.dtype)


OPERATIONS: dict[str, Operation] = {"dynamic_gather": dynamic_gather, "gather": gather}
