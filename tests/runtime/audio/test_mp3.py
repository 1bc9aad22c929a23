"""What MP3 files claim is checked against their frames."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.audio.containers.mpeg import Frames
from tests.support.recordings import RATE
from tests.support.tones import SECONDS, check_times, encoded, lost, picture, read


def mp3(seconds: float = SECONDS, rate: int = RATE, level: float = 0.5, xing: bool = False) -> bytes:
    """An MP3 as recorders write them: without a Xing header."""
    mode = "CONSTANT" if level == 0.5 else "VARIABLE"
    data = encoded("MP3", seconds, rate, compression_level=level, bitrate_mode=mode)
    found = Frames(data).frame(0)
    assert found is not None and Frames(data).xing(0, *found) is not None
    return data if xing else data[found[1] :]


APE = (
    b"APETAGEX" + (2000).to_bytes(4, "little") + (20_032).to_bytes(4, "little") + b"\1\0\0\0\0\0\0\xa0" + bytes(20_008)
)


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        (b"", b""),
        (picture(100_000), b""),
        (b"", APE),
        (b"", picture(30_000)),
        (b"", b"TAG" + bytes(125)),
        (b"", bytes(65_536)),
        (b"", b"LYRICSBEGIN" + b"la" * 2_000 + b"004011LYRICS200" + b"TAG" + bytes(125)),
    ],
)
def test_mp3_without_a_length(tmp_path: Path, before: bytes, behind: bytes) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(before + mp3() + behind)
    windows, recording = read(path)
    assert (recording.failure, recording.notes) == (None, [])
    assert len(windows) == recording.promised_windows() == 4
    check_times(windows, SECONDS)


@pytest.mark.parametrize("rate", [44_100, 24_000, 8_000])
def test_mp3_of_bit_rates_that_change(tmp_path: Path, rate: int) -> None:
    """The first frame, by which libsndfile reckons a length, is the largest or the smallest."""
    path = tmp_path / "a.mp3"
    large, small = (mp3(10, rate, level) for level in (0.01, 0.95))
    for data in (large + small, small + large):
        path.write_bytes(data)
        windows, recording = read(path)
        assert (recording.failure, recording.notes) == (None, [])
        assert len(windows) == 5  # the codec's delay is there twice
        check_times(windows[:2], 10, late_s=0.16)


def test_mp3_with_a_right_length_is_read_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(mp3(xing=True))
    with soundfile.SoundFile(path) as file:
        expected = np.concatenate([file.read(RATE // 2, dtype="float32") for _ in range(2 * SECONDS)])
    windows, recording = read(path)
    assert (recording.failure, recording.notes) == (None, [])
    np.testing.assert_array_equal(np.concatenate(windows)[: len(expected)], expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("told", [0.5, 2.0])
def test_mp3_whose_length_is_wrong(tmp_path: Path, told: float) -> None:
    path = tmp_path / "a.mp3"
    data = bytearray(mp3(xing=True))
    at = data.index(b"Info") + 8
    frames = int.from_bytes(data[at : at + 4], "big")
    data[at : at + 4] = round(frames * told).to_bytes(4, "big")
    path.write_bytes(data)
    windows, recording = read(path)
    assert recording.failure is None
    assert "its header promises" in recording.notes[0]
    assert len(windows) == recording.promised_windows() == 4
    check_times(windows, SECONDS)


def test_mp3_that_is_cut_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(mp3()[:-100])
    windows, recording = read(path)
    assert lost(windows) == [3]
    assert recording.failure is not None and "breaks off" in recording.failure


def test_mp3_with_frames_missing_keeps_its_times(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    data = bytearray(mp3())
    third = len(data) // 3
    data[third : third + 20_000] = bytes(20_000)
    path.write_bytes(data)
    windows, recording = read(path)
    assert len(windows) == 4
    assert 1 <= len(lost(windows)) <= 2
    check_times(windows, SECONDS)
    assert recording.failure is not None and re.search(r"from \d+\.\d to \d+\.\d s", recording.failure)
    assert "estimated" in recording.notes[0]


def test_joined_mp3_is_read_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    joined = [mp3(5, 48_000, xing=True), mp3(5, 24_000, xing=True), picture(100), mp3(5, xing=True)]
    path.write_bytes(b"".join(joined))
    windows, recording = read(path)
    assert (recording.failure, recording.notes, len(windows)) == (None, [], 3)
    for window in windows:
        check_times([window], 5)


def test_mp3_that_begins_in_the_middle_of_a_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(mp3()[100:])
    windows, recording = read(path)
    assert recording.failure is None
    check_times(windows, SECONDS)


def test_mp3_in_a_wav(tmp_path: Path) -> None:
    """Format 0x55; its length in samples is a guess as well."""
    data = mp3(level=0.9)
    form = struct.pack("<HHIIHHHHIHHH", 0x55, 1, RATE, 8_000, 1, 0, 12, 1, 2, 400, 1, 1393)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    windows, recording = read(path)
    assert (recording.failure, recording.notes, len(windows)) == (None, [], 4)
    check_times(windows, SECONDS)
