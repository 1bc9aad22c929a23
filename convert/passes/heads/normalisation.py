"""L2 normalisation of a spatial embedding, computed features-last.

    transpose(x / (norm(x) + epsilon))  ->  y / (norm(y) + epsilon), y = transpose(x)

A translated graph normalises the embedding as its convolution gives it, features first, and transposes the result. y is
the output `spatial_embedding`: rows of it can be gathered for the head that follows (see `deferral`).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from convert.passes.edit import attribute, constant, insert, new_constant, producer, replace, scalar


def normalise_features_last(graph: ir.Graph) -> None:
    """Moves each L2 normalisation, over the axis that becomes the last, behind the Transpose that follows it.

    Requires inferred shapes, and that the first axis stays the first.
    """
    for transpose in graph:
        divide = producer(transpose.inputs[0], "Div") if transpose.op_type == "Transpose" else None
        order = attribute(transpose, "perm", (1,))
        data = divide.inputs[0] if divide is not None and order[0] == 0 else None
        if divide is None or data is None:
            continue
        epsilon = _epsilon(data, divide.inputs[1], order[-1])
        if epsilon is None:
            continue
        transposes = (consumer for consumer, _ in data.uses() if consumer.op_type == "Transpose")
        same = next((node.outputs[0] for node in transposes if attribute(node, "perm", None) == order), None)
        moved = same if same is not None else insert(transpose, "Transpose", [data], {"perm": list(order)})
        last = new_constant(graph, np.array([-1]), "normalisation/last")
        squares = insert(transpose, "ReduceSum", [insert(transpose, "Mul", [moved, moved]), last], {"keepdims": 1})
        norm = insert(transpose, "Add", [insert(transpose, "Sqrt", [squares]), epsilon])
        replace(transpose.outputs[0], insert(transpose, "Div", [moved, norm]))


def _epsilon(data: ir.Value, divisor: ir.Value | None, axis: int) -> ir.Value | None:
    """The epsilon of a divisor `norm(data) + epsilon`, the norm being over this axis; None for any other divisor."""
    add = producer(_without_ones(divisor), "Add")
    if add is None or data.shape is None or divisor is None or divisor.shape is None:
        return None
    epsilon = next((value for value in add.inputs if scalar(value) is not None), None)
    root = producer(_without_ones(next((value for value in add.inputs if value is not epsilon), None)), "Sqrt")
    total = producer(_without_ones(root.inputs[0]), "ReduceSum") if root is not None else None
    square = producer(total.inputs[0], "Mul") if total is not None else None
    axes = constant(total.inputs[1]) if total is not None and len(total.inputs) > 1 else None
    if epsilon is None or square is None or axes is None or any(value is not data for value in square.inputs):
        return None
    rank = len(data.shape)
    aligned = [1 if i == axis else size for i, size in enumerate(data.shape)]
    return epsilon if [a % rank for a in axes.tolist()] == [axis] and list(divisor.shape) == aligned else None


def _without_ones(value: ir.Value | None) -> ir.Value | None:
    """A value before axes of length 1 were inserted into it, or itself."""
    node = producer(value, "Reshape", "Unsqueeze")
    before = node.inputs[0] if node is not None else None
    if before is None or before.shape is None or value is None or value.shape is None:
        return value
    return before if [n for n in before.shape if n != 1] == [n for n in value.shape if n != 1] else value
