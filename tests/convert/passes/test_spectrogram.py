"""The pass that makes framing, window and DFT two matrix products, or one convolution."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from convert.passes.frontend.spectrogram import fuse_spectrogram
from convert.tf.complex_pairs import dft_matrices
from tests.support.graphs import Array, assert_same, graph_of, ints, normal, ops

SAMPLES, FRAME, STRIDE, NFFT, BANDS = 800, 64, 32, 128, 5


def spectrogram(
    tail: str, window: Array, *, stride: int = STRIDE, nfft: int = NFFT, **weights: NDArray[np.generic]
) -> ir.Model:
    cosines, sines = dft_matrices(nfft, nfft)
    frames = (SAMPLES + FRAME // 2 - FRAME) // stride + 1
    mel = np.abs(normal(nfft // 2 + 1, BANDS))
    mel[:3] = mel[40:] = 0
    return graph_of(
        f"""
        g (float[batch, {SAMPLES}] x) => (float[batch, t, {BANDS}] y) {{
          column = Reshape (x, column_shape)
          cut = Conv <strides = [{stride}, 1], pads = [16, 0, 16, 0]> (column, cutter)
          turned = Transpose <perm = [0, 2, 3, 1]> (cut)
          frames = Reshape (turned, frames_shape)
          windowed = Mul (window, frames)
          padded = Pad (windowed, amounts)
          re = MatMul (padded, cosines) im = MatMul (padded, sines)
          {tail}
          y = MatMul (magnitude, mel)
        }}
        """,
        column_shape=ints(-1, 1, SAMPLES, 1),
        cutter=np.eye(FRAME, dtype=np.float32).reshape(FRAME, 1, FRAME, 1),
        frames_shape=ints(-1, frames, FRAME),
        window=window,
        amounts=ints(0, 0, 0, 0, 0, nfft - FRAME),
        **{"cosines": cosines, "sines": sines, "mel": mel, **weights},
    )


MAGNITUDE = "re2 = Mul (re, re) im2 = Mul (im, im) power = Add (re2, im2) magnitude = Sqrt (power)"
SCALED = """
  res = Mul (re, half) ims = Mul (im, half)
  rec = Slice (res, zero, last, one) imc = Slice (ims, zero, last, one)
  re2 = Mul (rec, rec) im2 = Mul (imc, imc) power = Add (re2, im2) magnitude = Sqrt (power)
"""


def test_spectrogram_becomes_two_products_over_the_bins_in_use() -> None:
    model = spectrogram(MAGNITUDE, np.hanning(FRAME).astype(np.float32)[None, None])
    model = assert_same(model, normal(3, SAMPLES), fuse_spectrogram)
    assert "Conv" not in ops(model)
    first, second, mel = (node.inputs[0].const_value.numpy() for node in model.graph if node.op_type == "MatMul")
    rows, cols = len(first), NFFT // len(first)
    assert first.shape == (rows, FRAME // cols)
    assert second.shape[0] == rows // 2
    assert mel.shape == (BANDS, second.shape[0] * second.shape[1] // 2)


@pytest.mark.parametrize(("stride", "nfft"), [(24, NFFT), (STRIDE, 96), (FRAME, NFFT)])
def test_spectrogram_of_other_sizes(stride: int, nfft: int) -> None:
    """A stride that does not divide the frame; a DFT that is no power of two; frames side by side."""
    model = spectrogram(MAGNITUDE, np.hanning(FRAME).astype(np.float32)[None, None], stride=stride, nfft=nfft)
    assert "Conv" not in ops(assert_same(model, normal(2, SAMPLES), fuse_spectrogram))


def test_linear_map_that_is_no_dft_becomes_one_convolution_over_the_bins_in_use() -> None:
    model = spectrogram(MAGNITUDE, np.hanning(FRAME).astype(np.float32)[None, None], sines=normal(NFFT, NFFT // 2 + 1))
    model = assert_same(model, normal(3, SAMPLES), fuse_spectrogram)
    assert ops(model)["Conv"] == ops(model)["MatMul"] == 1
    assert "Pad" not in ops(model)
    kernels = next(node for node in model.graph if node.op_type == "Conv").inputs[1].const_value.numpy()
    assert kernels.shape == (2 * 37, 1, FRAME, 1)


def test_spectrogram_that_drops_a_frame() -> None:
    weights = {"half": np.float32(0.5), "zero": ints(0), "last": ints(-1), "one": ints(1)}
    model = spectrogram(SCALED, np.hanning(FRAME).astype(np.float32)[None, None], **weights)
    model = assert_same(model, normal(2, SAMPLES), fuse_spectrogram)
    assert "Conv" not in ops(model)


def test_frames_that_are_mixed_are_left_alone() -> None:
    """A window over time instead of samples is no part of a DFT."""
    model = spectrogram(MAGNITUDE, np.hanning(25).astype(np.float32)[None, :, None])
    before = ops(model)
    assert ops(assert_same(model, normal(2, SAMPLES), fuse_spectrogram)) == before


def test_scalar_on_the_frames_is_part_of_the_map() -> None:
    model = spectrogram(MAGNITUDE, np.array(0.25, np.float32))
    model = assert_same(model, normal(2, SAMPLES), fuse_spectrogram)
    assert "Conv" not in ops(model)
