"""Small steps that the passes are made of: reading constants, walking, inserting and replacing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

Array = NDArray[Any]


def constant(value: ir.Value | None) -> Array | None:
    """The array behind an initializer, else None."""
    if value is None or value.const_value is None or not value.is_initializer():
        return None
    return np.asarray(value.const_value.numpy())


def scalar(value: ir.Value | None) -> float | None:
    """The number behind an initializer of one element, else None."""
    array = constant(value)
    return float(array.reshape(())) if array is not None and array.size == 1 else None


def producer(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """The node that makes a value, if it is of one of these kinds."""
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type in op_types else None


def only_consumer(value: ir.Value) -> ir.Node | None:
    """The one node that reads a value which is no output of the graph, else None."""
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
    """The operands of a binary node told apart: what is computed and what is constant."""
    left, right = node.inputs
    for data, other in ((left, right), (right, left)):
        array = constant(other)
        if data is not None and array is not None and constant(data) is None:
            return data, array
    return None


def is_scalar(data: ir.Value, array: Array, number: float) -> bool:
    """Whether a float operand's other operand is just this number, which gives the result no shape of its own."""
    rank = len(data.shape) if data.shape is not None else 0
    return array.dtype == np.float32 and array.size == 1 and array.item() == number and array.ndim <= rank


def is_row(array: Array) -> bool:
    """Whether an array varies along its last axis alone."""
    return array.ndim > 0 and array.size == array.shape[-1]


def attribute(node: ir.Node, name: str, default: Any) -> Any:
    """An attribute's value, or what the operator's definition says where it is left out."""
    found = node.attributes.get(name)
    if found is None:
        return default
    return tuple(found.value) if isinstance(found.value, (list, tuple)) else found.value


def sliced_axes(node: ir.Node) -> list[int] | None:
    """The axes from which a Slice takes less than all, or None where that is not constant."""
    if len(node.inputs) < 4:
        return None
    starts, ends, axes = (constant(value) for value in node.inputs[1:4])
    if starts is None or ends is None or axes is None or len(node.inputs) > 4:
        return None
    whole = (starts == 0) & (ends >= np.iinfo(np.int32).max)
    return [int(axis) for axis in axes[~whole]]


def new_constant(graph: ir.Graph, array: Array, hint: str) -> ir.Value:
    """An initializer under a fresh name that starts with `hint`."""
    name = hint
    while name in graph.initializers:
        name = f"{hint}_{len(graph.initializers)}_{len(name)}"
    value = ir.val(name, const_value=ir.tensor(np.ascontiguousarray(array), name=name))
    graph.register_initializer(value)
    return value


def insert(
    before: ir.Node, op_type: str, inputs: Sequence[ir.Value | None], attributes: Mapping[str, Any] | None = None
) -> ir.Value:
    """A new node before another one; returns its output."""
    node = ir.node(op_type, inputs, attributes)
    before.prepend(node)
    return node.outputs[0]


def replace(old: ir.Value, new: ir.Value) -> None:
    """Lets everything that reads `old` read `new`; an output of the graph keeps its name."""
    if old.is_graph_output():
        new.name, old.name = old.name, f"{old.name}_before"
        new.shape, new.type = old.shape, old.type
    old.replace_all_uses_with(new, replace_graph_outputs=True)


def zero_pads(pad: ir.Node) -> list[int] | None:
    """The amounts of a Pad that pads with zeros, all fronts and then all backs; None for any other Pad."""
    amounts, value = constant(pad.inputs[1]), pad.inputs[2] if len(pad.inputs) > 2 else None
    zero = value is None or scalar(value) == 0
    if amounts is None or not zero or len(pad.inputs) > 3 or attribute(pad, "mode", "constant") != "constant":
        return None
    return [int(amount) for amount in amounts]
