"""Which channel of a recording is scored, against the same channel in a file of its own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from runtime.audio.recording import Part, Recording
from tests.support.recordings import RATE, WINDOW

RNG = np.random.default_rng(7)
SECONDS = 12
NOISE = 0.1 * RNG.standard_normal((SECONDS * RATE, 3)).astype(np.float32)


def written(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


def windows(path: Path, **how: Any) -> list[np.ndarray | None]:
    return [window.samples for window in Recording(path, RATE, WINDOW, **how).windows()]


@pytest.mark.parametrize("rate", [RATE, 44_100])
@pytest.mark.parametrize("channel", [1, 2, 3])
def test_a_channel_is_the_same_bits_as_in_a_file_of_its_own(tmp_path: Path, rate: int, channel: int) -> None:
    together = written(tmp_path / "together.wav", NOISE, rate)
    alone = written(tmp_path / "alone.wav", NOISE[:, channel - 1], rate)
    for how in ({}, {"normalize": "peak"}, {"hop": WINDOW // 2}):
        for one, other in zip(windows(together, channel=channel, **how), windows(alone, **how), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("rate", [RATE, 48_000])
def test_each_window_has_its_loudest_channel(tmp_path: Path, rate: int) -> None:
    """A plain computation: of each window's three channels, alone, the one whose steps have the greatest power."""
    noise = 0.1 * np.random.default_rng(1).standard_normal((SECONDS * rate, 3))
    gains = np.repeat([[1, 4, 1], [4, 1, 3], [1, 1, 8]], SECONDS * rate // 3, axis=0)
    offset_and_rumble = np.cumsum(noise[:, [1, 2, 0]], axis=0) / 50 + [0.3, 0, 0]
    samples = (noise * gains + offset_and_rumble).astype(np.float32)
    alone = [windows(written(tmp_path / f"{k}.wav", samples[:, k], rate), hop=WINDOW // 2) for k in range(3)]
    path, taken = written(tmp_path / "together.wav", samples, rate), set()
    for index, window in enumerate(windows(path, hop=WINDOW // 2, channel="loudest")):
        channels = [each[index] for each in alone]
        powers = [float((np.diff(each.astype(np.float64)) ** 2).sum()) for each in channels if each is not None]
        best = int(np.argmax(powers))
        taken.add(best)
        np.testing.assert_array_equal(window, channels[best])
    assert taken == {0, 1, 2}


def test_parts_of_a_recording_have_the_windows_of_the_whole(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", NOISE, 48_000)
    whole = windows(path, channel="loudest")
    recording = Recording(path, RATE, WINDOW, channel="loudest")
    for one, other in zip(recording.windows(Part(1)), whole[1:], strict=True):
        assert one.samples is not None and other is not None
        np.testing.assert_allclose(one.samples, other, atol=1e-6)


def test_one_channel_is_all_channels(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", NOISE[:, 0])
    for channel in (1, "loudest"):
        np.testing.assert_array_equal(windows(path, channel=channel), windows(path))


def test_a_recording_without_the_channel_fails(tmp_path: Path) -> None:
    recording = Recording(written(tmp_path / "a.wav", NOISE[:, 0]), RATE, WINDOW, channel=2)
    list(recording.windows())
    assert recording.failure == "has 1 channel, and channel 2 was asked for"


@pytest.mark.parametrize("channel", [2, "loudest"])
def test_a_sample_that_is_not_finite_costs_the_windows_that_have_it(tmp_path: Path, channel: int | str) -> None:
    samples = NOISE.copy()
    samples[7 * RATE, 1] = np.nan
    samples[2 * RATE, 0] = np.inf
    path = written(tmp_path / "a.wav", samples, RATE)
    lost = [index for index, window in enumerate(windows(path, channel=channel)) if window is None]
    assert lost == ([1] if channel == 2 else [0, 1])


@pytest.mark.parametrize(
    ("channel", "expected"),
    [(1, []), (2, ["is silent in channel 2 of 3, which is scored"]), ("loudest", [])],
)
def test_notes_concern_the_channel_that_is_scored(tmp_path: Path, channel: int | str, expected: list[str]) -> None:
    samples = np.stack([NOISE[:, 0], np.zeros(len(NOISE)), -NOISE[:, 0]], axis=1)
    recording = Recording(written(tmp_path / "a.wav", samples), RATE, WINDOW, channel=channel)
    list(recording.windows())
    assert recording.notes == expected


def test_streams_with_other_channels_have_no_loudest_one(tmp_path: Path) -> None:
    one, other = written(tmp_path / "1.wav", NOISE), written(tmp_path / "2.wav", NOISE[:, :2])
    (tmp_path / "joined.wav").write_bytes(one.read_bytes() + other.read_bytes())
    recording = Recording(tmp_path / "joined.wav", RATE, WINDOW, channel="loudest")
    read = [window.samples is not None for window in recording.windows()]
    assert read[:2] == [True, True] and not any(read[2:])
    assert recording.failure is not None and "changes its number of channels" in recording.failure
