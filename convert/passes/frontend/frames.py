"""Frames that are gathered by indices, cut by a convolution as other exports do it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from convert.passes.edit import Array, attribute, constant, insert, new_constant, replace


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

        def ints(*values: int) -> ir.Value:
            return new_constant(graph, np.array(values, np.int64), "frames/ints")

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
