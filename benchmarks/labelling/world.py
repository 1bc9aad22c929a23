"""A planted world: soundscapes with the sounds of made-up species, common and rare, loud and faint.

Wind, rain, insects, a road and singers that belong to no species lie beneath. What is planted is known to the sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from benchmarks.measuring.songs import SPECIES as SONGS
from benchmarks.measuring.songs import Samples, Song, Soundscape, along, gusts, plant_bout, spaced, sung
from convert import SAMPLE_RATE
from convert.proof.synthetic import noise_floor
from convert.proof.synthetic import soundscape as strangers

FAINTEST, LOUDEST = 0.2, 0.8
"""Amplitudes of songs; their logarithms are spread evenly. That of the wind is about 0.02."""
LEAST_S = 0.5
"""A window holds a species if so much of its songs is in it."""


PAUSE_S = 0.5
"""Mean pause between two songs of a bout."""


@dataclass(frozen=True)
class Kind:
    """A species: its song, the share of soundscapes that it is in, and the least and greatest length of a bout."""

    song: Song
    share: float
    bout_s: tuple[float, float]


def soundscape(seed: int, seconds: float = 60) -> Soundscape:
    """A soundscape of that world. The same seed gives the same samples."""
    rng = np.random.default_rng(seed)
    audio = _background(rng, seed, seconds)
    songs: dict[str, list[tuple[float, float]]] = {}
    for name, kind in KINDS.items():
        heard, at, length = rng.random() < kind.share, rng.uniform(0, 0.9 * seconds), rng.uniform(*kind.bout_s)
        loudness = np.exp(rng.uniform(np.log(FAINTEST), np.log(LOUDEST)))
        songs[name] = plant_bout(rng, audio, kind.song, loudness, at, at + length, PAUSE_S) if heard else []
    gain = rng.uniform(0.1, 0.8)  # as recorders differ
    return Soundscape((audio / np.abs(audio).max() * gain).astype(np.float32), songs)


def species_in(scape: Soundscape, start: float, end: float) -> frozenset[str]:
    """What somebody who hears everything writes down for a window."""
    return frozenset(name for name in KINDS if scape.sung_s(name, start, end) >= LEAST_S)


def _background(rng: np.random.Generator, seed: int, seconds: float) -> Samples:
    """Wind in gusts, and by chance rain, insects, a road and singers of no species."""
    samples = round(seconds * SAMPLE_RATE)
    audio = noise_floor(rng, samples) * gusts(rng, seconds) * 0.5
    if rng.random() < 0.25:
        audio += _rain(rng, samples)
    if rng.random() < 0.3:
        audio += _insects(rng, seconds)
    if rng.random() < 0.25:
        audio += _road(rng, samples, seconds)
    if rng.random() < 0.3:
        audio += rng.uniform(0.02, 0.1) * strangers(seed, seconds)
    return audio


def _rain(rng: np.random.Generator, samples: int) -> Samples:
    """Drops on leaves, each a click that rings briefly."""
    drops = rng.standard_normal(samples) * (rng.random(samples) < rng.uniform(5, 60) / SAMPLE_RATE)
    return np.asarray(lfilter([1.0], [1.0, -1.2, 0.9], drops)) * rng.uniform(0.01, 0.04)


def _insects(rng: np.random.Generator, seconds: float) -> Samples:
    """A high tone that pulses all the time."""
    time = along(seconds) * seconds
    pulse = np.clip(np.sin(2 * np.pi * rng.uniform(3, 30) * time), 0, 1)
    return pulse * np.sin(2 * np.pi * rng.uniform(3000, 9000) * time) * rng.uniform(0.003, 0.015)


def _road(rng: np.random.Generator, samples: int, seconds: float) -> Samples:
    """Low noise that comes and goes."""
    low = np.asarray(lfilter([0.02], [1.0, -0.98], rng.standard_normal(samples)))
    passing = np.exp(-(((along(seconds) - rng.uniform(0, 1)) * rng.uniform(3, 8)) ** 2))
    return low * passing * rng.uniform(0.05, 0.2)


def _hoot(rng: np.random.Generator) -> Samples:
    low = rng.uniform(380, 420)
    return spaced([sung(low * (1 + 0.03 * np.sin(np.pi * along(seconds))), 3) for seconds in (0.3, 0.7)], 0.25)


def _rise(rng: np.random.Generator) -> Samples:
    return sung(rng.uniform(1900, 2100) * (1 + 1.2 * along(rng.uniform(0.8, 1.2)) ** 2), 2)


def _buzz(rng: np.random.Generator) -> Samples:
    time = along(rng.uniform(0.6, 1.0))
    pulses = 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(80, 100) * time * len(time) / SAMPLE_RATE)
    return sung(rng.uniform(5200, 5600) * np.ones(len(time))) * pulses


def _rattle(rng: np.random.Generator) -> Samples:
    def click() -> Samples:
        ringing = np.exp(-along(0.02) * 6)
        return np.asarray(rng.standard_normal(len(ringing)) * ringing * 0.5)

    return spaced([click() for _ in range(rng.integers(12, 20))], rng.uniform(0.04, 0.05))


def _peep(rng: np.random.Generator) -> Samples:
    high = rng.uniform(3200, 3400)
    return spaced([sung(high * np.ones(round(0.12 * SAMPLE_RATE)), 2) for _ in range(rng.integers(3, 5))], 0.15)


def _croak(rng: np.random.Generator) -> Samples:
    low = rng.uniform(850, 950)
    return spaced([sung(low * (1 - 0.1 * along(0.05)), 5, 0.8) for _ in range(rng.integers(8, 12))], 0.03)


KINDS: Mapping[str, Kind] = {
    "warble": Kind(SONGS["warble"], 0.45, (10, 25)),
    "trill": Kind(SONGS["trill"], 0.35, (8, 20)),
    "whistle": Kind(SONGS["whistle"], 0.25, (5, 15)),
    "caw": Kind(SONGS["caw"], 0.2, (5, 12)),
    "rattle": Kind(_rattle, 0.12, (2, 8)),
    "hoot": Kind(_hoot, 0.12, (3, 10)),
    "rise": Kind(_rise, 0.12, (3, 10)),
    "buzz": Kind(_buzz, 0.1, (3, 8)),
    "peep": Kind(_peep, 0.1, (3, 8)),
    "croak": Kind(_croak, 0.1, (2, 8)),
}
"""From the commonest to the rarest."""
