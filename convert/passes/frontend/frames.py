"""Frames as exports have them, gathered or cut by a convolution, and the steps from which they can be put together."""

from __future__ import annotations

from functools import partial
from math import ceil

import numpy as np
import onnx_ir as ir

from convert.passes.edit import Array, attribute, constant, insert, new_constant, new_ints, replace


def frames_by_convolution(graph: ir.Graph) -> None:
    """A Gather of evenly spaced frames from `[batch, samples]` becomes a convolution with an identity kernel.

        Gather(x, [[0, 1, 2], [2, 3, 4], ...])  ->  transpose(conv(x, identity, stride=2)), `[batch, frames, taps]`

    Requires inferred shapes. By itself the convolution is slower than the Gather, but `fuse_spectrogram` looks for it
    and replaces it.
    """
    for gather in graph:
        if gather.op_type != "Gather":
            continue
        indices = constant(gather.inputs[1])
        shape = gather.inputs[0].shape if gather.inputs[0] is not None else None
        if indices is None or shape is None or len(shape) != 2 or attribute(gather, "axis", 0) != 1:
            continue
        stride = _stride(indices)
        if stride is None or indices.dtype.kind != "i" or not isinstance(shape[1], int):
            continue
        frames, taps = indices.shape
        first, last = int(indices[0, 0]), int(indices[-1, -1]) + 1
        ints = partial(new_ints, graph, "frames/ints")
        samples = gather.inputs[0]
        if (first, last) != (0, shape[1]):
            samples = insert(gather, "Slice", [samples, ints(first), ints(last), ints(1)])
        column = insert(gather, "Reshape", [samples, ints(0, 1, last - first, 1)])
        identity = new_constant(graph, np.eye(taps, dtype=np.float32)[:, None, :, None], "frames/identity")
        cut = insert(gather, "Conv", [column, identity], {"kernel_shape": [taps, 1], "strides": [stride, 1]})
        rows = insert(gather, "Reshape", [cut, ints(0, taps, frames)])
        replace(gather.outputs[0], insert(gather, "Transpose", [rows], {"perm": [0, 2, 1]}))


def _stride(indices: Array) -> int | None:
    """Samples from one frame's start to the next; None if indices `[frames, taps]` are not evenly spaced runs."""
    if indices.ndim != 2 or min(indices.shape) < 2:
        return None
    starts = indices[:, :1]
    stride = int(starts[1, 0] - starts[0, 0])
    even = (np.diff(starts[:, 0]) == stride).all() and (indices == starts + np.arange(indices.shape[1])).all()
    return stride if even and stride > 0 and starts[0, 0] >= 0 else None


def cut_into_steps(graph: ir.Graph, before: ir.Node, conv: ir.Node, taps: int) -> tuple[ir.Value, int, int] | None:
    """Inserts nodes that lay out the samples from which a convolution cuts frames of `taps` samples.

    Returns `[batch, steps, stride]`, the number of frames, and the number of steps that a frame spans: frame i starts
    with step i. None if the convolution has other attributes than strides and pads, or sizes are unknown.
    """
    shape, out = (value.shape if value is not None else None for value in (conv.inputs[0], conv.outputs[0]))
    dilated = set(attribute(conv, "dilations", (1,))) != {1} or attribute(conv, "auto_pad", "NOTSET") != "NOTSET"
    if shape is None or out is None or not isinstance(shape[2], int) or not isinstance(out[2], int) or dilated:
        return None
    samples, frames, stride = shape[2], out[2], attribute(conv, "strides", (1, 1))[0]
    span = ceil(taps / stride)
    steps = frames + span - 1
    front = attribute(conv, "pads", (0, 0, 0, 0))[0]
    ints = partial(new_ints, graph, "frames/ints")
    back, column = steps * stride - front - samples, conv.inputs[0]
    if front or back:
        column = insert(before, "Pad", [column, ints(0, 0, front, 0, 0, 0, back, 0)])
    return insert(before, "Reshape", [column, ints(0, steps, stride)]), frames, span
