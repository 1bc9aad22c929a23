from pathlib import Path

import numpy as np
import pytest
import soundfile

from convert.proof.synthetic import soundscape
from runtime.audio.recording import Recording
from tests.support.recordings import RATE, WINDOW

SOUND = soundscape(1, 10)
OTHER = np.random.default_rng(0).standard_normal(len(SOUND)).astype(np.float32) * SOUND.std()
TIMES = np.arange(len(SOUND)) / RATE
HUM = np.sign(np.sin(2 * np.pi * 50 * TIMES)).astype(np.float32) * 0.9
SILENCE = np.zeros_like(SOUND)


def notes(folder: Path, channels: list[np.ndarray], **how: str) -> list[str]:
    path = folder / "a.wav"
    soundfile.write(path, np.stack(channels, axis=1), RATE, **how)
    recording = Recording(path, RATE, WINDOW)
    assert len(list(recording.windows())) == 2
    assert recording.failure is None
    return recording.notes


@pytest.mark.parametrize(
    ("channels", "note"),
    [
        ([SOUND, SILENCE], "is silent in channel 2 of 2"),
        ([SILENCE + 0.25, SOUND, SILENCE], "is silent in channel 1, 3 of 3"),
        ([SOUND, OTHER * 1e-3], "is far quieter in channel 2 than in channel 1"),
        ([SOUND / 8, HUM], "has loud hum in channel 2 of 2"),
        ([0.3 * np.sin(2 * np.pi * 60 * TIMES) + 0.02, SOUND], "has loud hum in channel 1 of 2"),
        ([SOUND, SOUND, 0.1 * np.abs(np.sin(2 * np.pi * 50 * TIMES))], "has loud hum in channel 3 of 3"),
        ([SOUND, -SOUND], "has channels in opposite phase"),
        ([SOUND, 0.2 - SOUND + OTHER / 20], "has channels in opposite phase"),
        ([SOUND, -SOUND, OTHER / 4, -OTHER / 4], "has channels in opposite phase"),
    ],
)
def test_channels_that_are_not_what_they_should_be(tmp_path: Path, channels: list[np.ndarray], note: str) -> None:
    (said,) = notes(tmp_path, channels, subtype="PCM_24")
    assert said.startswith(note)


RUMBLE = np.cumsum(OTHER).astype(np.float32)
CRICKET = (0.1 * np.sin(2 * np.pi * 5000 * TIMES)).astype(np.float32)


@pytest.mark.parametrize(
    "channels",
    [
        [SOUND],
        [SOUND, SOUND],
        [SOUND, RUMBLE / RUMBLE.std() * SOUND.std()],
        [SOUND, CRICKET],
        [HUM / 9, HUM / 9],
        [SOUND, SOUND / 3],
        [SOUND, OTHER],
        [SOUND, -OTHER],
        [SOUND, np.roll(SOUND, 20)] * 3,
    ],
)
def test_channels_as_they_should_be(tmp_path: Path, channels: list[np.ndarray]) -> None:
    assert notes(tmp_path, channels) == []


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_dead_microphone(tmp_path: Path, value: float) -> None:
    (said,) = notes(tmp_path, [SILENCE + value] * 2, subtype="FLOAT")[value == 0 :]
    assert said == "is silent from beginning to end: all samples are equal"


@pytest.mark.parametrize("power", [15, 23, 31])
def test_floats_of_another_scale(tmp_path: Path, power: int) -> None:
    scaled = np.clip(SOUND / np.abs(SOUND).max() * 0.9, -1, 1) * np.float32(2**power)
    (said,) = notes(tmp_path, [scaled], subtype="FLOAT")
    assert f"about {2**power:,} (2^{power})" in said


def test_floats_over_full_scale(tmp_path: Path) -> None:
    """As recorders of 32-bit floats write them."""
    assert notes(tmp_path, [SOUND / np.abs(SOUND).max() * 8], subtype="FLOAT") == []
