"""Shape arithmetic on the batch size folded away.

Exporters compute `[batch, 1, 1, 32]` from the input's shape before every Reshape and Expand. ONNX needs none of it: a
Reshape infers one size (-1), and an Expand to 1 keeps the size of its input. That leaves no integer nodes, which would
run on the CPU even beside a GPU.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from convert.passes.edit import constant, new_constant, producer
from convert.passes.rows import is_row_wise, reshapes_each_row


def fold_shape_arithmetic(graph: ir.Graph) -> None:
    """Gives each Reshape and Expand whose target has one computed size a constant target.

    Reshape(x, [batch, 4, 3])  ->  Reshape(x, [-1, 4, 3])
    Expand(x, [batch, 4, 3])   ->  Expand(x, [1, 4, 3]), where the first axis of x is the batch already
    """
    for node in graph:
        if node.op_type not in ("Reshape", "Expand") or constant(node.inputs[1]) is not None:
            continue
        target = _sizes(node.inputs[1])
        if target is None or target.count(None) != 1:
            continue
        if node.op_type == "Reshape" and -1 not in target:
            constant_target = [-1 if size is None else size for size in target]
        elif node.op_type == "Expand" and target[0] is None and _keeps_rank(node) and _leads_with_batch(node.inputs[0]):
            constant_target = [1 if size is None else size for size in target]
        else:
            continue
        node.replace_input_with(1, new_constant(graph, np.array(constant_target, np.int64), f"{node.name}/target"))


def copy_batch(graph: ir.Graph) -> None:
    """Reshapes within each window copy the batch (0) instead of inferring it (-1).

        Reshape(x, [-1, 4, 3])  ->  Reshape(x, [0, 4, 3]), where a row of x has 12 elements

    The batch then keeps one name down the whole graph. By that ONNX Runtime sees that two branches have the same shape,
    and fuses the Add that joins them into a convolution.
    """
    for node in graph:
        target = constant(node.inputs[1]) if node.op_type == "Reshape" else None
        if target is not None and target.size and target[0] == -1 and reshapes_each_row(node):
            copied = np.concatenate([[0], target[1:]]).astype(np.int64)
            node.replace_input_with(1, new_constant(graph, copied, f"{node.name}/copied"))


def _sizes(value: ir.Value | None) -> list[int | None] | None:
    """A vector of sizes, None for each one that is computed; None if its length is not constant."""
    array = constant(value)
    if array is not None:
        return [int(size) for size in array.reshape(-1)]
    node = producer(value, "Cast", "Concat", "Slice", "Unsqueeze")
    if node is None:
        return None
    if node.op_type == "Cast":
        return _sizes(node.inputs[0])
    if node.op_type == "Concat":
        parts = [_sizes(part) for part in node.inputs]
        return None if None in parts else [size for part in parts for size in part or []]
    if node.op_type == "Slice":  # [start:start + 1] of a shape
        start, end = constant(node.inputs[1]), constant(node.inputs[2])
        return [None] if start is not None and end is not None and (end - start == 1).all() else None
    return [None]


def _keeps_rank(expand: ir.Node) -> bool:
    shapes = [value.shape if value is not None else None for value in (expand.inputs[0], expand.outputs[0])]
    return None not in shapes and len({len(shape) for shape in shapes if shape is not None}) == 1


def _leads_with_batch(value: ir.Value | None) -> bool:
    """Whether the first axis is the batch: row-wise nodes lead up to the input, a convolution or a dense layer."""
    while value is not None:
        node = value.producer()
        if node is None:
            return value.is_graph_input()
        if node.op_type == "Conv" or (node.op_type == "MatMul" and constant(node.inputs[1]) is not None):
            return True
        if not is_row_wise(node, node.inputs[:1]):
            return False
        value = node.inputs[0]
    return False
