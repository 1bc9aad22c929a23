import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

import runtime.audio.containers.wav
import runtime.audio.mono
import runtime.audio.recording
from convert.proof.synthetic import soundscape
from runtime.audio.containers import open_streams
from runtime.audio.containers.chunks import W64_TAIL, read_layout
from runtime.audio.containers.stream import Pieces
from runtime.audio.recording import Recording
from tests.support.recordings import RATE, WINDOW
from tests.support.wav_files import chunk, in_format, pcm, wav

SOUND = soundscape(1, 12)
DATA = pcm(SOUND)
GUANO = b"GUANO|Version: 1.0\nTimestamp: 2024-05-12T05:30:00+02:00\nMake: X"
assert len(GUANO) % 2
BEHIND = {
    "nothing": b"",
    "LIST": chunk(b"LIST", b"INFO" + chunk(b"ICMT", b"a comment") + chunk(b"IART", b"somebody")),
    "GUANO": chunk(b"guan", GUANO),
    "unpadded": chunk(b"guan", GUANO, padded=False),
    "several": chunk(b"bext", bytes(602)) + chunk(b"iXML", b"<x/>.") + chunk(b"id3 ", b"ID3\3\0\0\0\0\0\0\0"),
    "unknown": chunk(b"XyZ1", bytes(range(100))),
}


def read(path: Path, **options: object) -> tuple[np.ndarray, list[bool], Recording]:
    """All samples, which windows are readable, and the recording."""
    recording = Recording(path, RATE, WINDOW, **options)  # type: ignore[arg-type]
    windows = [window.samples for window in recording.windows()]
    heard = [window for window in windows if window is not None]
    return np.concatenate([np.zeros(0), *heard]), [window is not None for window in windows], recording


def expect_all(path: Path, note: str | None = None, atol: float = 1e-4) -> Recording:
    """All 12 s are there, and nothing else."""
    samples, readable, recording = read(path)
    assert recording.failure is None
    assert readable == [True] * 3
    np.testing.assert_allclose(samples, np.pad(SOUND, (0, len(samples) - len(SOUND))), atol=atol)
    if note is None:
        assert recording.notes == []
    else:
        (said,) = recording.notes
        assert note in said
    return recording


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("size", [0, 44, 1000, len(DATA) // 2, 0x7FFFF000, 0x80000000, 2**32 - 1, 2**32 - 37])
def test_sound_that_the_header_does_not_count_is_read(tmp_path: Path, size: int, behind: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(DATA, RATE, size, behind=BEHIND[behind]))
    expect_all(path, "was never finished" if size > len(DATA) else f"says {size / 2 / RATE:.1f} s")


@pytest.mark.parametrize("behind", BEHIND)
def test_chunks_behind_the_sound_are_not_heard(tmp_path: Path, behind: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(DATA, RATE, behind=BEHIND[behind]))
    expect_all(path)


@pytest.mark.parametrize("riff", [0, 36, len(DATA) // 2, 2**32 - 1])
def test_only_the_size_of_all_is_wrong(tmp_path: Path, riff: int) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(DATA, RATE, riff=riff))
    expect_all(path)


@pytest.mark.parametrize("padded", [True, False])
def test_chunks_before_the_sound(tmp_path: Path, padded: bool) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(DATA, RATE, before=chunk(b"iXML", b"x" * 301, padded)))
    expect_all(path)
    path.write_bytes(wav(DATA, RATE, before=b"LIST" + struct.pack("<I", 10**6) + b"x" * 50))  # a size that lies
    expect_all(path)


def test_a_joined_file_without_sound_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(DATA, RATE) + b"RIFF\x24\0\0\0WAVE" + bytes(range(200)))
    expect_all(path, "is joined with another file at byte")


@pytest.mark.parametrize("name", ["W64", "CAF"])
def test_a_chunk_behind_the_sound_of_a_size_that_no_file_has(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.wav"
    tail = {"W64": b"fact" + W64_TAIL + b"\xf0" + b"\xff" * 7, "CAF": b"free" + b"\xff" * 8}[name]
    path.write_bytes(in_format(SOUND, RATE, name, "PCM_16") + tail + bytes(range(100)))
    expect_all(path)


@pytest.mark.parametrize("name", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF"])
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_relatives(tmp_path: Path, name: str, subtype: str) -> None:
    """Sizes of zeros, of ones, half of it all, and files that break off."""
    whole = in_format(SOUND, RATE, name, subtype)
    path = tmp_path / "a.wav"
    path.write_bytes(whole)
    expect_all(path)
    with path.open("rb") as file:
        layout = read_layout(file, len(whole))
    assert layout is not None and layout.declared is not None
    for size in (0, layout.declared // 2):
        path.write_bytes(layout.header(size) + whole[layout.start :])
        expect_all(path, "has a header that")
    unfinished = {
        "RF64": (b"ds64", 8, b"\xff" * 24),
        "W64": (b"data\xf3", 16, b"\xff" * 8),
        "CAF": (b"data", 4, b"\xff" * 8),
    }
    name_of, at, ones = unfinished.get(name, (b"SSND" if name == "AIFF" else b"data", 4, b"\xff" * 4))
    broken = bytearray(whole)
    place = 8 if name == "AU" else broken.index(name_of) + at
    broken[place : place + len(ones)] = ones
    path.write_bytes(broken)
    expect_all(path, "was never finished")
    path.write_bytes(whole[: len(whole) // 2])
    _, readable, recording = read(path)
    assert readable == [True, False, False]
    assert recording.failure == "is truncated: of 12.0 s only 6.0 s are there"


@pytest.mark.parametrize("subtype", ["IMA_ADPCM", "MS_ADPCM", "GSM610", "ULAW", "PCM_24", "PCM_U8", "DOUBLE"])
def test_sizes_of_zero_in_any_codec(tmp_path: Path, subtype: str) -> None:
    whole = in_format(soundscape(2, 12)[::4], 8000, "WAV", subtype)
    path = tmp_path / "a.wav"
    path.write_bytes(whole)
    right, _, _ = read(path)
    place = whole.index(b"data") + 4
    whole[place : place + 4] = bytes(4)
    path.write_bytes(whole)
    samples, _, recording = read(path)
    assert recording.failure is None
    np.testing.assert_array_equal(samples, right)


def test_other_order_of_bytes_and_other_names(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    swapped = np.frombuffer(DATA, "<i2").astype(">i2").tobytes()
    fmt = struct.pack(">4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    path.write_bytes(b"RIFX" + bytes(4) + b"WAVE" + fmt + b"data" + bytes(4) + swapped)
    expect_all(path, "says 0.0 s")
    path.write_bytes(wav(DATA, RATE).replace(b"RIFF", b"BW64", 1))
    expect_all(path)


def test_zeros_that_were_never_written_are_no_sound(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(DATA + bytes(20 * 2 * RATE), RATE, 0))
    expect_all(path, "except 20.0 s of zeros")


def test_zeros_at_the_end_of_a_right_header_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(DATA + bytes(20 * 2 * RATE), RATE))
    _, readable, recording = read(path)
    assert readable == [True] * 7 and recording.failure is None
    assert recording.notes == ["holds nothing but zeros from 12.0 s on, of 32.0 s"]
    monkeypatch.setattr(runtime.audio.recording, "PART_S", 10.0)  # and by each part in the same words
    first, *_, last = (Recording(path, RATE, WINDOW) for _ in range(4))
    list(first.windows(first.part(0, 4)))
    list(last.windows(last.part(3, 4)))
    assert first.notes == recording.notes
    assert last.notes == [*recording.notes, "is silent for minutes on end: all samples are equal"]


@pytest.mark.parametrize("behind", [bytes(4096), b"TAG" + bytes(125), chunk(b"LIST", b"INFO" * 9)[:20]])
def test_what_is_no_sound_behind_it(tmp_path: Path, behind: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(DATA, RATE, behind=behind))
    expect_all(path)


@pytest.mark.parametrize("behind", [bytes(range(100, 200)), b"some text behind the sound\n" * 100])
def test_what_is_neither_is_counted(tmp_path: Path, behind: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(DATA, RATE, behind=behind))
    expect_all(path, f"{len(behind)} bytes after its sound")


def test_joined_files_are_read_to_the_end(tmp_path: Path) -> None:
    path, second = tmp_path / "a.wav", soundscape(3, 8)
    path.write_bytes(wav(DATA, RATE, behind=BEHIND["LIST"]) + wav(pcm(second), RATE) + wav(DATA, RATE, 0))
    samples, readable, recording = read(path)
    assert recording.failure is None
    assert len(readable) == 7  # 32 s
    np.testing.assert_allclose(samples[: 32 * RATE], np.concatenate([SOUND, second, SOUND]), atol=1e-4)
    assert Recording(path, RATE, WINDOW).count_parts() == (1, None)


def test_a_right_header_is_left_to_libsndfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.audio.containers.wav.Extent, "open", None)
    for name in ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF"):
        (tmp_path / "a.wav").write_bytes(in_format(SOUND, RATE, name, "PCM_24"))
        expect_all(tmp_path / "a.wav")


def test_sizes_over_four_gigabytes(tmp_path: Path) -> None:
    """As headers that wrap around need it: RF64 around the same bytes, entered near its end."""
    path, zeros = tmp_path / "a.wav", 5 * 2**30
    path.write_bytes(wav(DATA, RATE))
    with path.open("rb") as file:
        layout = read_layout(file, path.stat().st_size)
    assert layout is not None
    size = zeros + len(DATA)
    pieces = [layout.header(size), zeros, (layout.start, layout.start + len(DATA))]
    with Pieces(path, pieces) as raw, soundfile.SoundFile(raw) as file:
        assert (file.format, file.frames) == ("RF64", size // 2)
        file.seek(zeros // 2 - 10)
        np.testing.assert_array_equal(file.read(30, "int16"), [0] * 10 + np.frombuffer(DATA[:40], "<i2").tolist())


def test_size_that_wrapped_around(tmp_path: Path) -> None:
    """Of a file of more than 4 GiB, which is sparse."""
    path, size = tmp_path / "a.wav", 2**32 + 2**20
    with path.open("wb") as file:
        file.write(wav(DATA, RATE, size % 2**32))
        file.seek(44 + size - len(DATA))
        file.write(DATA)
    recording = Recording(path, RATE, WINDOW)
    parts, promised = recording.count_parts()
    assert promised == -(-size // (2 * WINDOW))
    assert (recording.failure, recording.notes) == (None, [])
    last = list(recording.windows(recording.part(parts - 1, parts)))
    assert recording.failure is None and "says 16.4 s; its sound of 67125.2 s" in recording.notes[0]
    assert last[-1].samples is not None and np.abs(last[-1].samples).max() > 0.01
    path.unlink()


@pytest.mark.parametrize("rate", [0, 1, 999, 655_350_000, 2**31, 2**32 - 1])
def test_absurd_rates_are_refused(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(DATA, rate))
    _, readable, recording = read(path)
    assert readable == [] and recording.failure is not None
    assert f"has a rate of {rate:,} Hz" in recording.failure
    assert Recording(path, RATE, WINDOW).promised_windows() is None
    if 0 < rate < 1000:
        flac = in_format(SOUND, RATE, "FLAC", "PCM_16")
        flac[18:21] = (rate << 4 | flac[20] & 15).to_bytes(3, "big")  # 20 bits of STREAMINFO
        path.write_bytes(flac)
        assert read(path)[2].failure == recording.failure


@pytest.mark.parametrize("rate", [1_000, 6_144_000])
def test_rates_at_the_bounds_are_read(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(pcm(np.ones(rate, np.float32) / 2), rate))
    samples, _, recording = read(path)
    assert recording.failure is None
    np.testing.assert_allclose(samples[1000 : RATE - 1000], 0.5, atol=2e-3)


def test_promises_are_bounded_by_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(DATA[:2000], 1_000, 0x70000000))  # ten days
    _, readable, recording = read(path)
    assert recording.failure == "is truncated: of 939524.1 s only 1.0 s are there"
    assert len(readable) == Recording(path, RATE, WINDOW).promised_windows() == 120  # ten minutes


@pytest.mark.parametrize("data", [b"", DATA])
def test_nothing_but_a_header(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(data, RATE)[:44])
    _, readable, recording = read(path)
    assert recording.failure == ("is truncated: of 12.0 s only 0.0 s are there" if data else "holds no samples")
    assert readable == [False] * (3 if data else 0)
    assert recording.promised_windows() == (3 if data else None)


def test_many_channels_need_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.audio.mono, "MOST_BLOCK", 2**16)
    frames = np.repeat(SOUND[: 2 * RATE, None], 64, axis=1)
    path = tmp_path / "a.wav"
    path.write_bytes(wav(pcm(frames), RATE, channels=64))
    with_bound, _, _ = read(path)
    np.testing.assert_allclose(with_bound[: 2 * RATE], SOUND[: 2 * RATE], atol=1e-4)


def test_headers_without_end(tmp_path: Path) -> None:
    """Chunks by the hundred thousand, before the sound, behind it, and behind a header that does not lead there."""
    many = (b"JUNK" + bytes(4)) * 200_000
    path = tmp_path / "a.wav"
    path.write_bytes(wav(DATA, RATE, behind=many))
    samples, _, _ = read(path)
    np.testing.assert_allclose(samples[: len(SOUND)], SOUND, atol=1e-4)
    path.write_bytes(wav(DATA, RATE, 0, behind=many))
    read(path)
    path.write_bytes(wav(DATA, RATE, before=many))
    read(path)


def test_header_of_zeros(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(bytes(2**17))
    assert read(path)[2].failure == "begins with zeros where a header should be: it was never written"


def test_streams_close_their_files(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(DATA, RATE, 0))
    (sound,) = open_streams(path)
    assert sound.file.closed
