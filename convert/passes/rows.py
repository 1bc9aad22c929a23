"""Which nodes compute each row by itself, a row being what one index along the first axis selects.

Rows are windows: a pass that changes how many of them a graph takes follows them from node to node, and goes on only
where every node treats them one by one.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from math import prod

import numpy as np
import onnx_ir as ir

from convert.passes.edit import Array, attribute, constant, sliced_axes

ELEMENTWISE = frozenset({
    "Abs", "Add", "Cast", "Clip", "Div", "Erf", "Exp", "Identity", "Log", "Max", "Min", "Mul", "Neg", "Pow",
    "Reciprocal", "Relu", "Sigmoid", "Softplus", "Sqrt", "Sub", "Tanh",
})  # fmt: skip


def is_row_wise(node: ir.Node, rows: Container[ir.Value | None]) -> bool:
    """Whether row i of each output comes from row i of the inputs in `rows` alone, however many rows there are.

    At least one input must be in `rows`, and the others must be constants. False where it cannot be shown.
    """
    operands = [value for value in node.inputs if value is not None]
    if not operands or any(value not in rows and constant(value) is None for value in operands):
        return False
    if node.op_type in ELEMENTWISE:
        return _broadcasts_within_rows(operands, rows)
    if node.op_type == "Concat":
        return all(value in rows for value in operands) and attribute(node, "axis", 0) > 0
    if node.op_type == "MatMul":
        return _multiplies_within_rows(operands[0], operands[1], rows)
    data, *parameters = operands
    return data in rows and not any(value in rows for value in parameters) and _keeps_rows(node, data)


def _broadcasts_within_rows(operands: Sequence[ir.Value], rows: Container[ir.Value | None]) -> bool:
    """With operands of one rank the first axis stays the first; a constant must be the same for each row."""
    if len(operands) == 1:
        return True
    ranks = {len(value.shape) if value.shape is not None else None for value in operands if value in rows}
    rank = ranks.pop() if len(ranks) == 1 else None
    constants = [np.asarray(constant(value)) for value in operands if value not in rows]
    return rank is not None and all(_is_same_for_rows(array, rank) for array in constants)


def _is_same_for_rows(array: Array, rank: int) -> bool:
    """Whether a constant, broadcast to data of this rank, is the same in each row."""
    return array.ndim < rank or (array.ndim == rank and array.shape[0] == 1)


def _multiplies_within_rows(left: ir.Value, right: ir.Value, rows: Container[ir.Value | None]) -> bool:
    """MatMul sums over the last axis of the left operand and the last but one of the right; axes before are batches."""
    data, other = (left, constant(right)) if left in rows else (right, constant(left))
    if other is None or other.ndim < 2 or data.shape is None:
        return False
    rank = len(data.shape)
    return rank > other.ndim or (data is left and rank == other.ndim == 2)


def _keeps_rows(node: ir.Node, data: ir.Value) -> bool:
    """Whether a node whose only operand is `data`, other inputs being parameters, keeps its rows apart."""
    parameter = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    match node.op_type:
        case "Conv" | "GlobalAveragePool":  # the first axis is the batch by definition
            return True
        case "Gemm":
            biases = [np.asarray(constant(bias)) for bias in node.inputs[2:] if bias is not None]
            return not attribute(node, "transA", 0) and all(_is_same_for_rows(bias, 2) for bias in biases)
        # Along an axis that is not the first.
        case "Flatten":
            return bool(attribute(node, "axis", 1) == 1)
        case "Gather" | "Split":
            return attribute(node, "axis", 0) > 0
        case "ReduceMax" | "ReduceMean" | "ReduceSum" | "Squeeze":
            axes = _axes(node)
            return bool(axes) and _spares_first(axes, data)
        case "Unsqueeze":
            axes = _axes(node)
            return bool(axes) and _spares_first(axes, node.outputs[0])
        case "Slice":
            sliced = sliced_axes(node)
            return sliced is not None and _spares_first(sliced, data)
        # By parameters that leave the first axis as it is.
        case "Expand":
            same_rank = parameter is not None and data.shape is not None and len(parameter) == len(data.shape)
            return parameter is not None and same_rank and bool(parameter[0] == 1)
        case "Pad":
            return parameter is not None and bool(parameter[0] == parameter[len(parameter) // 2] == 0)
        case "Reshape":
            return reshapes_each_row(node) and parameter is not None and parameter[0] in (0, -1)
        case "Resize":
            scales = constant(node.inputs[2]) if len(node.inputs) == 3 else None
            return scales is not None and scales.size > 0 and bool(scales[0] == 1)
        case "Transpose":
            return bool(attribute(node, "perm", (1,))[0] == 0)
    return False


def _axes(node: ir.Node) -> list[int]:
    """The axes that a node names, as an input or an attribute; none where it leaves them out or computes them."""
    axes = constant(node.inputs[1]) if len(node.inputs) > 1 else attribute(node, "axes", ())
    return [] if axes is None else [int(axis) for axis in np.ravel(axes)]


def _spares_first(axes: Sequence[int], value: ir.Value) -> bool:
    """Whether none of these axes of a value is its first; where the rank is unknown, negative ones may be it."""
    rank = len(value.shape) if value.shape is not None else None
    return all(axis > 0 if rank is None else axis % rank > 0 for axis in axes)


def row_shape(value: ir.Value | None) -> list[int] | None:
    """All sizes but the first, if they are known."""
    if value is None or value.shape is None or len(value.shape) == 0:
        return None
    sizes = [size for size in value.shape[1:] if isinstance(size, int)]
    return sizes if len(sizes) == len(value.shape) - 1 else None


def reshapes_each_row(reshape: ir.Node) -> bool:
    """Whether a Reshape gives each row a constant shape with the same number of elements; the first axis may change."""
    target, sizes = constant(reshape.inputs[1]), row_shape(reshape.inputs[0])
    if target is None or sizes is None or len(target) < 2 or attribute(reshape, "allowzero", 0):
        return False
    return bool((target[1:] > 0).all()) and prod(sizes) == prod(target[1:].tolist())
