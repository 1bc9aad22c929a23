"""Framing, window and DFT as one convolution, over only the bins that the mel matrix uses.

As exported, frames are cut by an identity kernel (0.2 GFLOP to copy), multiplied by a window, padded to the FFT's
length and transformed bin by bin, also where the mel matrix is zero. All of it is linear in the samples: together it
is a single convolution whose kernels are windowed cosines and sines. Magnitudes are then taken channels-first, as the
convolution leaves them, and only the mel bands (a sixth of the bins) are turned to channels-last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from convert.passes.edit import (
    Array,
    attribute,
    constant,
    insert,
    is_row,
    new_constant,
    producer,
    replace,
    with_constant,
    zero_pads,
)

ELEMENTWISE = {"Abs", "Add", "Mul", "Pow", "Sqrt", "Sub"}


@dataclass(frozen=True)
class Transform:
    """A MatMul that takes bins from frames that a convolution cuts."""

    conv: ir.Node
    matmul: ir.Node
    kernel: Array
    """`float64 [bins, taps]`: what the MatMul, its padding and its window come to, on the samples of a frame."""


def fuse_spectrogram(graph: ir.Graph) -> None:
    """Rewrites each mel product whose bins all come from DFTs of one set of frames."""
    for mel in graph:
        weights = constant(mel.inputs[1]) if mel.op_type == "MatMul" else None
        if weights is None or weights.ndim != 2:
            continue
        region = _region_above(mel)
        transforms = [_transform(node) for node in region if node.op_type == "MatMul"]
        found = [t for t in transforms if t is not None]
        if not found or len(found) < len(transforms) or len({t.conv for t in found}) > 1 or not _closed(region, mel):
            continue
        if {t.kernel.shape[0] for t in found} == {weights.shape[0]}:
            _rewrite(graph, mel, weights, region, found)


def _region_above(mel: ir.Node) -> list[ir.Node]:
    """The elementwise nodes that lead to a mel product and, where they start, MatMuls; in topological order."""
    region: set[ir.Node] = set()
    frontier = [mel.inputs[0]]
    while frontier:
        value = frontier.pop()
        node = value.producer() if value is not None else None
        if node is None or node in region:
            continue
        region.add(node)
        if node.op_type == "Slice":
            frontier.append(node.inputs[0])
        elif node.op_type in ELEMENTWISE:
            frontier.extend(node.inputs)
    return [node for node in mel.graph or () if node in region]


def _closed(region: list[ir.Node], mel: ir.Node) -> bool:
    """Whether nothing else reads what the region computes, and nothing but numbers and frames enters it."""
    for node in region:
        if any(use.node not in region and use.node is not mel for use in node.outputs[0].uses()):
            return False
        if node.op_type == "Slice":
            axes = constant(node.inputs[3]) if len(node.inputs) == 4 else None
            if axes is None or axes.tolist() != [1]:
                return False
        elif node.op_type in ELEMENTWISE:
            inputs = [value for value in node.inputs if value is not None and value.producer() not in region]
            if any((array := constant(value)) is None or array.size != 1 for value in inputs):
                return False
        elif node.op_type != "MatMul":
            return False
        if node.outputs[0].is_graph_output():
            return False
    return True


def _transform(matmul: ir.Node) -> Transform | None:
    """Follows a MatMul's frames up to the convolution that cuts them, gathering the linear map on the way."""
    matrix = constant(matmul.inputs[1])
    if matrix is None or matrix.ndim != 2:
        return None
    total = matrix.astype(np.float64)
    value = matmul.inputs[0]
    while (node := producer(value, "Pad", "Mul")) is not None:
        if node.op_type == "Pad":
            pads = zero_pads(node)
            if pads is None:
                return None
            rank = len(pads) // 2
            front, back = pads[rank - 1], pads[-1]
            if any(pads[: rank - 1] + pads[rank:-1]) or front < 0 or back < 0:
                return None
            total = total[front : len(total) - back]
            value = node.inputs[0]
        else:
            operands = with_constant(node)
            if (
                operands is None
                or not is_row(factor := np.atleast_1d(operands[1]))
                or factor.size not in (1, len(total))
            ):
                return None
            total = factor.astype(np.float64).reshape(-1, 1) * total
            value = operands[0]
    layout: list[ir.Node] = []
    while (node := producer(value, "Reshape", "Transpose", "Squeeze")) is not None:
        layout.append(node)
        value = node.inputs[0]
    conv = producer(value, "Conv")
    if conv is None or not _cuts_frames(conv, layout[::-1]):
        return None
    cutter = np.asarray(constant(conv.inputs[1]), np.float64)[:, 0, :, 0]
    return Transform(conv, matmul, total.T @ cutter) if len(cutter) == len(total) else None


def _cuts_frames(conv: ir.Node, layout: list[ir.Node]) -> bool:
    """Whether a convolution's output `[batch, taps, frames, 1]` is only turned to `[batch, frames, taps]` by `layout`.

    Shown by moving indices through the layout's nodes for a batch of two.
    """
    kernel = constant(conv.inputs[1])
    plain = attribute(conv, "group", 1) == 1 and len(conv.inputs) == 2
    if kernel is None or kernel.ndim != 4 or kernel.shape[1] != 1 or kernel.shape[3] != 1 or not plain:
        return False
    shape = conv.outputs[0].shape
    if shape is None or not isinstance(shape[2], int):
        return False
    indices: Array = np.arange(2 * kernel.shape[0] * shape[2]).reshape(2, kernel.shape[0], shape[2], 1)
    try:
        moved = _replayed(layout, indices)
    except ValueError:  # not for a batch of two
        return False
    return moved.shape == (2, shape[2], kernel.shape[0]) and bool((moved == indices[..., 0].transpose(0, 2, 1)).all())


def _replayed(layout: list[ir.Node], array: Array) -> Array:
    """What nodes that only rearrange make of an array whose first axis is a batch of two."""
    for node in layout:
        if node.op_type == "Transpose":
            array = array.transpose(attribute(node, "perm", None))
            continue
        sizes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
        if sizes is None:
            raise ValueError(f"{node.op_type} to sizes that are not constant")
        if node.op_type == "Squeeze":
            array = np.squeeze(array, tuple(sizes.tolist()))
        else:  # a leading 0 copies the batch, a leading 1 is the batch of a graph for one window
            target = [2 if i == 0 and size in (0, 1) else int(size) for i, size in enumerate(sizes)]
            array = array.reshape(target)
    return array


def _rewrite(graph: ir.Graph, mel: ir.Node, weights: Array, region: list[ir.Node], transforms: list[Transform]) -> None:
    used = np.flatnonzero(weights.any(axis=1))
    kernels = np.concatenate([t.kernel[used] for t in transforms])[:, None, :, None]
    first, conv = region[0], transforms[0].conv
    attributes = {name: attr.value for name, attr in conv.attributes.items()}
    inputs = [conv.inputs[0], new_constant(graph, kernels.astype(np.float32), "dft/kernels")]
    bins = insert(first, "Squeeze", [insert(first, "Conv", inputs, attributes), _ints(graph, [3])])
    for i, transform in enumerate(transforms):
        ends = [_ints(graph, [i * len(used)]), _ints(graph, [(i + 1) * len(used)]), _ints(graph, [1])]
        replace(transform.matmul.outputs[0], insert(first, "Slice", [bins, *ends]))
    for node in region:
        node.outputs[0].shape = None  # turned around
        if node.op_type == "Slice":  # of frames, which now are the last axis
            node.replace_input_with(3, _ints(graph, [2]))
    turned = new_constant(graph, weights[used].T, "mel/bands")
    bands = insert(mel, "MatMul", [turned, mel.inputs[0]])
    replace(mel.outputs[0], insert(mel, "Transpose", [bands], {"perm": [0, 2, 1]}))


def _ints(graph: ir.Graph, values: list[int]) -> ir.Value:
    return new_constant(graph, np.array(values, np.int64), "spectrogram/ints")
