"""Squeeze-and-excite's gates kept in ONNX Runtime's blocked layout (NCHWc)."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from convert.passes.edit import constant, insert, new_constant, only_consumer, producer, replace, swished
from convert.passes.rows import row_shape


def gate_by_map(graph: ir.Graph) -> None:
    """Gates `[batch, channels, 1, 1]` are resized to the map `[batch, channels, height, width]` that they multiply.

        conv(map * gate)  ->  conv(map * Resize(gate))

    ONNX Runtime multiplies blocked tensors only if they have the same shape. For other products it turns its largest
    tensors to the plain layout and back: two passes over memory, where resizing a gate is half of one. Matches where
    convolutions make both operands and one reads the product, all in the blocked layout.
    """
    for product in graph:
        if product.op_type != "Mul":
            continue
        for data, gate in (product.inputs, product.inputs[::-1]):
            sizes, ones = row_shape(data), row_shape(gate)
            if sizes is None or len(sizes) != 3 or ones != [sizes[0], 1, 1] or sizes[1:] == [1, 1]:
                continue
            following = only_consumer(product.outputs[0])
            if following is None or following.op_type != "Conv" or not (_convolved(data) and _convolved(gate)):
                continue
            scales = new_constant(graph, np.array([1, 1, *sizes[1:]], np.float32), f"{product.name}/scales")
            nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            resized = insert(product, "Resize", [gate, None, scales], nearest)
            replace(product.outputs[0], insert(product, "Mul", [data, resized]))
            break


def _convolved(value: ir.Value | None) -> bool:
    """Whether a convolution with constant weights computes a value, with an activation after it or without."""
    node = producer(value, "Relu", "Sigmoid")
    before = swished(producer(value, "Mul")) if node is None else node.inputs[0]
    conv = producer(value if before is None else before, "Conv")
    return conv is not None and constant(conv.inputs[1]) is not None
