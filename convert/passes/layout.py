"""What nodes that only move elements do, found by running them on indices.

Exporters reach the same layout by many routes. Nodes run on an array of indices, for a batch of two, show where each
element comes from, whatever the route, and that windows stay apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx_ir as ir

from convert.passes.edit import Array, attribute, constant

MOVING = frozenset({"Concat", "Expand", "Pad", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"})


class ReplayError(Exception):
    """A node computes values, takes parameters that are not constant, or does not fit a batch of two."""


def replay(nodes: Iterable[ir.Node], inputs: Mapping[ir.Value, Array]) -> dict[ir.Value, Array]:
    """Runs nodes, in topological order, on arrays whose first axis is a batch of two; returns all arrays.

    Raises:
        ReplayError: one of the nodes does more than move elements.
    """
    arrays = dict(inputs)
    for node in nodes:
        try:
            arrays[node.outputs[0]] = _moved(node, [arrays[v] for v in node.inputs if v in arrays])
        except (IndexError, KeyError, TypeError, ValueError) as error:  # numpy's, on a shape that does not fit
            raise ReplayError(str(error)) from None
    return arrays


def _moved(node: ir.Node, data: list[Array]) -> Array:
    if node.op_type == "Transpose":
        return data[0].transpose(attribute(node, "perm", None))
    if node.op_type == "Concat":
        if len(data) < len(node.inputs):
            raise ReplayError("Concat with a value from elsewhere")
        return np.concatenate(data, attribute(node, "axis", 0))
    constants = [constant(value) for value in node.inputs[1:]]
    if node.op_type not in MOVING or node.inputs[0] is None:
        raise ReplayError(node.op_type)
    if not constants or any(array is None for array in constants):
        raise ReplayError(f"{node.op_type} by a parameter that is not constant")
    parameters = [np.asarray(array).tolist() for array in constants]
    first = parameters[0]
    match node.op_type:
        case "Reshape":  # a leading 0 copies the batch, a leading 1 is that of a graph for one window
            return data[0].reshape([2 if i == 0 and size in (0, 1) else int(size) for i, size in enumerate(first)])
        case "Squeeze":
            return np.squeeze(data[0], tuple(first))
        case "Unsqueeze":
            return np.expand_dims(data[0], tuple(first))
        case "Pad":
            if attribute(node, "mode", "constant") != "edge" or len(parameters) > 1:
                raise ReplayError("Pad with new values")
            half = len(first) // 2
            return np.pad(data[0], list(zip(first[:half], first[half:], strict=True)), "edge")
        case "Expand":
            return np.broadcast_to(data[0], np.broadcast_shapes(data[0].shape, tuple(first)))
    return _sliced(data[0], *parameters)


def _sliced(data: Array, starts: list[int], ends: list[int], axes: list[int], steps: list[int] | None = None) -> Array:
    index = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps or [1] * len(axes), strict=True):
        if step < 0:
            raise ReplayError("Slice with a negative step")
        index[axis] = slice(start, end, step)
    return data[tuple(index)]
