"""Frees a graph that was exported for one window, where every baked 1 can be shown to be the batch."""

from __future__ import annotations

from math import prod

import numpy as np
import onnx_ir as ir

from convert.passes.edit import attribute, constant, new_constant, sliced_axes

ELEMENTWISE = {
    "Abs", "Add", "Cast", "Clip", "Div", "Erf", "Exp", "Identity", "Log", "Max", "Min", "Mul", "Neg", "Pow",
    "Reciprocal", "Relu", "Sigmoid", "Softplus", "Sqrt", "Sub", "Tanh",
}  # fmt: skip


def free_batch(graph: ir.Graph, size: str = "batch") -> bool:
    """Makes the first axis of the input and of every output free, if that can be shown to be right.

    Followed from the input down, each node has to keep the batch in front and windows apart. A reshape that bakes it
    in as a leading 1 copies it instead (0), which gives the same for one window: the sizes behind it hold its elements.

    Returns whether the graph is free now; if not it is unchanged.
    """
    batched: set[ir.Value] = set(graph.inputs)
    baked: list[ir.Node] = []
    for node in graph:
        if not any(value in batched for value in node.inputs):
            continue
        if node.op_type == "Reshape" and _bakes_batch(node):
            baked.append(node)
        elif not _keeps_windows_apart(node, batched):
            return False
        batched.update(node.outputs)
    if not all(value in batched for value in graph.outputs):
        return False
    for node in baked:
        target = np.array(constant(node.inputs[1]))
        target[0] = 0
        node.replace_input_with(1, new_constant(graph, target, f"{node.name}/free"))
    for value in [*graph.inputs, *graph.outputs]:
        sizes = list(value.shape or [])
        value.shape = ir.Shape([size, *sizes[1:]])
    for node in graph:  # what was inferred for one window no longer holds
        for value in node.outputs:
            if not value.is_graph_output():
                value.shape = None
    return True


def _sizes(value: ir.Value | None) -> list[int] | None:
    if value is None or value.shape is None or not all(isinstance(size, int) for size in value.shape):
        return None
    return [int(size) for size in value.shape]  # type: ignore[arg-type]


def _bakes_batch(node: ir.Node) -> bool:
    target, before = constant(node.inputs[1]), _sizes(node.inputs[0])
    if target is None or before is None or len(target) < 2 or target[0] not in (0, 1, -1) or (target[1:] < 1).any():
        return False
    return prod(before[1:]) == prod(target[1:].tolist())


def _keeps_windows_apart(node: ir.Node, batched: set[ir.Value]) -> bool:
    """Whether the node's output has the batch in front whenever its data has, each window computed by itself."""
    data = node.inputs[0]
    others_constant = all(constant(value) is not None for value in node.inputs[1:] if value is not None)
    if node.op_type in ELEMENTWISE:
        return all(
            _keeps_rank(value, node) if value in batched else _broadcasts_over_batch(value, node)
            for value in node.inputs
        )
    if node.op_type == "Concat":
        return attribute(node, "axis", 0) > 0 and all(value in batched for value in node.inputs)
    if node.op_type == "MatMul":
        return _matmul_keeps_batch(node, batched)
    if data not in batched or not others_constant:
        return False
    if node.op_type in ("Conv", "GlobalAveragePool"):
        return True
    if node.op_type == "Gemm":
        return not attribute(node, "transA", 0)
    if node.op_type == "Flatten":
        return bool(attribute(node, "axis", 1) == 1)
    if node.op_type == "Transpose":
        return bool(attribute(node, "perm", [1])[0] == 0)
    if node.op_type == "Pad":
        pads = constant(node.inputs[1])
        return pads is not None and pads[0] == 0 and pads[len(pads) // 2] == 0
    if node.op_type in ("Squeeze", "Unsqueeze", "ReduceSum", "ReduceMean", "ReduceMax"):
        axes = constant(node.inputs[1]) if len(node.inputs) > 1 else attribute(node, "axes", None)
        return axes is not None and np.size(axes) > 0 and all(axis > 0 for axis in np.ravel(axes))
    if node.op_type == "Slice":
        axes = sliced_axes(node)
        return axes is not None and all(axis > 0 for axis in axes)
    if node.op_type == "Resize":
        scales = constant(node.inputs[2]) if len(node.inputs) == 3 else None
        return scales is not None and scales.size > 0 and scales[0] == 1
    if node.op_type == "Split":
        return attribute(node, "axis", 0) > 0
    if node.op_type == "Gather":
        return attribute(node, "axis", 0) > 0
    if node.op_type == "Expand":
        target, before = constant(node.inputs[1]), _sizes(data)
        return target is not None and before is not None and len(target) == len(before) and target[0] == 1
    return False


def _keeps_rank(value: ir.Value | None, node: ir.Node) -> bool:
    """Whether an operand has as many axes as the result, so that its first axis stays the first."""
    sizes, result = _sizes(value), node.outputs[0].shape
    return sizes is not None and result is not None and len(sizes) == len(result)


def _broadcasts_over_batch(value: ir.Value | None, node: ir.Node) -> bool:
    """A constant that has no batch axis, or a 1 there."""
    array, shape = constant(value), node.outputs[0].shape
    if array is None or shape is None or array.ndim > len(shape):
        return False
    return array.ndim < len(shape) or array.shape[0] == 1


def _matmul_keeps_batch(node: ir.Node, batched: set[ir.Value]) -> bool:
    left, right = node.inputs
    if left in batched and right in batched:
        return False
    other = constant(right if left in batched else left)
    sizes = _sizes(left if left in batched else right)
    if other is None or other.ndim < 2 or sizes is None:
        return False
    return len(sizes) > other.ndim or (left in batched and len(sizes) == other.ndim == 2)
