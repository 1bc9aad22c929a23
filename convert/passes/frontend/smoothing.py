"""PCEN's smoothing as the linear map along time that it is.

Exported as a depthwise convolution of hundreds of taps over frames that are first prolonged into the past, it turns
the mel bands around twice and writes them out four times. Frames and taps are few and constant: it is one matrix
[frames, frames], found by following indices through the exported nodes.

An exponential average forgets all of its past but one number, so that matrix has rank 1 below its diagonal blocks.
Where this holds, what a block of frames takes from the frames before it is that number times a decay, and the product
falls to a tenth of the arithmetic.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir

from convert.passes.edit import Array, attribute, constant, insert, new_constant, only_consumer, replace
from convert.passes.layout import PICKING, ReplayError, replay

TOLERANCE = 1e-7
"""Of the sum of a frame's weights: what float32 cannot show."""


def smooth_by_matrix(graph: ir.Graph) -> None:
    """Replaces each depthwise convolution along time whose channels share one kernel, its history and its layout."""
    for conv in graph:
        taps = _shared_taps(conv)
        if taps is None:
            continue
        lengthened = conv.inputs[0]
        above, source = _picking_above(lengthened)
        sizes = list(source.shape or [])[1:] if source is not None else []
        if source is None or lengthened is None or len(sizes) != 2:
            continue
        if not all(isinstance(size, int) and size > 1 for size in sizes):
            continue
        below = _layout_below(conv)
        end = below[-1] if below else conv
        try:
            indices = _indices(*sizes)
            history = replay(above, {source: indices})[lengthened]
            if history.ndim != 4 or history.shape[3] != 1:  # not along its height alone
                continue
            history = history[..., 0]
            matrix, bands_last = _matrix(history, indices, taps)
            made = _indices(history.shape[1], len(matrix))
            left = replay(below, {conv.outputs[0]: made[..., None]})[end.outputs[0]]
        except ReplayError:
            continue
        turned = {True: made, False: made.swapaxes(1, 2)}
        frames_last = next((last for last, array in turned.items() if np.array_equal(array, left)), None)
        if frames_last is None:
            continue
        bands = insert(end, "Transpose", [source], {"perm": [0, 2, 1]}) if bands_last else source
        smooth = _apply(graph, end, bands, matrix, history.shape[1])
        replace(end.outputs[0], smooth if frames_last else insert(end, "Transpose", [smooth], {"perm": [0, 2, 1]}))


def _indices(*sizes: Any) -> Array:
    """Each element's place in an array of two windows."""
    return np.arange(2 * prod(sizes)).reshape(2, *sizes)


def _shared_taps(conv: ir.Node) -> Array | None:
    """The kernel, float64 `[taps]`, of a plain depthwise convolution along its height, if it is the same for all."""
    kernel = constant(conv.inputs[1]) if conv.op_type == "Conv" and len(conv.inputs) == 2 else None
    if kernel is None or kernel.ndim != 4 or kernel.shape[1] != 1 or kernel.shape[3] != 1 or len(kernel) < 2:
        return None
    plain = attribute(conv, "group", 1) == len(kernel) and attribute(conv, "auto_pad", "NOTSET") == "NOTSET"
    ones = {*attribute(conv, "strides", (1,)), *attribute(conv, "dilations", (1,))} == {1}
    if not plain or not ones or any(attribute(conv, "pads", (0,))) or (kernel != kernel[0]).any():
        return None
    return kernel[0, 0, :, 0].astype(np.float64)


def _picking_above(value: ir.Value | None) -> tuple[list[ir.Node], ir.Value | None]:
    """The nodes that only pick and rearrange above a value, in topological order, and the one value they pick from."""
    found: set[ir.Node] = set()
    sources: set[ir.Value] = set()
    frontier = [value] if value is not None else []
    while frontier:
        current = frontier.pop()
        node = current.producer()
        if node is None or node.op_type not in PICKING:
            sources.add(current)
        elif node not in found:
            found.add(node)
            frontier.extend(v for v in node.inputs if v is not None and constant(v) is None)
    graph = next(iter(found)).graph if found else None
    return [node for node in graph or () if node in found], sources.pop() if len(sources) == 1 else None


def _layout_below(conv: ir.Node) -> list[ir.Node]:
    below: list[ir.Node] = []
    node = only_consumer(conv.outputs[0])
    while node is not None and node.op_type in ("Reshape", "Squeeze", "Transpose"):
        below.append(node)
        node = only_consumer(node.outputs[0])
    return below


def _matrix(history: Array, indices: Array, taps: Array) -> tuple[Array, bool]:
    """The matrix `[frames, frames]` that taps over a history `[2, bands, times]` come to, and whether bands come last.

    Raises:
        ReplayError: bands or windows are mixed, or not treated alike.
    """
    for bands_last in (False, True):
        source = indices.swapaxes(1, 2) if bands_last else indices
        frames = history[0, 0] // (source[0, 0, 1] - source[0, 0, 0])
        if frames.max() < source.shape[2] and np.array_equal(source[:, :, frames], history):
            matrix = np.zeros((len(frames) - len(taps) + 1, source.shape[2]))
            for start, row in enumerate(matrix):
                np.add.at(row, frames[start : start + len(taps)], taps)
            return matrix, bands_last
    raise ReplayError("bands are mixed")


def _apply(graph: ir.Graph, before: ir.Node, bands: ir.Value, matrix: Array, channels: int) -> ir.Value:
    """`matrix` along the last axis of `bands`, `[batch, channels, frames]`."""

    def single(array: Array, name: str) -> ir.Value:
        return new_constant(graph, array.astype(np.float32), f"smoothing/{name}")

    def reshaped(value: ir.Value, *sizes: int) -> ir.Value:
        return insert(before, "Reshape", [value, new_constant(graph, np.array([0, *sizes]), "smoothing/shape")])

    frames = len(matrix)
    sizes = [n for n in range(2, frames // 2) if frames % n == 0]
    size = min(sizes, key=lambda n: abs(n - frames**0.5), default=0)
    parts = _one_number_past(matrix, size) if size and matrix.shape == (frames, frames) else None
    if parts is None:
        return insert(before, "MatMul", [bands, single(matrix.T, "matrix")])
    local, past, decay = parts
    blocks = channels * (frames // size)
    near = insert(before, "MatMul", [reshaped(bands, blocks, size), single(local.T, "local")])
    numbers = insert(before, "MatMul", [bands, single(past.T, "past")])
    far = insert(before, "Mul", [reshaped(numbers, blocks, 1), single(decay[None], "decay")])
    return reshaped(insert(before, "Add", [near, far]), channels, frames)


def _one_number_past(matrix: Array, size: int) -> tuple[Array, Array, Array] | None:
    """`local [size, size]`, `past [blocks, frames]` and `decay [size]` that make up a matrix, if it is of such a form.

    A block of frames is then `local` of itself plus `decay` times one number, its row of `past` of all frames.
    """
    frames = len(matrix)
    local = matrix[-size:, -size:]
    decay = np.linalg.svd(matrix[-size:, :-size])[0][:, 0]
    rest = matrix.reshape(frames // size, size, frames).copy()
    for block, rows in enumerate(rest):
        rows[:, block * size : (block + 1) * size] -= local
    past = np.einsum("s,bsf->bf", decay, rest)
    error = np.abs(rest - decay[:, None] * past[:, None]).sum(axis=2).max()
    return (local, past, decay) if error <= TOLERANCE * np.abs(matrix).sum(axis=1).max() else None
