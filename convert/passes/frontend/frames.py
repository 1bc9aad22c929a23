"""Frames gathered by indices written as the convolution that other exports cut them with."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from convert.passes.edit import Array, attribute, constant, insert, new_constant, replace


def frames_by_convolution(graph: ir.Graph) -> None:
    """A Gather of overlapping frames `[batch, frames, taps]` from `[batch, samples]`, evenly spaced.

    An identity kernel is slower than a Gather; but `fuse_spectrogram` knows it, and leaves nothing of it.
    """
    for gather in graph:
        if gather.op_type != "Gather":
            continue
        places = constant(gather.inputs[1])
        shape = gather.inputs[0].shape if gather.inputs[0] is not None else None
        if places is None or shape is None or len(shape) != 2 or attribute(gather, "axis", 0) != 1:
            continue
        stride = _stride(places)
        if stride is None or places.dtype.kind != "i" or not isinstance(shape[1], int):
            continue
        frames, taps = places.shape
        first, last = int(places[0, 0]), int(places[-1, -1]) + 1

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


def _stride(places: Array) -> int | None:
    """From one frame's start to the next, where each frame holds the samples that follow its start."""
    if places.ndim != 2 or min(places.shape) < 2:
        return None
    starts = places[:, :1]
    stride = int(starts[1, 0] - starts[0, 0])
    even = (np.diff(starts[:, 0]) == stride).all() and (places == starts + np.arange(places.shape[1])).all()
    return stride if even and stride > 0 and starts[0, 0] >= 0 else None
