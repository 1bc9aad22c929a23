"""The float64 frontend against NumPy and SciPy, and as the measure of what float32 rounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx.reference.ops
import pytest
import scipy.signal
from numpy.typing import NDArray

from benchmarks.baseline.float64 import errors_against
from convert import SAMPLE_RATE
from convert.errors import ConversionError
from convert.proof import float64
from convert.proof.synthetic import soundscape
from convert.source.reference import Reference
from convert.source.saved_model import SavedModel, inspect
from convert.untrained.recipe import PCEN, V1_MEL, V2_MEL, Mel
from runtime.model.session import Session

WINDOWS = soundscape(3, 10).reshape(2, -1)
Array = NDArray[Any]


def mel_matrix(bins: int, bands: Mel) -> Array:
    """Triangles evenly spaced in HTK's mel, `[bins, channels]`."""
    lowest, highest = (1127 * np.log1p(hertz / 700) for hertz in (bands.lowest, bands.highest))
    edges = np.linspace(lowest, highest, bands.channels + 2)
    at = 1127 * np.log1p(np.linspace(0, SAMPLE_RATE / 2, bins) / 700)
    triangles = [np.interp(at, edges[i : i + 3], [0, 1, 0]) for i in range(bands.channels)]
    return np.stack(triangles, axis=1)


def log_mel(windows: Array) -> Array:
    """Perch v2's: the magnitude of SciPy's STFT, bands, logarithm."""
    *_, stft = scipy.signal.stft(windows, nperseg=640, noverlap=320, nfft=1024, padded=False)
    energy = np.abs(stft[..., :-1]).swapaxes(1, 2) @ mel_matrix(513, V2_MEL)
    return 0.1 * np.log(np.maximum(energy, 1e-5))


def pcen_mel(windows: Array) -> Array:
    """Perch v1's of 2023: frames, magnitude, bands, PCEN."""
    padded = np.pad(windows, ((0, 0), (160, 160)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, 640, axis=1)[:, ::320]
    window = np.hanning(640)
    energy = np.abs(np.fft.rfft(frames * window / window.sum(), 1024)) @ mel_matrix(513, V1_MEL)
    s, gain, bias, root = PCEN["simple"]
    smooth, _ = scipy.signal.lfilter([s], [1, s - 1], energy, axis=1, zi=(1 - s) * energy[:, :1])
    return (energy / (1e-6 + smooth) ** gain + bias) ** (1 / root) - bias ** (1 / root)


@pytest.fixture(scope="module")
def plain(saved_model: Path) -> SavedModel:
    return inspect(saved_model)


@pytest.fixture(scope="module")
def native(v2: Path) -> SavedModel:
    return inspect(v2)


def test_plain_ops_are_computed_in_float64(plain: SavedModel) -> None:
    values = float64.in_float64(plain, ["frontend"], WINDOWS)["frontend"]
    expected = pcen_mel(WINDOWS.astype(np.float64))
    # 2 pi, a floor and smoothing taps stand in the graph in float32; what is rounded after each operation is 8e-6 off
    np.testing.assert_allclose(values, expected, rtol=0, atol=3e-7 * np.ptp(expected))


def test_stablehlo_is_computed_in_float64(native: SavedModel) -> None:
    values = float64.in_float64(native, ["spectrogram"], WINDOWS)["spectrogram"]
    expected = log_mel(WINDOWS.astype(np.float64))
    np.testing.assert_allclose(values, expected, rtol=0, atol=3e-7 * np.ptp(expected))


def test_both_are_within_rounding(native: SavedModel, v2_model: Path) -> None:
    session, expected = Session(v2_model), Reference(native)(WINDOWS)["spectrogram"]
    exact = float64.in_float64(native, ["spectrogram"], WINDOWS)["spectrogram"]
    found = errors_against("spectrogram", exact, session, expected, WINDOWS)
    assert (found.head, found.windows) == ("spectrogram", 2)
    assert 1e-8 < min(found.tensorflow, found.onnx) <= max(found.tensorflow, found.onnx) < 2e-5
    assert found.between <= found.tensorflow + found.onnx
    wrong = expected + np.float32(1e-3 * np.ptp(expected))
    off = errors_against("spectrogram", exact, session, wrong, WINDOWS)
    assert (off.onnx, off.tensorflow) == (found.onnx, pytest.approx(1e-3, rel=0.05))


def test_what_cannot_be_computed_is_named(plain: SavedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(float64, "DOUBLED", {1: 9})  # a dtype that is no float
    with pytest.raises(ConversionError, match=r"'frontend' of .* cannot be computed in float64"):
        float64.in_float64(plain, ["frontend"], WINDOWS)["frontend"]


@pytest.mark.parametrize(
    ("images", "weights", "how"),
    [
        ((2, 4, 9, 8), (6, 2, 3, 2), {"group": 2, "strides": [2, 1], "dilations": [1, 2], "pads": [1, 0, 2, 1]}),
        ((1, 1, 20, 1), (5, 1, 5, 1), {"group": 1, "strides": [3, 1], "dilations": [1, 1], "pads": [2, 0, 1, 0]}),
        ((2, 6, 20, 1), (6, 1, 5, 1), {"group": 6, "strides": [1, 1], "dilations": [2, 1], "pads": [0, 0, 0, 0]}),
    ],
)
def test_convolution_equals_onnx(images: Any, weights: Any, how: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    arrays, how = (rng.normal(size=images), rng.normal(size=weights)), {**how, "kernel_shape": list(weights[2:])}
    expected = onnx.reference.ops.load_op("", "Conv", 17).eval(*arrays, **how)
    np.testing.assert_allclose(float64._convolve(*arrays, **how), expected, rtol=1e-12, atol=1e-12)
