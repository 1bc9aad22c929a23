"""A small spectrogram as TensorFlow exports it: frames, window, DFT and mel bands."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from convert.tf.complex_pairs import dft_matrices
from tests.support.graphs import Array, graph_of, ints, normal

SAMPLES, FRAME, STRIDE, NFFT, BANDS = 800, 64, 32, 128, 5


def spectrogram(
    tail: str, window: Array, *, stride: int = STRIDE, nfft: int = NFFT, pad: int = 16, **weights: NDArray[np.generic]
) -> ir.Model:
    cosines, sines = dft_matrices(nfft, nfft)
    frames = (SAMPLES + 2 * pad - FRAME) // stride + 1
    mel = np.abs(normal(nfft // 2 + 1, BANDS))
    mel[:3] = mel[40:] = 0
    return graph_of(
        f"""
        g (float[batch, {SAMPLES}] x) => (float[batch, t, {BANDS}] y) {{
          column = Reshape (x, column_shape)
          cut = Conv <strides = [{stride}, 1], pads = [{pad}, 0, {pad}, 0]> (column, cutter)
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


HANN = np.hanning(FRAME).astype(np.float32)[None, None]
MAGNITUDE = "re2 = Mul (re, re) im2 = Mul (im, im) power = Add (re2, im2) magnitude = Sqrt (power)"
SCALED = """
  res = Mul (re, half) ims = Mul (im, half)
  rec = Slice (res, zero, last, one) imc = Slice (ims, zero, last, one)
  re2 = Mul (rec, rec) im2 = Mul (imc, imc) power = Add (re2, im2) magnitude = Sqrt (power)
"""
SCALES = {"half": np.float32(0.5), "zero": ints(0), "last": ints(-1), "one": ints(1)}
"""What `SCALED` multiplies by, and the frames it keeps."""
