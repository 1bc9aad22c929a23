"""Samples in memory are read as the same samples in a WAV."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

import runtime.audio.recording
from convert.proof.synthetic import soundscape
from runtime.audio.recording import Recording
from runtime.audio.source import Samples, Source
from runtime.errors import InputError
from tests.support.recordings import RATE, WINDOW


def everything(source: Source, **options: object) -> list[object]:
    """All that a recording gives, its arrays as bytes."""
    said: list[object] = [Recording(source, RATE, WINDOW, **options).promised_windows()]  # type: ignore[arg-type]
    parts, promised = Recording(source, RATE, WINDOW, **options).count_parts()  # type: ignore[arg-type]
    said += [parts, promised]
    for number in range(parts):
        recording = Recording(source, RATE, WINDOW, **options)  # type: ignore[arg-type]
        for window in recording.windows(recording.part(number, parts)):
            said.append((window.index, window.recorded, window.samples is not None and window.samples.tobytes()))
        said += [recording.failure, recording.count, recording.notes]
    recording = Recording(source, RATE, WINDOW, **options)  # type: ignore[arg-type]
    said += [block.tobytes() for block in recording.samples()]
    said += [window.samples is not None and window.samples.tobytes() for window in recording.windows_at([0, 2, 3])]
    return [*said, recording.failure, recording.notes]


def sound(seconds: float, rate: int, channels: int) -> NDArray[np.float32]:
    """`float32 [channels, samples]`."""
    return np.stack([soxr.resample(soundscape(seed, seconds), RATE, rate) for seed in range(channels)])


def not_finite() -> NDArray[np.float32]:
    samples = sound(20, RATE, 1)
    samples[0, 7 * RATE], samples[0, 8 * RATE] = np.nan, np.inf
    return samples


CASES = {
    "mono": lambda: (sound(12.3, RATE, 1), RATE),
    "48 kHz stereo": lambda: (sound(11, 48_000, 2), 48_000),
    "8 kHz": lambda: (sound(7, 8_000, 1), 8_000),
    "44.1 kHz": lambda: (sound(16, 44_100, 1), 44_100),
    "five channels": lambda: (sound(6, 22_050, 5), 22_050),
    "one sample": lambda: (np.full((1, 1), 0.5, np.float32), RATE),
    "empty": lambda: (np.zeros((1, 0), np.float32), RATE),
    "not finite": lambda: (not_finite(), RATE),
    "silent": lambda: (np.zeros((2, 6 * RATE), np.float32), RATE),
    "ends with zeros": lambda: (np.pad(sound(6, RATE, 2), ((0, 0), (0, 7 * RATE))), RATE),
    "ends with negative zeros": lambda: (
        np.pad(sound(6, RATE, 1), ((0, 0), (0, 7 * RATE)), constant_values=-0.0),
        RATE,
    ),
    "of another scale": lambda: (32_768 * sound(6, RATE, 1), RATE),
    "dead channel": lambda: (sound(6, RATE, 2) * np.array([[1], [0]], np.float32), RATE),
}


@pytest.mark.parametrize("case", CASES)
def test_samples_are_read_as_from_a_wav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    samples, rate = CASES[case]()
    path = tmp_path / "a.wav"
    soundfile.write(path, samples.T, rate, subtype="FLOAT")
    for part_s in (600.0, 5.0):
        monkeypatch.setattr(runtime.audio.recording, "PART_S", part_s)
        for options in ({}, {"hop": RATE, "normalize": "peak"}):
            in_memory = everything(Samples(samples if len(samples) > 1 else samples[0], rate), **options)
            assert in_memory == everything(path, **options)
    assert in_memory == everything(Samples(np.asfortranarray(samples), rate), **options)


def test_parts_of_samples_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.audio.recording, "PART_S", 5.0)
    assert Recording(Samples(*CASES["48 kHz stereo"]()), RATE, WINDOW).count_parts() == (3, 3)


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros(9), RATE, "samples are float64, but must be"),
        ([0.0], RATE, "samples are list, but must be"),
        (np.zeros((1, 2, 3), np.float32), RATE, r"\(1, 2, 3\), but must be \[samples\]"),
        (np.zeros((160_000, 2), np.float32), RATE, r"\(160000, 2\), but must be"),
        (np.zeros((0, 2), np.float32), RATE, "but must be"),
        (np.zeros(9, np.float32), 32, "sample_rate is 32, but must be"),
        (np.zeros(9, np.float32), 32_000.5, "sample_rate is 32000.5, but must be"),
        (np.zeros(9, np.float32), float("nan"), "sample_rate is nan, but must be"),
        (np.zeros(9, np.float32), "fast", "sample_rate is 'fast', but must be"),
    ],
)
def test_what_is_no_audio_is_refused(samples: NDArray[np.float32], rate: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Samples(samples, rate)
