"""Noise, and chirps planted in it at chosen times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tests.support.recordings import RATE

LEVEL = 0.02
"""The noise's root mean square."""


def noise(seed: int, seconds: float, pink: bool = False) -> NDArray[np.float32]:
    """White noise, or pink from 20 Hz on: `float32 [seconds * 32000]`."""
    samples = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    if pink:
        spectrum = np.fft.rfft(samples) / np.sqrt(np.maximum(np.fft.rfftfreq(len(samples), 1 / RATE), 20))
        samples = np.fft.irfft(spectrum, len(samples))
    return (samples * (LEVEL / samples.std())).astype(np.float32)


def plant(
    audio: NDArray[np.float32],
    middles: Sequence[float],
    length: float,
    hertz: tuple[float, float],
    decibels: float = 10,
) -> NDArray[np.float32]:
    """Adds a chirp of `length` seconds around each of the `middles`.

    `decibels` is its mean power, over its length, above that of all the noise.
    """
    along = np.arange(round(length * RATE)) / RATE
    tone = np.sin(2 * np.pi * (hertz[0] * along + (hertz[1] - hertz[0]) * along**2 / (2 * length)))
    tone *= np.minimum(1, np.minimum(along, along[::-1]) / 0.02)
    tone *= LEVEL * 10 ** (decibels / 20) / np.sqrt(np.mean(tone**2))
    for middle in middles:
        start = round((middle - length / 2) * RATE)
        audio[start : start + len(tone)] += tone.astype(np.float32)
    return audio
