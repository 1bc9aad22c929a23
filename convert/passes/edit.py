"""What all passes use to read a graph and to edit it: constants, producers and consumers, new nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

Array = NDArray[Any]


def constant(value: ir.Value | None) -> Array | None:
    """The array of an initializer; None for any other value."""
    if value is None or value.const_value is None or not value.is_initializer():
        return None
    return np.asarray(value.const_value.numpy())


def scalar(value: ir.Value | None) -> float | None:
    """The number of an initializer that has one element; None for any other value."""
    array = constant(value)
    return float(array.reshape(())) if array is not None and array.size == 1 else None


def producer(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """The node that computes a value, if it is of one of these types; else None."""
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type in op_types else None


def only_consumer(value: ir.Value) -> ir.Node | None:
    """The node that reads a value, if it is the only one and the value is no output of the graph; else None."""
    uses = value.uses()
    if len(uses) != 1 or value.is_graph_output():
        return None
    return next(iter(uses)).node


def swished(node: ir.Node | None) -> ir.Value | None:
    """The `x` of a node that computes `x * Sigmoid(x)`, else None."""
    if node is None or node.op_type != "Mul":
        return None
    for data, other in (node.inputs, node.inputs[::-1]):
        sigmoid = producer(other, "Sigmoid")
        if sigmoid is not None and sigmoid.inputs[0] is data:
            return data
    return None


def with_constant(node: ir.Node) -> tuple[ir.Value, Array] | None:
    """The computed and the constant operand of a binary node, in this order; None if there are not one of each."""
    left, right = node.inputs
    for data, other in ((left, right), (right, left)):
        array = constant(other)
        if data is not None and array is not None and constant(data) is None:
            return data, array
    return None


def is_scalar(data: ir.Value, array: Array, number: float) -> bool:
    """Whether a constant is this float32 number and, broadcast to `data`, leaves the shape of `data` as it is."""
    rank = len(data.shape) if data.shape is not None else 0
    return array.dtype == np.float32 and array.size == 1 and array.item() == number and array.ndim <= rank


def is_row(array: Array) -> bool:
    """Whether all axes of an array but the last have length 1."""
    return array.ndim > 0 and array.size == array.shape[-1]


def attribute(node: ir.Node, name: str, default: Any) -> Any:
    """An attribute's value, or the operator's default where it is left out."""
    given = node.attributes.get(name)
    if given is None:
        return default
    return tuple(given.value) if isinstance(given.value, (list, tuple)) else given.value


def sliced_axes(node: ir.Node) -> list[int] | None:
    """The axes that a Slice shortens; None where they are not constant, or it has steps."""
    if len(node.inputs) < 4:
        return None
    starts, ends, axes = (constant(value) for value in node.inputs[1:4])
    if starts is None or ends is None or axes is None or len(node.inputs) > 4:
        return None
    full = (starts == 0) & (ends >= np.iinfo(np.int32).max)
    return [int(axis) for axis in axes[~full]]


def new_constant(graph: ir.Graph, array: Array, hint: str) -> ir.Value:
    """An initializer under an unused name that starts with `hint`."""
    name = hint
    while name in graph.initializers:
        name = f"{hint}_{len(graph.initializers)}_{len(name)}"
    value = ir.val(name, const_value=ir.tensor(np.ascontiguousarray(array), name=name))
    graph.register_initializer(value)
    return value


def new_ints(graph: ir.Graph, hint: str, *values: int) -> ir.Value:
    """A vector of int64 as an initializer, such as the sizes or the axes that a node takes."""
    return new_constant(graph, np.array(values, np.int64), hint)


def insert(
    before: ir.Node, op_type: str, inputs: Sequence[ir.Value | None], attributes: Mapping[str, Any] | None = None
) -> ir.Value:
    """Inserts a node before another one; returns its first output."""
    node = ir.node(op_type, inputs, attributes)
    before.prepend(node)
    return node.outputs[0]


def replace(old: ir.Value, new: ir.Value) -> None:
    """Lets all consumers of `old` read `new`; an output of the graph keeps its name, shape and type."""
    if old.is_graph_output():
        new.name, old.name = old.name, f"{old.name}_before"
        new.shape, new.type = old.shape, old.type
    old.replace_all_uses_with(new, replace_graph_outputs=True)


def zero_pads(pad: ir.Node) -> list[int] | None:
    """The pads of a Pad with zeros: at the start of every axis, then at the end of every axis; None for others."""
    amounts, value = constant(pad.inputs[1]), pad.inputs[2] if len(pad.inputs) > 2 else None
    zero = value is None or scalar(value) == 0
    if amounts is None or not zero or len(pad.inputs) > 3 or attribute(pad, "mode", "constant") != "constant":
        return None
    return [int(amount) for amount in amounts]
