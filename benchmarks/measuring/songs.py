"""Made-up species, and soundscapes in which it is known to the sample when each of them sings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert import SAMPLE_RATE
from convert.proof.synthetic import noise_floor

Samples = NDArray[np.float64]
Song = Callable[[np.random.Generator], Samples]
PAUSE_S = 2.5
"""Mean pause between two songs of a bout."""


@dataclass(frozen=True)
class Soundscape:
    """A recording at 32 kHz, and from when to when (seconds) each species' songs last."""

    samples: NDArray[np.float32]
    songs: Mapping[str, list[tuple[float, float]]]

    @property
    def rounded_songs(self) -> dict[str, list[list[float]]]:
        """The times of the songs to the millisecond, as JSON holds them."""
        return {name: [[round(second, 3) for second in song] for song in songs] for name, songs in self.songs.items()}

    def sung_s(self, name: str, start: float, end: float) -> float:
        """For how many seconds of that time a species sings."""
        return sum(max(0.0, min(until, end) - max(at, start)) for at, until in self.songs[name])


def soundscape(seed: int, silent: float = 0.25, seconds: float = 60) -> Soundscape:
    """Wind in gusts, and in it bouts of song; each species is absent with the probability `silent`.

    The same seed gives the same samples.
    """
    rng = np.random.default_rng(seed)
    audio = noise_floor(rng, round(seconds * SAMPLE_RATE)) * gusts(rng, seconds) * 0.5
    songs: dict[str, list[tuple[float, float]]] = {}
    for name, song in SPECIES.items():
        songs[name] = []
        if rng.random() < silent:
            continue
        at, loudness = rng.uniform(0, 0.8 * seconds), rng.uniform(0.2, 0.4)
        songs[name] = plant_bout(rng, audio, song, loudness, at, at + rng.uniform(8, 20))
    return Soundscape((audio / np.abs(audio).max() * 0.5).astype(np.float32), songs)


def plant_bout(
    rng: np.random.Generator, audio: Samples, song: Song, loudness: float, at: float, end: float, pause: float = PAUSE_S
) -> list[tuple[float, float]]:
    """Adds songs from the second `at` on, none beginning after `end`; returns from when to when each lasts."""
    songs: list[tuple[float, float]] = []
    while True:
        notes = song(rng) * loudness * rng.uniform(0.7, 1.0)
        start = round(at * SAMPLE_RATE)
        if at > end or start + len(notes) > len(audio):
            return songs
        audio[start : start + len(notes)] += notes
        songs.append((at, at + len(notes) / SAMPLE_RATE))
        at += len(notes) / SAMPLE_RATE + 0.4 * pause + rng.exponential(pause)


def shown_soundscape() -> Soundscape:
    """The soundscape of the picture: every species sings, at times that spread over the minute."""
    return soundscape(1006, silent=0)


def gusts(rng: np.random.Generator, seconds: float) -> Samples:
    """How loud the wind is, changing every few seconds."""
    points = np.arange(0, seconds + 4, 4)
    return np.interp(np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE, points, rng.uniform(0.03, 0.1, len(points)))


def sung(hertz: NDArray[np.float64], partials: int = 1, fall: float = 2) -> Samples:
    """A tone of changing pitch `[samples]` that swells and fades."""
    phase = 2 * np.pi * np.cumsum(hertz) / SAMPLE_RATE
    tone = sum(np.sin(k * phase) / k**fall for k in range(1, partials + 1))
    return tone * np.sin(np.linspace(0, np.pi, len(hertz))) ** 0.7


def along(seconds: float) -> NDArray[np.float64]:
    """From 0 to 1 in so many seconds `[samples]`."""
    return np.linspace(0, 1, round(seconds * SAMPLE_RATE))


def spaced(notes: list[Samples], pause_s: float) -> Samples:
    """Notes one after another, with a pause between them."""
    pause = np.zeros(round(pause_s * SAMPLE_RATE))
    return np.concatenate([part for note in notes for part in (note, pause)][:-1])


def _caw(rng: np.random.Generator) -> Samples:
    low = rng.uniform(560, 600)
    rise = [np.sin(np.pi * along(rng.uniform(0.35, 0.5))) for _ in range(rng.integers(3, 5))]
    return spaced([0.7 * sung(low * (1 + 0.2 * each), 8, 0.5) for each in rise], 0.25)


def _whistle(rng: np.random.Generator) -> Samples:
    high = rng.uniform(4400, 4600)
    return spaced([sung(high * (1 - 0.6 * along(rng.uniform(0.35, 0.5)))) for _ in range(rng.integers(3, 6))], 0.2)


def _warble(rng: np.random.Generator) -> Samples:
    seconds = rng.uniform(2.0, 3.0)
    wave = np.sin(2 * np.pi * rng.uniform(2.5, 3.5) * seconds * along(seconds))
    return sung(rng.uniform(4500, 4700) + 700 * wave)


def _trill(rng: np.random.Generator) -> Samples:
    high = rng.uniform(6400, 6600)
    return spaced([sung(high * (1 - 0.2 * along(0.09))) for _ in range(rng.integers(12, 18))], 0.07)


SPECIES: Mapping[str, Song] = {"trill": _trill, "warble": _warble, "whistle": _whistle, "caw": _caw}
"""From high to low, as a spectrogram shows them."""
