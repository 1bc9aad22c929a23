"""Frees a graph that was exported for one window, where every fixed 1 can be shown to be the batch."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from convert.passes.edit import constant, new_constant
from convert.passes.rows import is_row_wise, reshapes_each_row


def free_batch(graph: ir.Graph) -> bool:
    """Makes the first axis of the input and of every output symbolic.

    Requires shapes inferred for one window. From the input down each node must compute windows one by one. A Reshape
    to `[1, ...]` becomes one to `[0, ...]`, which copies the batch from its input.

    Returns whether the graph is free now; if not, it is unchanged.
    """
    batched: set[ir.Value] = set(graph.inputs)
    fixed: list[ir.Node] = []
    for node in graph:
        if not any(value in batched for value in node.inputs):
            continue
        if node.op_type == "Reshape" and reshapes_each_row(node) and _leads_with_one(node):
            fixed.append(node)
        elif not is_row_wise(node, batched):
            return False
        batched.update(node.outputs)
    if not all(value in batched for value in graph.outputs):
        return False
    for node in fixed:
        target = np.array(constant(node.inputs[1]))
        target[0] = 0
        node.replace_input_with(1, new_constant(graph, target, f"{node.name}/free"))
    name_batch(graph)
    for node in graph:  # shapes inferred for one window no longer hold
        for value in node.outputs:
            if not value.is_graph_output():
                value.shape = None
    return True


def name_batch(graph: ir.Graph) -> None:
    """Calls the first axis of the input and of every output `batch`."""
    for value in [*graph.inputs, *graph.outputs]:
        value.shape = ir.Shape(["batch", *list(value.shape or [])[1:]])


def _leads_with_one(reshape: ir.Node) -> bool:
    """Whether the first size is 1, written out, copied (0) or inferred (-1)."""
    return np.asarray(constant(reshape.inputs[1]))[0] in (1, 0, -1)
