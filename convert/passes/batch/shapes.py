"""Shape arithmetic on the batch size folded away.

Exporters compute `[batch, 1, 1, 32]` from the input's shape before every reshape. ONNX needs none of it: a reshape
finds one unknown size by itself (-1), and an expansion to 1 keeps what is there. What remains is free of integer
nodes, which would run on the CPU beside a GPU.
"""

from __future__ import annotations

from math import prod

import numpy as np
import onnx_ir as ir

from convert.passes.edit import attribute, constant, new_constant, producer, sliced_axes


def fold_shape_arithmetic(graph: ir.Graph) -> None:
    """Gives each Reshape and Expand whose target has one computed size a constant target."""
    for node in graph:
        if node.op_type not in ("Reshape", "Expand") or constant(node.inputs[1]) is not None:
            continue
        target = _sizes(node.inputs[1])
        if target is None or target.count(None) != 1:
            continue
        if node.op_type == "Reshape" and -1 not in target:
            known = [-1 if size is None else size for size in target]
        elif node.op_type == "Expand" and target[0] is None and _keeps_rank(node) and _leads_with_batch(node.inputs[0]):
            known = [1 if size is None else size for size in target]
        else:
            continue
        node.replace_input_with(1, new_constant(graph, np.array(known, np.int64), f"{node.name}/target"))


def copy_batch(graph: ir.Graph) -> None:
    """Reshapes that only rearrange a window's own elements copy the batch (0) instead of inferring it (-1).

    The batch then keeps one name down the whole graph, by which ONNX Runtime sees that two branches have one shape
    and fuses the addition that joins them into a convolution.
    """
    for node in graph:
        if node.op_type != "Reshape":
            continue
        target = constant(node.inputs[1])
        shape = node.inputs[0].shape if node.inputs[0] is not None else None
        if target is None or shape is None or len(target) < 2 or attribute(node, "allowzero", 0):
            continue
        inner = [size for size in shape[1:] if isinstance(size, int)]
        if len(inner) < len(shape) - 1 or target[0] != -1 or (target[1:] < 1).any():
            continue
        if prod(inner) == prod(target[1:].tolist()):
            copied = np.concatenate([[0], target[1:]]).astype(np.int64)
            node.replace_input_with(1, new_constant(graph, copied, f"{node.name}/copied"))


def _sizes(value: ir.Value | None) -> list[int | None] | None:
    """A vector of sizes, None for each one that is computed; None if its length is not known."""
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
    """Whether the first axis is the batch: so it is where only windows' own axes were touched since the model's input.

    Followed upwards through ops that keep the first axis, to one whose batch is certain: a MatMul by constants, a
    convolution, or the input.
    """
    while value is not None:
        if value.is_graph_input():
            return True
        node = value.producer()
        if node is None:
            return False
        if node.op_type == "Conv" or (node.op_type == "MatMul" and constant(node.inputs[1]) is not None):
            return True
        if node.op_type == "Slice":
            axes = sliced_axes(node)
            if axes is None or 0 in axes:
                return False
        elif node.op_type == "Transpose":
            if attribute(node, "perm", [1])[0] != 0:
                return False
        elif node.op_type not in ("Identity", "Relu", "Sqrt"):
            return False
        value = node.inputs[0]
    return False
