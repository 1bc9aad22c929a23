"""What FLAC files claim is checked against their frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import runtime.audio.recording
from runtime.audio.recording import Recording
from tests.support.recordings import RATE, WINDOW
from tests.support.tones import LONG, SECONDS, check_times, encoded, lost, picture, read


def flac(seconds: float = SECONDS, rate: int = RATE) -> bytearray:
    return bytearray(encoded("FLAC", seconds, rate))


def promise(data: bytearray, total: Callable[[int], int]) -> bytearray:
    bits = int.from_bytes(data[18:26], "big")
    data[18:26] = (bits >> 36 << 36 | total(bits & (1 << 36) - 1)).to_bytes(8, "big")
    return data


@pytest.mark.parametrize("seconds", [3, SECONDS])
def test_flac_without_a_total(tmp_path: Path, seconds: int) -> None:
    path = tmp_path / "a.flac"
    path.write_bytes(flac(seconds))
    expected, _ = read(path)
    path.write_bytes(promise(flac(seconds), lambda total: 0))
    windows, recording = read(path)
    assert (recording.failure, recording.notes) == (None, [])
    assert recording.promised_windows() == len(windows) == len(expected)
    np.testing.assert_array_equal(np.array(windows), np.array(expected))


@pytest.mark.parametrize("factor", [0.5, 2.0])
@pytest.mark.parametrize("part_s", [5.0, 600.0])
def test_flac_whose_total_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float, part_s: float
) -> None:
    monkeypatch.setattr(runtime.audio.recording, "PART_S", part_s)
    path = tmp_path / "a.flac"
    path.write_bytes(promise(flac(), lambda total: round(total * factor)))
    parts, _ = Recording(path, RATE, WINDOW).count_parts()
    assert parts == (4 if part_s == 5.0 else 1)
    windows = []
    for number in range(parts):
        recording = Recording(path, RATE, WINDOW)
        windows += [window.samples for window in recording.windows(recording.part(number, parts))]
        assert recording.failure is None
        assert "its header promises" in recording.notes[0]
    assert len(windows) == 4
    check_times(windows, SECONDS)


def test_flac_goes_on_behind_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.flac"
    data = flac(LONG)
    path.write_bytes(data)
    whole, _ = read(path)
    data[len(data) // 10] ^= 1
    zeros = len(data) // 2
    data[zeros : zeros + 20_000] = bytes(20_000)
    path.write_bytes(data)
    for part_s in (600.0, 10.0):
        monkeypatch.setattr(runtime.audio.recording, "PART_S", part_s)
        parts, _ = Recording(path, RATE, WINDOW).count_parts()
        windows, failures = [], []
        for number in range(parts):
            recording = Recording(path, RATE, WINDOW)
            windows += [window.samples for window in recording.windows(recording.part(number, parts))]
            failures.append(recording.failure or "")
        assert len(windows) == 9
        assert 2 <= len(lost(windows)) <= 3
        assert all(window is None or (window == whole[k]).all() for k, window in enumerate(windows))
        assert sum(text.count("from ") for text in failures) >= 2


def test_flac_with_frames_cut_out_keeps_its_times(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    data = flac(LONG)
    del data[len(data) // 3 : len(data) // 3 + 60_000]
    path.write_bytes(data)
    windows, recording = read(path)
    assert len(windows) == 9
    assert 1 <= len(lost(windows)) <= 2
    assert recording.failure is not None
    check_times(windows, LONG)


@pytest.mark.parametrize("total", [True, False])
def test_flac_that_goes_over_into_something_else(tmp_path: Path, total: bool) -> None:
    path = tmp_path / "a.flac"
    data = flac(LONG) if total else promise(flac(LONG), lambda total: 0)
    noise = np.random.default_rng(1).integers(0, 256, 300_000, np.uint8).tobytes()
    path.write_bytes(data[: len(data) // 2] + noise)
    windows, recording = read(path)
    assert 3 <= sum(window is not None for window in windows) <= 4
    assert windows[-1] is None
    assert recording.failure is not None and "cannot be decoded behind" in recording.failure
    check_times(windows, LONG)


def test_joined_flac_is_read_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    pieces = [flac(5), flac(5), flac(5, 44_100)]
    for joined in (pieces, pieces[:2], [*pieces[1:], pieces[0]]):
        path.write_bytes(picture(500) + b"".join(joined))
        windows, recording = read(path)
        assert (recording.failure, len(windows)) == (None, len(joined))
        for window in windows:
            check_times([window], 5)


def test_a_file_of_garbage_ends_soon(tmp_path: Path) -> None:
    """Headers that are right, and nothing else: each place is tried, and no more than that."""
    path = tmp_path / "a.flac"
    data = flac(5)
    noise = np.random.default_rng(2).integers(0, 256, 3_000_000, np.uint8).tobytes()
    path.write_bytes(promise(data[:9_000] + bytearray(noise), lambda total: 10**9))
    windows, recording = read(path)
    assert all(window is None for window in windows[1:])
    assert recording.failure is not None
