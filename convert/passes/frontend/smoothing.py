"""PCEN's smoothing along time as a matrix product.

    conv(concat(history, x), taps)  ->  matrix @ x, with a matrix [frames, frames]

Exported as a depthwise convolution of hundreds of taps over frames that are first extended into the past, smoothing
transposes the mel bands twice and writes them to memory four times. It is linear, and frames and taps are few and
constant: the matrix is found by running the exported nodes on indices.

An exponential average keeps one number of its past, so below its diagonal blocks the matrix has rank 1. There the
influence of earlier frames on a block is that number times a decay, and the product takes a tenth of the arithmetic.
A GPU, which has arithmetic to spare, multiplies by the whole matrix.
"""

from __future__ import annotations

from math import prod

import numpy as np
import onnx_ir as ir

from convert.passes.edit import Array, attribute, constant, insert, new_constant, only_consumer, replace
from convert.passes.layout import MOVING, ReplayError, replay
from convert.passes.rows import row_shape

TOLERANCE = 1e-7
"""Greatest error of the low-rank form, relative to the sum of a frame's weights: below what float32 resolves."""


def smooth_by_matrix(graph: ir.Graph, by_blocks: bool = True) -> None:
    """Replaces each depthwise convolution along time whose channels share one kernel, with its history and layout.

    Multiplies by blocks of low rank where the matrix has that form, unless `by_blocks` is False.

    Requires inferred shapes. The convolution stays where the nodes before it mix bands or windows, or those after it do
    more than put time and bands in another order.
    """
    for conv in graph:
        taps = _shared_taps(conv)
        if taps is None:
            continue
        extended = conv.inputs[0]
        above, source = _moving_above(extended)
        sizes = row_shape(source)
        if source is None or extended is None or sizes is None or len(sizes) != 2 or min(sizes) < 2:
            continue
        below = _layout_below(conv)
        end = below[-1] if below else conv
        try:
            indices = _indices(*sizes)
            history = replay(above, {source: indices})[extended]
            if history.ndim != 4 or history.shape[3] != 1:
                continue
            history = history[..., 0]
            matrix, bands_last = _matrix(history, indices, taps)
            smoothed = _indices(history.shape[1], len(matrix))
            result = replay(below, {conv.outputs[0]: smoothed[..., None]})[end.outputs[0]]
        except ReplayError:
            continue
        layouts = {True: smoothed, False: smoothed.swapaxes(1, 2)}
        frames_last = next((last for last, array in layouts.items() if np.array_equal(array, result)), None)
        if frames_last is None:
            continue
        bands = insert(end, "Transpose", [source], {"perm": [0, 2, 1]}) if bands_last else source
        parts = _low_rank(matrix) if by_blocks else None
        smooth = _apply(graph, end, bands, matrix, history.shape[1], parts)
        replace(end.outputs[0], smooth if frames_last else insert(end, "Transpose", [smooth], {"perm": [0, 2, 1]}))


def _indices(*sizes: int) -> Array:
    """The index of each element, in an array of two windows of these sizes."""
    return np.arange(2 * prod(sizes)).reshape(2, *sizes)


def _shared_taps(conv: ir.Node) -> Array | None:
    """The kernel, float64 `[taps]`, of a plain depthwise convolution along height with one kernel for all channels."""
    kernel = constant(conv.inputs[1]) if conv.op_type == "Conv" and len(conv.inputs) == 2 else None
    if kernel is None or kernel.ndim != 4 or kernel.shape[1] != 1 or kernel.shape[3] != 1 or len(kernel) < 2:
        return None
    plain = attribute(conv, "group", 1) == len(kernel) and attribute(conv, "auto_pad", "NOTSET") == "NOTSET"
    ones = {*attribute(conv, "strides", (1,)), *attribute(conv, "dilations", (1,))} == {1}
    if not plain or not ones or any(attribute(conv, "pads", (0,))) or (kernel != kernel[0]).any():
        return None
    return kernel[0, 0, :, 0].astype(np.float64)


def _moving_above(value: ir.Value | None) -> tuple[list[ir.Node], ir.Value | None]:
    """The nodes before a value that only move elements, in topological order, and the one value they start from."""
    nodes: set[ir.Node] = set()
    sources: set[ir.Value] = set()
    frontier = [value] if value is not None else []
    while frontier:
        current = frontier.pop()
        node = current.producer()
        if node is None or node.op_type not in MOVING:
            sources.add(current)
        elif node not in nodes:
            nodes.add(node)
            frontier.extend(v for v in node.inputs if v is not None and constant(v) is None)
    graph = next(iter(nodes)).graph if nodes else None
    return [node for node in graph or () if node in nodes], sources.pop() if len(sources) == 1 else None


def _layout_below(conv: ir.Node) -> list[ir.Node]:
    """The nodes after a convolution, each the only consumer of the one before, that only change its layout."""
    below: list[ir.Node] = []
    node = only_consumer(conv.outputs[0])
    while node is not None and node.op_type in ("Reshape", "Squeeze", "Transpose"):
        below.append(node)
        node = only_consumer(node.outputs[0])
    return below


def _matrix(history: Array, indices: Array, taps: Array) -> tuple[Array, bool]:
    """The matrix `[frames, frames]` of a convolution with taps, and whether bands are the source's last axis.

    Args:
        history: `[2, bands, times]`, the convolution's input in indices of the source.
        indices: `[2, frames, bands]` or `[2, bands, frames]`, those of the source itself.

    Raises:
        ReplayError: bands or windows are mixed, or have different histories.
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


def _apply(
    graph: ir.Graph,
    before: ir.Node,
    bands: ir.Value,
    matrix: Array,
    channels: int,
    parts: tuple[Array, Array, Array] | None,
) -> ir.Value:
    """Inserts the product of `bands`, `[batch, channels, frames]`, with the matrix, or its parts, along frames."""

    def single(array: Array, name: str) -> ir.Value:
        return new_constant(graph, array.astype(np.float32), f"smoothing/{name}")

    def reshaped(value: ir.Value, *sizes: int) -> ir.Value:
        return insert(before, "Reshape", [value, new_constant(graph, np.array([0, *sizes]), "smoothing/shape")])

    if parts is None:
        return insert(before, "MatMul", [bands, single(matrix.T, "matrix")])
    local, past, decay = parts
    frames, size = len(matrix), len(local)
    blocks = channels * (frames // size)
    near = insert(before, "MatMul", [reshaped(bands, blocks, size), single(local.T, "local")])
    numbers = insert(before, "MatMul", [bands, single(past.T, "past")])
    far = insert(before, "Mul", [reshaped(numbers, blocks, 1), single(decay[None], "decay")])
    return reshaped(insert(before, "Add", [near, far]), channels, frames)


def _low_rank(matrix: Array) -> tuple[Array, Array, Array] | None:
    """`local [size, size]`, `past [blocks, frames]` and `decay [size]`, if the matrix has that form to `TOLERANCE`.

    block i of (matrix @ x)  =  local @ (block i of x) + decay * (past[i] @ x)
    """
    frames = len(matrix)
    sizes = [n for n in range(2, frames // 2) if frames % n == 0]
    if not sizes or matrix.shape != (frames, frames):
        return None
    size = min(sizes, key=lambda n: abs(n - frames**0.5))
    local = matrix[-size:, -size:]
    decay = np.linalg.svd(matrix[-size:, :-size])[0][:, 0]
    rest = matrix.reshape(frames // size, size, frames).copy()
    for block, rows in enumerate(rest):
        rows[:, block * size : (block + 1) * size] -= local
    past = np.einsum("s,bsf->bf", decay, rest)
    error = np.abs(rest - decay[:, None] * past[:, None]).sum(axis=2).max()
    return (local, past, decay) if error <= TOLERANCE * np.abs(matrix).sum(axis=1).max() else None
