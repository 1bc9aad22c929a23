"""Pictures of the page: spectrograms, and how the errors of windows are spread."""

from __future__ import annotations

import io
from dataclasses import dataclass

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

FRAME, STEP = 640, 800
LEVELS = 64
"""Colours of a spectrogram: few, so that images stay small."""
QUIETEST_DB = -80.0
BINS_A_DECADE = 4


def spectrogram(samples: NDArray[np.float32]) -> bytes:
    """A window `[samples]` as a PNG image: time to the right, frequency upwards, the 80 dB below its loudest."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::STEP] * np.hanning(FRAME)
    power = np.abs(np.fft.rfft(frames, axis=1)[:, 1:]) ** 2
    power = power.reshape(len(power), -1, 2).mean(axis=2)
    decibels = 10 * np.log10(np.maximum(power / max(power.max(), 1e-20), 1e-20))
    shades = np.clip((1 - decibels / QUIETEST_DB) * (LEVELS - 1), 0, LEVELS - 1).round().astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(shades.T[::-1]))
    image.putpalette((matplotlib.colormaps["magma"](np.linspace(0, 1, LEVELS))[:, :3] * 255).astype(np.uint8).tobytes())
    file = io.BytesIO()
    image.save(file, "png", optimize=True)
    return file.getvalue()


@dataclass(frozen=True)
class Histogram:
    """Windows by their greatest error: counts of bins, four a decade, of which the first begins at 10**`first`."""

    first: int
    counts: list[int]

    @property
    def decades(self) -> list[int]:
        """Exponents at the bins' borders."""
        return [self.first + i for i in range(len(self.counts) // BINS_A_DECADE + 1)]


def histogram(errors: NDArray[np.float64]) -> Histogram:
    """The histogram of `[windows]`; no error counts as the smallest, what is not finite as the greatest."""
    finite = errors[np.isfinite(errors) & (errors > 0)]
    least, most = (float(finite.min()), float(finite.max())) if finite.size else (1e-8, 1e-8)
    first = int(np.floor(np.log10(least)))
    last = max(first + 1, int(np.ceil(np.log10(most))))
    clipped = np.clip(np.nan_to_num(errors, nan=most, posinf=most), least, most)
    counts, _ = np.histogram(np.log10(clipped), bins=(last - first) * BINS_A_DECADE, range=(first, last))
    return Histogram(first, counts.tolist())
