"""Squeeze-and-excite in the layout of the convolutions around it (NCHW).

    map * sigmoid(dense(relu(dense(mean over height and width of map))))

TensorFlow pools and gates channels-last (NHWC), so that a converted block transposes its largest tensor twice. Pooled
and gated channels-first, with its two dense layers as 1x1 convolutions, it stays in ONNX Runtime's blocked layout.
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
from convert.passes.rows import reshapes_each_row

TO_CHANNELS_LAST, TO_CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def pool_channels_first(graph: ir.Graph) -> None:
    """The mean over height and width of a map, transposed to channels-last or not, becomes a GlobalAveragePool.

        ReduceSum(map) / (height * width)  ->  Flatten(GlobalAveragePool(map))

    Requires inferred shapes, and that nothing else reads the sum.
    """
    for total in graph:
        axes = constant(total.inputs[1]) if total.op_type == "ReduceSum" and len(total.inputs) > 1 else None
        if axes is None or attribute(total, "keepdims", 1):
            continue
        data, transpose = total.inputs[0], producer(total.inputs[0], "Transpose")
        channels_last = transpose is not None and attribute(transpose, "perm", None) == TO_CHANNELS_LAST
        if transpose is not None and channels_last and sorted(axes.tolist()) == [1, 2]:
            data = transpose.inputs[0]
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
    """The number by which a Mul or a Div multiplies; None for any other node."""
    operands = with_constant(node) if node.op_type in ("Mul", "Div") else None
    if operands is None or operands[1].size != 1:
        return None
    value = float(operands[1].item())
    if node.op_type == "Mul":
        return value
    return 1 / value if scalar(node.inputs[1]) is not None else None


def _pixels(value: ir.Value | None) -> int | None:
    """Height times width of `[batch, channels, height, width]`, if they are known."""
    shape = value.shape if value is not None else None
    if shape is None or len(shape) != 4:
        return None
    height, width = shape[2:]
    return height * width if isinstance(height, int) and isinstance(width, int) else None


def gate_channels_first(graph: ir.Graph) -> None:
    """A map that is transposed to channels-last only to be multiplied by its gate stays channels-first.

        transpose(transpose(map) * Reshape(gate, [batch, 1, 1, channels]))
        ->  map * Reshape(gate, [batch, channels, 1, 1])

    Requires that nothing else reads the product.
    """
    for back in graph:
        if back.op_type != "Transpose" or attribute(back, "perm", None) != TO_CHANNELS_FIRST:
            continue
        product = producer(back.inputs[0], "Mul")
        if product is None or only_consumer(product.outputs[0]) is not back:
            continue
        for data, gate in (product.inputs, product.inputs[::-1]):
            transpose, reshape = producer(data, "Transpose"), producer(gate, "Reshape")
            target = constant(reshape.inputs[1]) if reshape is not None else None
            if transpose is None or reshape is None or target is None or target.shape != (4,):
                continue
            if attribute(transpose, "perm", None) != TO_CHANNELS_LAST or list(target[1:3]) != [1, 1] or target[3] < 1:
                continue
            shape = new_constant(graph, target[[0, 3, 1, 2]], f"{reshape.name}/channels_first")
            first = insert(back, "Reshape", [reshape.inputs[0], shape])
            replace(back.outputs[0], insert(back, "Mul", [transpose.inputs[0], first]))
            break


def dense_as_convolution(graph: ir.Graph) -> None:
    """Dense layers between a pooling and a Reshape back to `[batch, n, 1, 1]` become 1x1 convolutions.

        Reshape(Flatten(pooled) @ weights + bias, [batch, n, 1, 1])  ->  conv(pooled, weights) + bias

    Requires inferred shapes. Class heads, which end in no such Reshape, stay matrix products.
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
    """Op type, inputs and attributes that compute a node of a dense chain on `[batch, n, 1, 1]`."""
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
    """The nodes from a Flatten to a Reshape to `[batch, n, 1, 1]`, if all are dense layers and activations."""
    chain: list[ir.Node] = []
    node = _following(flatten.outputs[0])
    while node is not None:
        if node.op_type == "Reshape":
            target = constant(node.inputs[1])
            if target is None or not reshapes_each_row(node) or not _keeps_batch(node, target):
                return None
            if target.shape == (4,) and list(target[2:]) == [1, 1] and chain:
                return [*chain, node]
            if target.shape != (2,):
                return None
        elif _is_dense(node) or node.op_type in ("Relu", "Sigmoid") or swished(node) is not None:
            chain.append(node)
        else:
            return None
        node = _following(node.outputs[0])
    return None


def _is_dense(node: ir.Node) -> bool:
    """Whether a node multiplies by constant weights, or adds a constant bias."""
    if node.op_type == "Add":
        operands = with_constant(node)
        return operands is not None and is_row(operands[1])
    if node.op_type not in ("MatMul", "Gemm") or any(constant(value) is None for value in node.inputs[1:]):
        return False
    plain = attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1 and not attribute(node, "transA", 0)
    return plain and (len(node.inputs) < 3 or is_row(_operand(node, 2)))


def _keeps_batch(reshape: ir.Node, target: Array) -> bool:
    shape = reshape.inputs[0].shape if reshape.inputs[0] is not None else None
    return target[0] in (0, -1) or (shape is not None and bool(target[0] == shape[0]))


def _following(value: ir.Value) -> ir.Node | None:
    """The only node that reads a value; of a swish, whose Sigmoid and Mul both read it, the Mul."""
    consumers = {use.node for use in value.uses()}
    product = next((node for node in consumers if swished(node) is value), None)
    if product is None:
        return only_consumer(value)
    return product if len(consumers) == 2 and not value.is_graph_output() else None
