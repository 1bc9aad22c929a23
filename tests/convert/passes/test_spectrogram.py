"""The passes that make framing, window and DFT small matrix products, one convolution, or large products for GPUs."""

from __future__ import annotations

import numpy as np
import pytest

from convert.passes.frontend.dense import multiply_frames
from convert.passes.frontend.spectrogram import fuse_spectrogram
from tests.support.graphs import assert_same, normal, ops
from tests.support.spectrograms import BANDS, FRAME, HANN, MAGNITUDE, NFFT, SAMPLES, SCALED, SCALES, STRIDE, spectrogram


def test_spectrogram_becomes_two_products_over_the_bins_in_use() -> None:
    model = spectrogram(MAGNITUDE, HANN)
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
    model = assert_same(spectrogram(MAGNITUDE, HANN, stride=stride, nfft=nfft), normal(2, SAMPLES), fuse_spectrogram)
    assert "Conv" not in ops(model)


def test_samples_that_fill_the_frames_are_not_padded() -> None:
    model = assert_same(spectrogram(MAGNITUDE, HANN, pad=0), normal(2, SAMPLES), fuse_spectrogram)
    assert not {"Conv", "Pad"} & ops(model).keys()


def test_linear_map_that_is_no_dft_becomes_one_convolution_over_the_bins_in_use() -> None:
    model = spectrogram(MAGNITUDE, HANN, sines=normal(NFFT, NFFT // 2 + 1))
    model = assert_same(model, normal(3, SAMPLES), fuse_spectrogram)
    assert ops(model)["Conv"] == ops(model)["MatMul"] == 1
    assert "Pad" not in ops(model)
    kernels = next(node for node in model.graph if node.op_type == "Conv").inputs[1].const_value.numpy()
    assert kernels.shape == (2 * 37, 1, FRAME, 1)


def test_spectrogram_that_drops_a_frame() -> None:
    model = spectrogram(SCALED, HANN, **SCALES)
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


@pytest.mark.parametrize(("stride", "nfft"), [(STRIDE, NFFT), (24, NFFT), (STRIDE, 96), (FRAME, NFFT)])
def test_frames_of_a_batch_are_multiplied_at_once(stride: int, nfft: int) -> None:
    model = assert_same(spectrogram(MAGNITUDE, HANN, stride=stride, nfft=nfft), normal(3, SAMPLES), multiply_frames)
    products = [node for node in model.graph if node.op_type == "MatMul"]
    assert len(products) == 3
    assert "Conv" not in ops(model) and "Transpose" not in ops(model)
    real, imaginary, mel = (product.inputs[1].const_value.numpy() for product in products)
    assert real.shape == imaginary.shape == (-(-FRAME // stride) * stride, len(mel))
    assert len(mel) % 4 == 0


def test_dense_spectrogram_that_drops_a_frame() -> None:
    model = assert_same(spectrogram(SCALED, HANN, **SCALES), normal(2, SAMPLES), multiply_frames)
    assert "Conv" not in ops(model)


def test_frames_that_are_mixed_are_not_multiplied() -> None:
    model = spectrogram(MAGNITUDE, np.hanning(25).astype(np.float32)[None, :, None])
    before = ops(model)
    assert ops(assert_same(model, normal(2, SAMPLES), multiply_frames)) == before
