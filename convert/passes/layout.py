"""What nodes that only pick and rearrange elements do, shown by moving indices through them.

Exporters reach the same layout by many routes. Replaying the nodes on an array of indices, for a batch of two, tells
where each element comes from whatever the route was, and that windows stay apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx_ir as ir

from convert.passes.edit import Array, attribute, constant

PICKING = frozenset({"Concat", "Expand", "Pad", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"})


class ReplayError(Exception):
    """A node that does not merely rearrange, or not by constants, or not for a batch of two."""


def replay(nodes: Iterable[ir.Node], known: Mapping[ir.Value, Array]) -> dict[ir.Value, Array]:
    """What the nodes, in topological order, make of arrays whose first axis is a batch of two."""
    values = dict(known)
    for node in nodes:
        try:
            values[node.outputs[0]] = _replayed(node, [values[v] for v in node.inputs if v in values])
        except (IndexError, KeyError, TypeError, ValueError) as error:  # numpy's, on a shape that does not fit
            raise ReplayError(str(error)) from None
    return values


def _replayed(node: ir.Node, data: list[Array]) -> Array:
    if node.op_type == "Transpose":
        return data[0].transpose(attribute(node, "perm", None))
    if node.op_type == "Concat":
        if len(data) < len(node.inputs):
            raise ReplayError("Concat with what comes from elsewhere")
        return np.concatenate(data, attribute(node, "axis", 0))
    if node.op_type not in PICKING or node.inputs[0] is None:
        raise ReplayError(node.op_type)
    numbers = [constant(value) for value in node.inputs[1:]]
    if not numbers or any(array is None for array in numbers):
        raise ReplayError(f"{node.op_type} by what is not constant")
    lists = [np.asarray(array).tolist() for array in numbers]
    if node.op_type == "Reshape":  # a leading 0 copies the batch, a leading 1 is the batch of a graph for one window
        return data[0].reshape([2 if i == 0 and size in (0, 1) else int(size) for i, size in enumerate(lists[0])])
    if node.op_type == "Squeeze":
        return np.squeeze(data[0], tuple(lists[0]))
    if node.op_type == "Unsqueeze":
        return np.expand_dims(data[0], tuple(lists[0]))
    if node.op_type == "Pad":
        if attribute(node, "mode", "constant") != "edge" or len(lists) > 1:
            raise ReplayError("Pad with what is not there")
        half = len(lists[0]) // 2
        return np.pad(data[0], list(zip(lists[0][:half], lists[0][half:], strict=True)), "edge")
    if node.op_type == "Expand":
        return np.broadcast_to(data[0], np.broadcast_shapes(data[0].shape, tuple(lists[0])))
    if len(lists) < 3:
        raise ReplayError("Slice of all axes")
    steps = lists[3] if len(lists) > 3 else [1] * len(lists[2])
    index = [slice(None)] * data[0].ndim
    for start, end, axis, step in zip(*lists[:3], steps, strict=True):
        if step < 0:
            raise ReplayError("Slice backwards")
        index[axis] = slice(start, end, step)
    return data[0][tuple(index)]
