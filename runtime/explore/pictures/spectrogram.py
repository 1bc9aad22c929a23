"""Spectrograms as small PNG images."""

from __future__ import annotations

import base64
import io

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

FRAME, STEP = 640, 800
LEVELS = 32
"""Number of colours: few, so that images stay small."""
QUIETEST_DB, LEAST_RANGE_DB = -80.0, -30.0
COLORS = "magma"


def power(samples: NDArray[np.float32], step: int = STEP) -> NDArray[np.float32]:
    """The power spectrogram of `[samples]`, float32 `[frames, 160]`, low frequencies first."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::step] * np.hanning(FRAME)
    powers = np.abs(np.fft.rfft(frames, axis=1)[:, 1:]) ** 2
    return powers.reshape(len(powers), -1, 2).mean(axis=2).astype(np.float32)


def decibels(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Decibels relative to the loudest, at least `QUIETEST_DB`; silence is `QUIETEST_DB` throughout."""
    share: NDArray[np.float32] = power / max(float(power.max()), 1e-20)
    return 10 * np.log10(np.maximum(share, np.float32(10 ** (QUIETEST_DB / 10))))


def noise_db(power: NDArray[np.float32]) -> float:
    """A little below the noise that sounds stand out from, in decibels relative to the loudest."""
    return float(np.clip(np.median(decibels(power)) - 5, QUIETEST_DB, LEAST_RANGE_DB))


def spectrogram(power: NDArray[np.float32], quietest_db: float = QUIETEST_DB, small: bool = True) -> bytes:
    """Power `[frames, bins]` as a PNG: time to the right, frequency upwards, from the loudest down to `quietest_db`.

    One that need not be `small` takes a twentieth of the time.
    """
    shades = (
        ((1 - np.maximum(decibels(power), np.float32(quietest_db)) / quietest_db) * (LEVELS - 1))
        .round()
        .astype(np.uint8)
    )
    image = Image.fromarray(np.ascontiguousarray(shades.T[::-1]))
    image.putpalette((matplotlib.colormaps[COLORS](np.linspace(0, 1, LEVELS))[:, :3] * 255).astype(np.uint8).tobytes())
    file = io.BytesIO()
    image.save(file, "png", **({"optimize": True} if small else {"compress_level": 1}))
    return file.getvalue()


def data_uri(kind: str, data: bytes) -> str:
    """Bytes of a media type such as `image/png` as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
