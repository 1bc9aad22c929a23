"""Framing, window and DFT fused, for only those bins that the mel matrix uses.

    abs(Pad(frames(x) * window) @ dft) @ mel  ->  transpose(mel.T @ abs(kernels applied to x))

As exported, frames are cut by a convolution with an identity kernel (0.2 GFLOP to copy), multiplied by a window, padded
to the DFT's length and transformed, also to bins where the mel matrix is zero. All of it is linear in the samples: a
matrix per frame, of windowed cosines and sines, which `dft` factorises. Another matrix becomes the kernels of a
convolution. Magnitudes are taken channels-first, as both give them; only the mel bands (half as many as bins) are
transposed to channels-last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_ir as ir

from convert.passes.edit import (
    Array,
    attribute,
    constant,
    insert,
    is_row,
    new_constant,
    new_ints,
    producer,
    replace,
    with_constant,
    zero_pads,
)
from convert.passes.frontend.dft import factorise, insert_factors
from convert.passes.layout import ReplayError, replay

ELEMENTWISE = {"Abs", "Add", "Mul", "Pow", "Sqrt", "Sub"}


@dataclass(frozen=True)
class Transform:
    """A MatMul that computes bins, of frames that a convolution cuts."""

    conv: ir.Node
    matmul: ir.Node
    kernel: Array
    """`float64 [bins, taps]`: window, padding and MatMul as one matrix on the samples of a frame."""
    length: int
    """Samples per frame that the MatMul takes, padding included: the length of the DFT, if it is one."""


@dataclass(frozen=True)
class Spectrogram:
    """A mel product whose bins all come from transforms of the same frames."""

    mel: ir.Node
    weights: Array
    """`[bins, bands]`"""
    region: list[ir.Node]
    """The elementwise nodes before it, and the MatMuls they start from, in topological order."""
    transforms: list[Transform]

    @property
    def conv(self) -> ir.Node:
        """The convolution that cuts the frames."""
        return self.transforms[0].conv

    @property
    def used(self) -> Array:
        """The bins that the mel bands use."""
        return np.flatnonzero(self.weights.any(axis=1))

    @property
    def kernels(self) -> list[Array]:
        """`float64 [used bins, taps]` of each transform."""
        return [transform.kernel[self.used] for transform in self.transforms]


def fuse_spectrogram(graph: ir.Graph) -> None:
    """Rewrites each mel product whose bins all come from transforms of the same frames.

    Requires inferred shapes. Left alone where the nodes between frames and mel product are not elementwise, or others
    read them.
    """
    for spectrogram in find_spectrograms(graph):
        _rewrite(graph, spectrogram)


def find_spectrograms(graph: ir.Graph) -> Iterator[Spectrogram]:
    """The mel products that `fuse_spectrogram` rewrites."""
    for mel in graph:
        weights = constant(mel.inputs[1]) if mel.op_type == "MatMul" else None
        if weights is None or weights.ndim != 2:
            continue
        region = _region_above(mel)
        followed = [_transform(node) for node in region if node.op_type == "MatMul"]
        transforms = [t for t in followed if t is not None]
        if len(transforms) < len(followed) or len({t.conv for t in transforms}) != 1 or not _closed(region, mel):
            continue
        if {t.kernel.shape[0] for t in transforms} == {weights.shape[0]}:
            yield Spectrogram(mel, weights, region, transforms)


def _region_above(mel: ir.Node) -> list[ir.Node]:
    """The elementwise nodes before a mel product, up to the MatMuls they start from, in topological order."""
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
    """Whether only the mel product reads the region, and only scalars and frames enter it."""
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
    """Follows a MatMul's frames up to the convolution that cuts them, multiplying all matrices on the way."""
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
            factor = np.atleast_1d(operands[1]) if operands is not None else None
            if operands is None or factor is None or not is_row(factor) or factor.size not in (1, len(total)):
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
    return Transform(conv, matmul, total.T @ cutter, len(matrix)) if len(cutter) == len(total) else None


def _cuts_frames(conv: ir.Node, layout: list[ir.Node]) -> bool:
    """Whether nodes transpose a plain convolution's output `[batch, taps, frames, 1]` to `[batch, frames, taps]`."""
    kernel = constant(conv.inputs[1])
    plain = attribute(conv, "group", 1) == 1 and len(conv.inputs) == 2
    if kernel is None or kernel.ndim != 4 or kernel.shape[1] != 1 or kernel.shape[3] != 1 or not plain:
        return False
    shape = conv.outputs[0].shape
    if shape is None or not isinstance(shape[2], int) or not layout:
        return False
    indices: Array = np.arange(2 * kernel.shape[0] * shape[2]).reshape(2, kernel.shape[0], shape[2], 1)
    try:
        moved = replay(layout, {conv.outputs[0]: indices})[layout[-1].outputs[0]]
    except ReplayError:
        return False
    return moved.shape == (2, shape[2], kernel.shape[0]) and bool((moved == indices[..., 0].transpose(0, 2, 1)).all())


def _rewrite(graph: ir.Graph, spectrogram: Spectrogram) -> None:
    mel, weights, used, kernels = spectrogram.mel, spectrogram.weights, spectrogram.used, spectrogram.kernels
    first, conv = spectrogram.region[0], spectrogram.conv
    ints = partial(new_ints, graph, "spectrogram/ints")
    factors = factorise(kernels, used, spectrogram.transforms[0].length)
    frames = mel.outputs[0].shape[1] if mel.outputs[0].shape is not None else None
    spectra = insert_factors(graph, first, conv, factors) if factors is not None else None
    grouped = factors is not None and spectra is not None and isinstance(frames, int)
    order = factors.order if factors is not None and grouped else np.arange(len(used))
    if spectra is None or not grouped:
        spectra = _dense(graph, first, conv, kernels)
    for transform, spectrum in zip(spectrogram.transforms, spectra, strict=True):
        replace(transform.matmul.outputs[0], spectrum)
    for node in spectrogram.region:
        node.outputs[0].shape = None  # now channels-first
        if node.op_type == "Slice":  # along frames, now the last axis
            node.replace_input_with(3, ints(3 if grouped else 2))
    bands = np.where(order >= 0, weights[used[order]].T, 0)  # the padding of a group has no weight
    magnitude = mel.inputs[0]
    if grouped and isinstance(frames, int):
        magnitude = insert(mel, "Reshape", [magnitude, ints(0, len(order), frames)])
    product = insert(mel, "MatMul", [new_constant(graph, bands.astype(weights.dtype), "mel/bands"), magnitude])
    replace(mel.outputs[0], insert(mel, "Transpose", [product], {"perm": [0, 2, 1]}))


def _dense(graph: ir.Graph, before: ir.Node, conv: ir.Node, kernels: list[Array]) -> list[ir.Value]:
    """Inserts one convolution with all kernels; returns `[batch, bins, frames]` for each."""
    ints = partial(new_ints, graph, "spectrogram/ints")
    joined = np.concatenate(kernels)[:, None, :, None].astype(np.float32)
    attributes = {name: attr.value for name, attr in conv.attributes.items()}
    convolved = insert(before, "Conv", [conv.inputs[0], new_constant(graph, joined, "dft/kernels")], attributes)
    bins = insert(before, "Squeeze", [convolved, ints(3)])
    count = len(kernels[0])
    ends = [[ints(n) for n in (i * count, (i + 1) * count, 1)] for i in range(len(kernels))]
    return [insert(before, "Slice", [bins, *slice_]) for slice_ in ends]
