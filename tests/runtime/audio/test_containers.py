"""What MP3, FLAC and OGG files claim of themselves is held against their frames and pages."""

from __future__ import annotations

import functools
import io
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

import runtime.audio.recording
from convert.proof.synthetic import soundscape
from runtime.audio.containers.mpeg import Frames
from runtime.audio.containers.ogg import checksum
from runtime.audio.containers.reading import resuming
from runtime.audio.containers.stream import Entry, Stream
from runtime.audio.recording import Recording
from tests.support.recordings import RATE, WINDOW, write

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
            heard = window[k * RATE : (k + 1) * RATE].astype(np.float64)
            spectrum = np.abs(np.fft.rfft(heard * np.hanning(RATE)))[:4000]
            assert abs(int(spectrum[300:].argmax()) + 300 - 700 - 30 * second) <= 8
            middle = float((heard**2 * np.arange(RATE)).sum() / (heard**2).sum() / RATE)
            assert abs(middle - 0.5) < late_s


@functools.cache
def encoded(form: str, seconds: float, rate: int, **how: float | str) -> bytes:
    """A file of tones."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, 1, format=form, **how) as sound:
        for block in np.split(tones(seconds, rate), np.arange(rate, round(seconds * rate), rate)):
            sound.write(block)
    return file.getvalue()


def mp3(seconds: float = SECONDS, rate: int = RATE, level: float = 0.5, xing: bool = False) -> bytes:
    """An MP3 as recorders write them: without a Xing header."""
    mode = "CONSTANT" if level == 0.5 else "VARIABLE"
    data = encoded("MP3", seconds, rate, compression_level=level, bitrate_mode=mode)
    found = Frames(data).frame(0)
    assert found is not None and Frames(data).xing(0, *found) is not None
    return data if xing else data[found[1] :]


def picture(size: int) -> bytes:
    """An ID3v2 tag with what could be taken for frames."""
    rng = np.random.default_rng(0)
    body = b"APIC" + b"\xff\xfb\x90\xc4" + rng.integers(0, 256, size, np.uint8).tobytes()
    return b"ID3\x03\0\0" + bytes(len(body) >> shift & 127 for shift in (21, 14, 7, 0)) + body


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


@pytest.mark.parametrize("how", [{}, {"subtype": "OPUS"}])
@pytest.mark.parametrize("damage", ["flip", "zeros", "cut out"])
def test_ogg_with_pages_missing_keeps_its_times(tmp_path: Path, how: dict[str, str], damage: str) -> None:
    path = tmp_path / "a.ogg"
    data = bytearray(encoded("OGG", SECONDS, 48_000 if how else RATE, **how))
    third = len(data) // 3
    if damage == "flip":
        data[third] ^= 1
    elif damage == "zeros":
        data[third : third + 20_000] = bytes(20_000)
    else:
        del data[third : third + 20_000]
    path.write_bytes(data)
    windows, recording = read(path)
    assert len(windows) == 4
    assert 1 <= len(lost(windows)) <= 2
    assert recording.failure is not None and re.search(r"from \d+\.\d to \d+\.\d s", recording.failure)
    check_times(windows, SECONDS)


@pytest.mark.parametrize("shift", [-200_000, 900_000])
def test_ogg_whose_last_position_is_wrong(tmp_path: Path, shift: int) -> None:
    """The last page's position is the length; one that cannot be leaves that page out, and says so."""
    path = tmp_path / "a.ogg"
    data = bytearray(encoded("OGG", SECONDS, RATE))
    at = data.rindex(b"OggS")
    position = int.from_bytes(data[at + 6 : at + 14], "little") + shift
    data[at + 6 : at + 14] = position.to_bytes(8, "little")
    data[at + 22 : at + 26] = bytes(4)
    data[at + 22 : at + 26] = checksum(bytes(data[at:])).to_bytes(4, "little")
    path.write_bytes(data)
    windows, recording = read(path)
    assert len(windows) == 4
    assert lost(windows) == [3]
    assert recording.failure is not None and "truncated" in recording.failure
    check_times(windows, SECONDS)


def ogg_moved(data: bytes, first: int, seconds: int, pages: int, lost: int = -1) -> bytes:
    """An OGG whose positions and page numbers are so much greater from a page on, one of which is lost."""
    moved = []
    for number, page in enumerate(re.split(b"(?=OggS\0)", data)[1:]):
        changed = bytearray(page)
        if number >= first:
            position = int.from_bytes(page[6:14], "little", signed=True)
            changed[6:14] = (position + seconds * RATE).to_bytes(8, "little")
            changed[18:22] = (int.from_bytes(page[18:22], "little") + pages).to_bytes(4, "little")
            changed[22:26] = bytes(4)
            changed[22:26] = checksum(bytes(changed)).to_bytes(4, "little")
        moved.append(bytes(changed) if number != lost else b"")
    return b"".join(moved)


def test_ogg_whose_positions_cannot_be_ends_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    path.write_bytes(ogg_moved(encoded("OGG", SECONDS, RATE), first=21, seconds=2**30, pages=0, lost=20))
    windows, recording = read(path)
    assert 1 <= len(windows) <= 3
    assert recording.failure is not None and "is truncated: it breaks off after" in recording.failure


def test_a_place_beyond_what_a_file_can_hold_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write(path, tones(1))
    stream = Stream(entry_after=lambda frame: Entry(frame + RATE, [path.read_bytes()]))
    assert (found := resuming(path, stream, RATE, most=RATE)(0)) is not None
    assert found[0] == RATE
    assert resuming(path, stream, RATE, most=RATE - 1)(0) is None


def test_ogg_that_was_taken_up_in_the_middle_of_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    path.write_bytes(ogg_moved(encoded("OGG", SECONDS, RATE), first=2, seconds=3600, pages=1000))
    windows, recording = read(path)
    assert recording.failure is None
    assert len(windows) == 4
    check_times(windows, SECONDS)


def codecs() -> list[tuple[str, str]]:
    return [(form, sub) for form in ("WAV", "AIFF", "AU", "CAF", "W64") for sub in soundfile.available_subtypes(form)]


@pytest.mark.parametrize(("form", "subtype"), codecs())
def test_codecs_read_the_same_in_parts_as_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, subtype: str
) -> None:
    if subtype.startswith(("DWVW", "MPEG")):
        pytest.skip("soundfile cannot read one, nor libsndfile write the other")
    monkeypatch.setattr(runtime.audio.recording, "PART_S", 5.0)
    rate = 8_000 if subtype in ("GSM610", "G721_32", "G723_24", "G723_40") else RATE
    path = tmp_path / f"a.{form.lower()}"
    try:
        write(path, soxr.resample(soundscape(0, 12), RATE, rate), rate, format=form, subtype=subtype)
    except soundfile.LibsndfileError as error:
        pytest.skip(str(error))
    whole, recording = read(path)
    assert recording.failure is None
    parts, _ = Recording(path, RATE, WINDOW).count_parts()
    for number in range(parts):
        recording = Recording(path, RATE, WINDOW)
        for window in recording.windows(recording.part(number, parts)):
            assert window.samples is not None
            np.testing.assert_allclose(window.samples, whole[window.index], atol=1e-6)  # type: ignore[arg-type]
        assert recording.failure is None


def test_a_file_of_garbage_ends_soon(tmp_path: Path) -> None:
    """Headers that are right, and nothing else: each place is tried, and no more than that."""
    path = tmp_path / "a.flac"
    data = flac(5)
    noise = np.random.default_rng(2).integers(0, 256, 3_000_000, np.uint8).tobytes()
    path.write_bytes(promise(data[:9_000] + bytearray(noise), lambda total: 10**9))
    windows, recording = read(path)
    assert all(window is None for window in windows[1:])
    assert recording.failure is not None
