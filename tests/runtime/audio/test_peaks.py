"""Events are found where they were planted, and none in noise."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from runtime.audio import peaks
from runtime.audio.peaks import PeakFinder
from tests.support.planted import noise, plant
from tests.support.recordings import RATE, WINDOW


def starts(audio: NDArray[np.float32], most: int = 5, block: int = RATE // 2) -> list[float]:
    """Where windows start, in seconds."""
    finder = PeakFinder(RATE, WINDOW)
    for first in range(0, len(audio), block):
        finder.add(audio[first : first + block])
    return [start * finder.step / RATE for start in finder.starts(most)]


# Each sweep, length and noise, and each length with both noises; a minute of sound costs seconds.
CHIRPS = [
    ((200, 400), 0.5, True),
    ((200, 400), 2.0, False),
    ((3000, 3000), 0.2, True),
    ((3000, 3000), 1.0, False),
    ((2000, 4500), 0.2, False),
    ((2000, 4500), 2.0, True),
    ((8000, 3000), 0.5, False),
    ((500, 9000), 1.0, True),
]


@pytest.mark.parametrize(("hertz", "length", "pink"), CHIRPS)
def test_planted_chirps_are_found(hertz: tuple[float, float], length: float, pink: bool) -> None:
    rng = np.random.default_rng([int(10 * length), int(hertz[1])])
    middles = np.array([4.0, 12.0, 20.0, 27.0]) + rng.uniform(-1, 1, 4)
    found = starts(plant(noise(int(hertz[0]), 30, pink), middles.tolist(), length, hertz), most=4)
    assert len(found) == 4
    np.testing.assert_allclose(np.array(found) + 2.5, np.clip(middles, 2.5, 27.5), atol=0.25)


@pytest.mark.parametrize("pink", [False, True])
@pytest.mark.parametrize("seconds", [2, 10, 60])
def test_steady_noise_has_no_events(seconds: int, pink: bool) -> None:
    assert [starts(noise(seed, seconds, pink)) for seed in range(max(1, 20 // seconds))] == [[]] * max(1, 20 // seconds)


@pytest.mark.parametrize("level", [1e-6, 1e-4, 1.0, 1e3])
def test_no_level_of_noise_makes_events(level: float) -> None:
    assert starts(noise(0, 20) * np.float32(level)) == []


def test_loudest_come_first_and_their_windows_hold_their_neighbours() -> None:
    audio = plant(noise(0, 60), [10, 40], 0.5, (2000, 4000), 20)
    audio = plant(audio, [12, 20, 38, 50, 58.5], 0.5, (2000, 4000))
    assert starts(audio, 2) == pytest.approx([7.5, 37.5], abs=0.1)
    assert starts(audio, 9) == pytest.approx([7.5, 17.5, 37.5, 47.5, 55], abs=0.1)  # that at 58.5 s moved inside


def test_only_event_of_a_short_recording_is_at_its_start() -> None:
    assert starts(plant(noise(0, 3), [2], 0.5, (2000, 4000))) == [0]
    assert starts(noise(0, 0.05)) == starts(np.zeros(0, np.float32)) == []


def test_blocks_do_not_matter() -> None:
    audio = plant(noise(3, 20), [5, 15], 0.5, (1000, 3000))
    assert (
        starts(audio, block=len(audio))
        == starts(audio, block=777)
        == starts(audio)
        == pytest.approx([2.5, 12.5], abs=0.1)
    )


def test_long_recordings_are_compared_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    middles = np.arange(4.0, 116, 8)
    whole = plant(noise(4, 120), middles.tolist(), 1.0, (2000, 4500))
    monkeypatch.setattr(peaks, "STRETCH", 1600)  # 16 s: an event is on a border
    monkeypatch.setattr(peaks, "PIECE", 800)
    finder = PeakFinder(RATE, WINDOW)
    most = 0
    for first in range(0, len(whole), RATE):
        finder.add(whole[first : first + RATE])
        most = max(most, sum(map(len, finder._log_mel)))
    assert most < 2 * 1600
    np.testing.assert_allclose(np.array(finder.starts(20)) / 100 + 2.5, middles, atol=0.25)


def test_silence_inside_is_no_event_and_hides_none() -> None:
    audio = plant(noise(5, 60), [45], 0.5, (2000, 4000))
    audio[5 * RATE : 40 * RATE] = 0
    assert starts(audio) == pytest.approx([42.5], abs=0.1)


def test_constant_and_numbers_near_infinity_do_no_harm() -> None:
    audio = plant(noise(6, 20), [10], 0.5, (2000, 4000)) + np.float32(0.5)
    assert starts(audio) == pytest.approx([7.5], abs=0.1)
    audio[15 * RATE] = 3e38
    assert len(starts(audio)) == 2


def test_mel_bands_are_tensorflows() -> None:
    bins = round(peaks.FRAME_S * RATE) // 2 + 1
    reference = tf.signal.linear_to_mel_weight_matrix(
        peaks.BANDS, bins, RATE, peaks.LOWEST_HZ, peaks.HIGHEST_HZ
    ).numpy()
    mel = peaks._mel_matrix(2 * (bins - 1), RATE)
    np.testing.assert_allclose(mel, reference[: len(mel)], atol=1e-4)
    assert not reference[len(mel) :].any()
