"""Gathers: slices of an array at indices that another array holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from convert.stablehlo.elementwise import Operation
from convert.stablehlo.graph import Graph, natural
from convert.stablehlo.shapes import broadcast, concatenated, fixed, reshaped, sliced, transposed
from convert.stablehlo.tensor import PROBES, Shape, Tensor, View, constant, constant_size, sizes_of
from convert.stablehlo.text import Op


def gather(graph: Graph, op: Op, operand: Tensor, starts: Tensor) -> Tensor:
    return gather_slices(graph, op, operand, starts, fixed(op.ints("slice_sizes")))


def dynamic_gather(graph: Graph, op: Op, operand: Tensor, starts: Tensor, sizes: Tensor) -> Tensor:
    return gather_slices(graph, op, operand, starts, sizes.sizes())


def dynamic_slice(graph: Graph, op: Op, operand: Tensor, *starts: Tensor) -> Tensor:
    sizes = fixed(op.ints("sizes"))
    for axis, start in enumerate(starts):
        if not start.is_constant and (sizes[:, axis] != operand.shape[:, axis]).any():
            operand = _gather_along(graph, operand, start, axis, constant_size(sizes[:, axis]))
    # Axes that were gathered already have the length of the slice.
    first = starts_inside(
        [start if start.is_constant else constant(np.array(0)) for start in starts], operand.shape - sizes
    )
    return sliced(graph, operand, first, first + sizes, [1] * operand.rank)


def starts_inside(starts: Sequence[Tensor], most: Shape) -> Shape:
    """Constant starts, clamped so that slices fit inside, as StableHLO does it: `[probes, axes]`."""
    columns = [sizes_of(start.arrays()) for start in starts]
    return np.clip(np.stack(columns, axis=1).reshape(len(PROBES), -1), 0, most)


def gather_slices(graph: Graph, op: Op, operand: Tensor, starts: Tensor, sizes: Shape) -> Tensor:
    """For each row of `starts` a slice of `sizes`, whose axes are `offset_dims` of the result.

    Starts are clamped so that slices fit inside, as StableHLO does it.
    """
    shared = op.ints("operand_batching_dims", []), op.ints("start_indices_batching_dims", [])
    offsets, axes, vector = op.ints("offset_dims", []), op.ints("start_index_map"), op.integer("index_vector_dim", 0)
    kept = [a for a in range(operand.rank) if a not in op.ints("collapsed_slice_dims", []) + shared[0]]
    if vector == starts.rank:
        starts = reshaped(graph, starts, np.insert(starts.shape, vector, 1, axis=1))
    shape_of_rows = np.delete(starts.shape, vector, axis=1)
    rows = shape_of_rows.shape[1]
    columns = {axis: _column(graph, starts, vector, i) for i, axis in enumerate(axes)}
    # Axes that have the same start for all rows are sliced instead.
    first = np.zeros_like(operand.shape)
    for axis, column in list(columns.items()):
        if column.is_constant and not shared[0] and _same_everywhere(column):
            places = [int(array.reshape(-1)[0]) for array in _each(columns.pop(axis))]
            first[:, axis] = np.clip(places, 0, operand.shape[:, axis] - sizes[:, axis])
    limits = first + sizes
    for axis in [*columns, *shared[0]]:
        limits[:, axis] = operand.shape[:, axis]
    operand = sliced(graph, operand, first, limits, [1] * operand.rank)
    if len(columns) == 1 and not shared[0]:
        ((axis, column),) = columns.items()
        operand = _gather_along(graph, operand, column, axis, constant_size(sizes[:, axis]))
        order = [*range(axis, axis + rows), *(a if a < axis else a + rows for a in range(sizes.shape[1]))]
        operand = transposed(operand, order)
    elif columns:
        operand = _gather_nd(graph, operand, columns, shared, sizes)
    else:
        shape = np.concatenate([shape_of_rows, operand.shape], axis=1)
        operand = broadcast(graph, operand, range(rows, shape.shape[1]), shape)
    # Rows first, then the slice's axes: collapsed ones are removed, and the others moved to `offset_dims`.
    flat = reshaped(graph, operand, np.concatenate([shape_of_rows, sizes[:, kept]], axis=1))
    batch, inside = iter(range(rows)), iter(range(rows, rows + len(kept)))
    return transposed(flat, [next(inside) if place in offsets else next(batch) for place in range(rows + len(kept))])


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


def _inside(graph: Graph, starts: Tensor, most: NDArray[np.int64]) -> Tensor:
    """Indices of a type that ONNX takes, clamped to 0 and `most`, `[probes]`."""
    if starts.dtype != np.int32:
        starts = graph.cast(starts, np.int64)
    low, high = (constant(*(np.full((1,) * starts.rank, n, starts.dtype) for n in each)) for each in (most * 0, most))
    return graph.elementwise("Min", [graph.elementwise("Max", [starts, low]), high])


def _gather_along(graph: Graph, operand: Tensor, starts: Tensor, axis: int, size: int) -> Tensor:
    """Slices of `size` along one axis at `starts`: the axis becomes those of `starts`, then one of `size`."""
    inside = _inside(graph, starts, operand.shape[:, axis] - size)
    shape = np.concatenate([inside.shape, np.ones((len(inside.shape), 1), np.int64)], axis=1)
    within = constant(np.arange(size, dtype=inside.dtype).reshape((1,) * starts.rank + (-1,)))
    places = graph.elementwise("Add", [reshaped(graph, inside, shape), within])
    operand = graph.expanded(operand, [axis])
    parts = []
    for part in operand.parts:
        view = graph.in_order(part, natural(operand.rank))
        data = graph.node("Gather", [view.data, graph.data(places)], axis=axis)
        sizes = np.concatenate([view.sizes[:, :axis], places.shape, view.sizes[:, axis + 1 :]], axis=1)
        parts.append(View(data, natural(sizes.shape[1]), sizes))
    full = np.concatenate([operand.shape[:, :axis], places.shape, operand.shape[:, axis + 1 :]], axis=1)
    return Tensor(full, operand.dtype, tuple(parts))


def _gather_nd(
    graph: Graph, operand: Tensor, columns: Mapping[int, Tensor], shared: tuple[list[int], list[int]], sizes: Shape
) -> Tensor:
    """Slices along several axes, or with batching axes (`shared`): the rows' axes, then the slice's."""
    rows = next(iter(columns.values())).rank
    rest = [a for a in range(operand.rank) if a not in columns and a not in shared[0]]
    count = rows + len(columns)
    places = []
    for i, (axis, column) in enumerate(columns.items()):
        inside = _inside(graph, column, operand.shape[:, axis] - sizes[:, axis])
        widened = reshaped(
            graph, inside, np.concatenate([inside.shape, np.ones_like(sizes[:, : len(columns)])], axis=1)
        )
        along = np.where(np.arange(count) == rows + i, -1, 1)
        within = constant(np.arange(constant_size(sizes[:, axis]), dtype=inside.dtype).reshape(along))
        places.append(graph.elementwise("Add", [widened, within]))
    shape = np.max([place.shape for place in places], axis=0)
    own = [a for a in range(rows) if a not in shared[1]]
    order = [*shared[1], *own, *range(rows, count)]
    indices = concatenated(
        graph,
        [
            reshaped(
                graph, transposed(Tensor(shape, p.dtype, p.parts), order), np.insert(shape[:, order], count, 1, axis=1)
            )
            for p in places
        ],
        count,
    )
    wide = graph.node("Cast", [graph.data(indices)], to=int(ir.DataType.INT64))
    made = np.concatenate([shape[:, order], operand.shape[:, rest]], axis=1)
    # From the order of GatherND's axes to rows in their own order, then the slice's axes in theirs.
    axes = [*shared[1], *own, *(rows + a for a in (*columns, *rest))]
    places_of = [axes.index(a) if a in axes else -1 for a in range(rows + sizes.shape[1])]
    parts = []
    for part in graph.expanded(operand).parts:
        view = graph.in_order(part, (*shared[0], *columns, *rest))
        data = graph.node("GatherND", [view.data, wide], batch_dims=len(shared[0]))
        parts.append(View(data, natural(made.shape[1]), made))
    result = Tensor(made, operand.dtype, tuple(parts))
    result = transposed(result, [place for place in places_of if place >= 0])
    full = np.concatenate([shape[:, :rows], sizes], axis=1)
    return reshaped(graph, result, full)


OPERATIONS: dict[str, Operation] = {
    "dynamic_gather": dynamic_gather,
    "dynamic_slice": dynamic_slice,
    "gather": gather,
}
