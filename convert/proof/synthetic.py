"""Bird-like audio made from a seed: for calibrating, proving, demonstrating and testing without recordings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from convert import SAMPLE_RATE
from runtime.console.progress import progress_bar


def noise_floor(rng: np.random.Generator, samples: int) -> NDArray[np.float64]:
    """Pink-ish background of wind and hiss: white noise whose power falls with frequency. `[samples]`."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    hertz = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    shaped = np.fft.irfft(spectrum / np.maximum(hertz, 50.0) ** rng.uniform(0.3, 0.9), samples)
    return np.asarray(shaped / np.abs(shaped).max())


def syllable(rng: np.random.Generator, low: float, high: float) -> NDArray[np.float64]:
    """One sung syllable: a frequency sweep between `low` and `high` Hz with vibrato, overtones and a soft envelope."""
    samples = int(rng.uniform(0.04, 0.35) * SAMPLE_RATE)
    along = np.linspace(0.0, 1.0, samples)
    sweep = rng.uniform(low, high) * (1 - along) + rng.uniform(low, high) * along
    vibrato = rng.uniform(0, 0.06) * np.sin(2 * np.pi * rng.uniform(8, 45) * along)
    phase = 2 * np.pi * np.cumsum(sweep * (1 + vibrato)) / SAMPLE_RATE
    tone = sum(np.sin(k * phase) * rng.uniform(0, 1) / k**2 for k in range(2, 4)) + np.sin(phase)
    return np.asarray(tone * np.sin(np.pi * along) ** rng.uniform(0.5, 2.0))


def soundscape(seed: int, seconds: float) -> NDArray[np.float32]:
    """A mono recording at 32 kHz with a few singers over a noise floor.

    Returns `float32 [seconds * 32000]`, peak between 0.05 and 0.8. The same seed gives the same samples.
    """
    rng = np.random.default_rng(seed)
    samples = round(seconds * SAMPLE_RATE)
    audio = noise_floor(rng, samples) * rng.uniform(0.01, 0.15)
    for _ in range(rng.integers(1, 5)):  # singers
        low = rng.uniform(600, 5000)
        song = [syllable(rng, low, low * rng.uniform(1.1, 2.0)) for _ in range(rng.integers(1, 6))]
        loudness = rng.uniform(0.1, 1.0)
        at = rng.uniform(0, 2.0)
        while at < seconds:
            for note in song:
                start = int(at * SAMPLE_RATE)
                fitting = note[: max(0, samples - start)]
                audio[start : start + len(fitting)] += loudness * fitting
                at += len(note) / SAMPLE_RATE + rng.uniform(0.02, 0.15)
            at += rng.exponential(2.5)
    return (audio / np.abs(audio).max() * rng.uniform(0.05, 0.8)).astype(np.float32)


def windows(seed: int, count: int, samples: int) -> NDArray[np.float32]:
    """`count` distinct windows, each from a soundscape of its own: `float32 [count, samples]`."""
    return np.stack([soundscape(seed + i, samples / SAMPLE_RATE) for i in range(count)])


def write_soundscape(path: Path, seed: int, seconds: float = 60.0) -> None:
    """Writes a soundscape to a sound file, in the format that its ending names."""
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1) as file:
        # One long write of Vorbis crashes libsndfile; a second at a time is safe.
        audio = soundscape(seed, seconds)
        for start in range(0, len(audio), SAMPLE_RATE):
            file.write(audio[start : start + SAMPLE_RATE])


def write_soundscapes(paths: Sequence[Path]) -> None:
    """Writes one-minute soundscapes, all different."""
    with progress_bar(len(paths), desc="soundscapes") as bar:
        for seed, path in enumerate(paths):
            write_soundscape(path, seed)
            bar.update()
