"""Framing, window and DFT as large matrix products, for GPUs.

    abs(Pad(frames(x) * window) @ dft) @ mel  ->  abs(frames(x) @ kernels) @ mel

`kernels` are the windowed cosines, and the sines, of the bins that the mel matrix uses. This takes seven times the
arithmetic of the factors in `dft`, which a GPU has to spare: each is one product of `batch * frames` rows in place of
many small ones. ONNX Runtime's CUDA provider computes `data @ constant` as one product for the whole batch, but
`constant @ data` as one for each window, by pointers that it copies to the GPU in every run.

Not a convolution over samples: their single channel would fill a quarter or less of what a GPU's matrix units take at
once.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import onnx_ir as ir

from convert.passes.edit import attribute, insert, new_constant, new_ints, replace
from convert.passes.frontend.frames import cut_into_steps
from convert.passes.frontend.spectrogram import Spectrogram, find_spectrograms

ALIGNMENT = 4
"""Rows of a matrix start at multiples of so many numbers: 16 bytes, which matrix units load at once."""


def multiply_frames(graph: ir.Graph) -> None:
    """Computes the bins of each mel product in two products of frames and kernels, the real and the imaginary parts.

    Requires inferred shapes. Matches what `fuse_spectrogram` matches, for any kernels.
    """
    for spectrogram in find_spectrograms(graph):
        frames = _frames(graph, spectrogram)
        if frames is not None:
            _rewrite(graph, spectrogram, frames)


def _frames(graph: ir.Graph, spectrogram: Spectrogram) -> ir.Value | None:
    """Inserts nodes that cut `[batch, frames, span * stride]`: whole steps, so that frames may be longer than cut."""
    before = spectrogram.region[0]
    cut = cut_into_steps(graph, before, spectrogram.conv, spectrogram.kernels[0].shape[1])
    if cut is None:
        return None
    steps, count, span = cut
    ints = partial(new_ints, graph, "spectrogram/ints")
    axis = ints(1)
    shifted = [insert(before, "Slice", [steps, ints(step), ints(step + count), axis]) for step in range(span)]
    return insert(before, "Concat", shifted, {"axis": 2}) if span > 1 else shifted[0]


def _rewrite(graph: ir.Graph, spectrogram: Spectrogram, frames: ir.Value) -> None:
    before, mel = spectrogram.region[0], spectrogram.mel
    taps, stride = spectrogram.kernels[0].shape[1], attribute(spectrogram.conv, "strides", (1, 1))[0]
    unused = -len(spectrogram.used) % ALIGNMENT
    for transform, kernel in zip(spectrogram.transforms, spectrogram.kernels, strict=True):
        # Unused bins repeat one in use, so that whatever is computed from them stays finite.
        wide = np.pad(kernel, ((0, unused), (0, 0)), "edge").astype(np.float32)
        matrix = np.pad(wide, ((0, 0), (0, -taps % stride))).T
        product = insert(before, "MatMul", [frames, new_constant(graph, matrix, "dft/kernels")])
        replace(transform.matmul.outputs[0], product)
    for node in spectrogram.region:
        node.outputs[0].shape = None  # fewer bins
    bands = np.pad(spectrogram.weights[spectrogram.used], ((0, unused), (0, 0)))
    mel.replace_input_with(1, new_constant(graph, bands, "mel/bands"))
