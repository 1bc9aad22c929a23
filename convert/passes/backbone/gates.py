"""What keeps squeeze-and-excite's gates in ONNX Runtime's blocked layout (NCHWc)."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from convert.passes.edit import constant, insert, new_constant, only_consumer, producer, replace, swished


def gate_by_map(graph: ir.Graph) -> None:
    """The gate of squeeze-and-excite, `[batch, channels, 1, 1]`, is spread over its map before it multiplies it.

    ONNX Runtime multiplies blocked tensors of one shape alone. For any other product it turns its largest tensors to
    the plain layout and back, two passes over memory where spreading a gate is half of one.
    """
    for product in graph:
        if product.op_type != "Mul":
            continue
        for data, gate in (product.inputs, product.inputs[::-1]):
            sizes, ones = _inner_sizes(data), _inner_sizes(gate)
            if sizes is None or ones != [sizes[0], 1, 1] or sizes[1:] == [1, 1]:
                continue
            following = only_consumer(product.outputs[0])
            if following is None or following.op_type != "Conv" or not (_convolved(data) and _convolved(gate)):
                continue
            scales = new_constant(graph, np.array([1, 1, *sizes[1:]], np.float32), f"{product.name}/spread")
            nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            spread = insert(product, "Resize", [gate, None, scales], nearest)
            replace(product.outputs[0], insert(product, "Mul", [data, spread]))
            break


def _inner_sizes(value: ir.Value | None) -> list[int] | None:
    """Channels, height and width of `[batch, channels, height, width]`, if they are known."""
    shape = value.shape if value is not None else None
    if shape is None or len(shape) != 4:
        return None
    sizes = [size for size in shape[1:] if isinstance(size, int)]
    return sizes if len(sizes) == 3 else None


def _convolved(value: ir.Value | None) -> bool:
    """Whether a convolution makes a value, activated or not."""
    node = producer(value, "Relu", "Sigmoid")
    before = swished(producer(value, "Mul")) if node is None else node.inputs[0]
    conv = producer(value if before is None else before, "Conv")
    return conv is not None and constant(conv.inputs[1]) is not None
