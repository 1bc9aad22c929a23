"""Recordings in which each second has its own tone, so that a reader's times can be checked."""

from __future__ import annotations

import functools
import io
from pathlib import Path

import numpy as np
import soundfile

from runtime.audio.recording import Recording
from tests.support.recordings import RATE, WINDOW

SECONDS, LONG = 17, 42


def tones(seconds: float, rate: int = RATE, first: int = 0) -> np.ndarray:
    """A tone in the middle of each second that no other second has."""
    t = np.arange(round(seconds * rate)) / rate
    second = np.floor(t)
    swell = np.exp(-(((t - second - 0.5) / 0.06) ** 2))
    noise = 0.003 * np.random.default_rng(0).standard_normal(len(t))
    return (0.5 * swell * np.sin(2 * np.pi * (700 + 30 * (first + second)) * t) + noise).astype(np.float32)


def read(path: Path) -> tuple[list[np.ndarray | None], Recording]:
    recording = Recording(path, RATE, WINDOW)
    windows = list(recording.windows())
    assert [window.index for window in windows] == list(range(len(windows)))
    return [window.samples for window in windows], recording


def lost(windows: list[np.ndarray | None]) -> list[int]:
    return [index for index, window in enumerate(windows) if window is None]


def check_times(windows: list[np.ndarray | None], seconds: float, late_s: float = 0.05) -> None:
    """Whether each second of what was read is heard where it was written, up to a codec's delay."""
    for index, window in enumerate(windows):
        for k in range(5 if window is not None else 0):
            second = 5 * index + k
            if window is None or second + 1 > seconds:
                break
            sound = window[k * RATE : (k + 1) * RATE].astype(np.float64)
            spectrum = np.abs(np.fft.rfft(sound * np.hanning(RATE)))[:4000]
            assert abs(int(spectrum[300:].argmax()) + 300 - 700 - 30 * second) <= 8
            middle = float((sound**2 * np.arange(RATE)).sum() / (sound**2).sum() / RATE)
            assert abs(middle - 0.5) < late_s


@functools.cache
def encoded(form: str, seconds: float, rate: int, **how: float | str) -> bytes:
    """A file of tones."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, 1, format=form, **how) as sound:
        for block in np.split(tones(seconds, rate), np.arange(rate, round(seconds * rate), rate)):
            sound.write(block)
    return file.getvalue()


def picture(size: int) -> bytes:
    """An ID3v2 tag with what could be taken for frames."""
    rng = np.random.default_rng(0)
    body = b"APIC" + b"\xff\xfb\x90\xc4" + rng.integers(0, 256, size, np.uint8).tobytes()
    return b"ID3\x03\0\0" + bytes(len(body) >> shift & 127 for shift in (21, 14, 7, 0)) + body
