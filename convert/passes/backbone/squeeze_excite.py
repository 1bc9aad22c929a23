"""Squeeze-and-excite kept in the layout of the convolutions around it.

TensorFlow pools and gates channels-last, so a converted block turns its largest tensor around twice. Pooled and gated
channels-first, with its two dense layers as 1x1 convolutions, the block stays in ONNX Runtime's blocked layout.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from convert.passes.edit import (
    Array,
    attribute,
    constant,
    insert,
    is_row,
    new_constant,
    only_consumer,
    producer,
    replace,
    scalar,
    swished,
    with_constant,
)

TO_CHANNELS_LAST, TO_CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def pool_channels_first(graph: ir.Graph) -> None:
    """Sum over height and width, also of a channels-last copy, then a division by their product: GlobalAveragePool."""
    for total in graph:
        axes = constant(total.inputs[1]) if total.op_type == "ReduceSum" and len(total.inputs) > 1 else None
        if axes is None or attribute(total, "keepdims", 1):
            continue
        data, turned = total.inputs[0], producer(total.inputs[0], "Transpose")
        if (
            turned is not None
            and attribute(turned, "perm", None) == TO_CHANNELS_LAST
            and sorted(axes.tolist()) == [1, 2]
        ):
            data = turned.inputs[0]
        elif sorted(axes.tolist()) != [2, 3]:
            continue
        divide, pixels = only_consumer(total.outputs[0]), _pixels(data)
        factor = _factor(divide) if divide is not None else None
        if divide is None or factor is None or pixels is None or abs(factor * pixels - 1) > 1e-6:
            continue
        pooled = insert(divide, "GlobalAveragePool", [data])
        flat = insert(divide, "Flatten", [pooled], {"axis": 1})
        replace(divide.outputs[0], flat)


def _factor(node: ir.Node) -> float | None:
    operands = with_constant(node) if node.op_type in ("Mul", "Div") else None
    if operands is None or operands[1].size != 1:
        return None
    value = float(operands[1].item())
    if node.op_type == "Mul":
        return value
    return 1 / value if scalar(node.inputs[1]) is not None else None


def _pixels(value: ir.Value | None) -> int | None:
    """Height times width of `[batch, channels, height, width]`, where shape inference found them."""
    shape = value.shape if value is not None else None
    if shape is None or len(shape) != 4:
        return None
    height, width = shape[2:]
    return height * width if isinstance(height, int) and isinstance(width, int) else None


def gate_channels_first(graph: ir.Graph) -> None:
    """A product of a channels-last copy with `[batch, 1, 1, channels]` that is turned back at once."""
    for turned_back in graph:
        if turned_back.op_type != "Transpose" or attribute(turned_back, "perm", None) != TO_CHANNELS_FIRST:
            continue
        product = producer(turned_back.inputs[0], "Mul")
        if product is None or only_consumer(product.outputs[0]) is not turned_back:
            continue
        for data, gate in (product.inputs, product.inputs[::-1]):
            turned, reshaped = producer(data, "Transpose"), producer(gate, "Reshape")
            target = constant(reshaped.inputs[1]) if reshaped is not None else None
            if turned is None or reshaped is None or target is None or target.shape != (4,):
                continue
            if attribute(turned, "perm", None) != TO_CHANNELS_LAST or list(target[1:3]) != [1, 1] or target[3] < 1:
                continue
            shape = new_constant(graph, target[[0, 3, 1, 2]], f"{reshaped.name}/channels_first")
            first = insert(turned_back, "Reshape", [reshaped.inputs[0], shape])
            replace(turned_back.outputs[0], insert(turned_back, "Mul", [turned.inputs[0], first]))
            break


def dense_as_convolution(graph: ir.Graph) -> None:
    """Dense layers between a Flatten of `[batch, n, 1, 1]` and a Reshape back to it become 1x1 convolutions.

    Only a chain that ends in such a Reshape is rewritten: classifier heads stay matrix products.
    """
    for flatten in graph:
        pooled = producer(flatten.inputs[0], "GlobalAveragePool") if flatten.op_type == "Flatten" else None
        chain = _dense_chain(flatten) if pooled is not None else None
        if pooled is None or chain is None:
            continue
        value, end = pooled.outputs[0], chain[-1]
        for node in chain[:-1]:
            value = insert(end, *_as_convolution(graph, node, value, end))
        replace(end.outputs[0], value)


def _as_convolution(
    graph: ir.Graph, node: ir.Node, value: ir.Value, before: ir.Node
) -> tuple[str, list[ir.Value | None], dict[str, Any]]:
    """Op, inputs and attributes of what a node of a dense chain is on `[batch, n, 1, 1]`."""
    if node.op_type == "Mul":
        return "Mul", [value, insert(before, "Sigmoid", [value])], {}
    if node.op_type in ("Relu", "Sigmoid"):
        return node.op_type, [value], {}
    if node.op_type == "Add":
        return "Add", [value, new_constant(graph, _operand(node).reshape(1, -1, 1, 1), f"{node.name}/bias")], {}
    weights = _operand(node) if attribute(node, "transB", 0) else _operand(node).T
    inputs: list[ir.Value | None] = [value, new_constant(graph, weights[:, :, None, None], f"{node.name}/kernel")]
    if len(node.inputs) > 2:
        bias = np.broadcast_to(_operand(node, 2).reshape(-1), len(weights))
        inputs.append(new_constant(graph, bias, f"{node.name}/bias"))
    return "Conv", inputs, {"kernel_shape": [1, 1]}


def _operand(node: ir.Node, position: int = 1) -> Array:
    array = constant(node.inputs[position])
    return np.asarray(constant(node.inputs[0]) if array is None else array)


def _dense_chain(flatten: ir.Node) -> list[ir.Node] | None:
    """The nodes after a Flatten up to a Reshape to `[batch, n, 1, 1]`, if all are dense layers and activations."""
    chain: list[ir.Node] = []
    node = _following(flatten.outputs[0])
    while node is not None:
        if node.op_type == "Reshape":
            target = constant(node.inputs[1])
            if target is None or len(target) < 2 or not _keeps_rows(chain, flatten, target):
                return None
            if target.shape == (4,) and list(target[2:]) == [1, 1] and chain:
                return [*chain, node]
            if target.shape != (2,):
                return None
        elif node.op_type in ("MatMul", "Gemm"):
            plain = attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1
            if any(constant(value) is None for value in node.inputs[1:]) or attribute(node, "transA", 0) or not plain:
                return None
            if len(node.inputs) > 2 and not is_row(_operand(node, 2)):
                return None
            chain.append(node)
        elif node.op_type == "Add":
            operands = with_constant(node)
            if operands is None or not is_row(operands[1]):
                return None
            chain.append(node)
        elif node.op_type in ("Relu", "Sigmoid") or swished(node) is not None:
            chain.append(node)
        else:
            return None
        node = _following(node.outputs[0])
    return None


def _following(value: ir.Value) -> ir.Node | None:
    """The one node that reads a value, or a swish's product, which does along with its own sigmoid."""
    readers = {use.node for use in value.uses()}
    product = next((node for node in readers if swished(node) is value), None)
    if product is None:
        return only_consumer(value)
    return product if len(readers) == 2 and not value.is_graph_output() else None


def _keeps_rows(chain: list[ir.Node], flatten: ir.Node, target: Array) -> bool:
    """Whether a reshape to `[batch, n, …]` keeps rows, n being what the last dense layer (or the pool) gave."""
    batch = (
        flatten.inputs[0].shape[0] if flatten.inputs[0] is not None and flatten.inputs[0].shape is not None else None
    )
    if target[0] not in (0, -1) and target[0] != batch:
        return False
    for node in reversed(chain):
        if node.op_type in ("Gemm", "MatMul"):
            weights = _operand(node)
            return bool(target[1] == weights.shape[0 if attribute(node, "transB", 0) else 1])
    shape = flatten.inputs[0].shape if flatten.inputs[0] is not None else None
    return shape is not None and len(shape) == 4 and shape[1] == target[1]
