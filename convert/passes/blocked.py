"""What keeps a backbone in ONNX Runtime's blocked layout (NCHWc), and its widest tensors in the cache."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from convert.passes.edit import Array, attribute, constant, insert, new_constant, only_consumer, producer, replace

CHANNEL_BLOCK = 16
"""Channels that are stored together, on AVX-512; 8 elsewhere."""
WIDE = 1_000_000
"""Elements of a window's tensor that no core's own cache holds: 4 MB."""


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
            if data is None or sizes is None or ones != [sizes[0], 1, 1] or sizes[1:] == [1, 1]:
                continue
            following = only_consumer(product.outputs[0])
            blocked = _convolved(data) and _convolved(gate)
            if (
                not blocked
                or following is None
                or following.op_type != "Conv"
                or following.inputs[0] not in product.outputs
            ):
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
    conv = producer(node.inputs[0] if node is not None else value, "Conv")
    return conv is not None and constant(conv.inputs[1]) is not None


def split_wide_expansions(graph: ir.Graph) -> None:
    """A 1x1 convolution to a tensor too wide for the cache, and the depthwise one that shrinks it, go by channels.

    Each part's wide tensor is then read while it is still there. The values are the same.
    """
    for depthwise in graph:
        activated = producer(depthwise.inputs[0], "Relu") if depthwise.op_type == "Conv" else None
        expand = producer(activated.inputs[0], "Conv") if activated is not None else None
        sizes = _inner_sizes(depthwise.inputs[0])
        if activated is None or expand is None or sizes is None:
            continue
        channels = sizes[0]
        parts = -(-int(np.prod(sizes)) // WIDE)
        kernels, spatial = _parameters(expand, 1), _parameters(depthwise, channels)
        last = only_consumer(depthwise.outputs[0])
        private = only_consumer(expand.outputs[0]) is activated and only_consumer(activated.outputs[0]) is depthwise
        if parts < 2 or kernels is None or spatial is None or not private or last is None or last.op_type != "Relu":
            continue
        if channels % (parts * CHANNEL_BLOCK) or len(kernels[0]) != channels or kernels[0].shape[2:] != (1, 1):
            continue
        outputs = []
        for part in np.split(np.arange(channels), parts):
            value = expand.inputs[0]
            for conv, arrays in ((expand, kernels), (depthwise, spatial)):
                attributes = {name: attr.value for name, attr in conv.attributes.items()}
                if conv is depthwise:
                    attributes["group"] = len(part)
                weights = [new_constant(graph, array[part], f"{conv.name}/part") for array in arrays]
                value = insert(last, "Relu", [insert(last, "Conv", [value, *weights], attributes)])
            outputs.append(value)
        replace(last.outputs[0], insert(last, "Concat", outputs, {"axis": 1}))


def _parameters(conv: ir.Node, groups: int) -> list[Array] | None:
    """A convolution's constant weights and, where it has them, biases, if it has so many groups."""
    arrays = [constant(value) for value in conv.inputs[1:]]
    if attribute(conv, "group", 1) != groups or not all(array is not None for array in arrays):
        return None
    return [array for array in arrays if array is not None]
