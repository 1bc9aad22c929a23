"""Places scaled to unit length after they are turned features-last, not before.

A translated graph leaves a spatial embedding as its convolution gives it, features first, scales it so and then turns
it. Turned first, it is the output `spatial_embedding`, rows of which a run can gather for the head that follows.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from convert.passes.edit import attribute, constant, insert, new_constant, producer, replace, scalar


def unit_features_last(graph: ir.Graph) -> None:
    """A turned `x / (norm(x) + epsilon)`, the norm being over what becomes the last axis, is computed of turned x."""
    for turn in graph:
        divide = producer(turn.inputs[0], "Div") if turn.op_type == "Transpose" else None
        order = attribute(turn, "perm", (1,))
        data = divide.inputs[0] if divide is not None and order[0] == 0 else None
        if divide is None or data is None:
            continue
        epsilon = _epsilon(data, divide.inputs[1], order[-1])
        if epsilon is None:
            continue
        alike = (reader for reader, _ in data.uses() if reader.op_type == "Transpose")
        same = next((reader.outputs[0] for reader in alike if attribute(reader, "perm", None) == order), None)
        turned = same if same is not None else insert(turn, "Transpose", [data], {"perm": list(order)})
        last = new_constant(graph, np.array([-1]), "unit/last")
        squares = insert(turn, "ReduceSum", [insert(turn, "Mul", [turned, turned]), last], {"keepdims": 1})
        norm = insert(turn, "Add", [insert(turn, "Sqrt", [squares]), epsilon])
        replace(turn.outputs[0], insert(turn, "Div", [turned, norm]))


def _epsilon(data: ir.Value, divisor: ir.Value | None, axis: int) -> ir.Value | None:
    """What is added to the norm of `data` over an axis to make the divisor; None where that is something else."""
    add = producer(_bare(divisor), "Add")
    if add is None or data.shape is None or divisor is None or divisor.shape is None:
        return None
    epsilon = next((value for value in add.inputs if scalar(value) is not None), None)
    root = producer(_bare(next((value for value in add.inputs if value is not epsilon), None)), "Sqrt")
    total = producer(_bare(root.inputs[0]), "ReduceSum") if root is not None else None
    square = producer(total.inputs[0], "Mul") if total is not None else None
    axes = constant(total.inputs[1]) if total is not None and len(total.inputs) > 1 else None
    if epsilon is None or square is None or axes is None or any(value is not data for value in square.inputs):
        return None
    rank = len(data.shape)
    aligned = [1 if i == axis else size for i, size in enumerate(data.shape)]
    return epsilon if [a % rank for a in axes.tolist()] == [axis] and list(divisor.shape) == aligned else None


def _bare(value: ir.Value | None) -> ir.Value | None:
    """A value before axes of length 1 were put into it."""
    node = producer(value, "Reshape", "Unsqueeze")
    before = node.inputs[0] if node is not None else None
    if before is None or before.shape is None or value is None or value.shape is None:
        return value
    return before if [n for n in before.shape if n != 1] == [n for n in value.shape if n != 1] else value
