import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

import runtime.audio.recording
from convert.proof.synthetic import soundscape
from runtime.audio.recording import Recording
from tests.support.recordings import RATE, WINDOW, cut, write

FORMATS = {"wav": 1e-4, "flac": 1e-4, "ogg": 0.2, "mp3": 0.2, "opus": 0.3}
"""Greatest difference from what was written: two bits of PCM, or what a lossy codec does to a peak of 0.8."""


def read(path: Path, **options: object) -> tuple[list[np.ndarray | None], str | None]:
    recording = Recording(path, RATE, WINDOW, **options)  # type: ignore[arg-type]
    windows = list(recording.windows())
    assert [window.index for window in windows] == list(range(len(windows)))
    return [window.samples for window in windows], recording.failure


@pytest.mark.parametrize("ending", FORMATS)
def test_formats(tmp_path: Path, ending: str) -> None:
    audio = soundscape(0, 12)
    rate = 48_000 if ending == "opus" else RATE  # Opus knows no 32 kHz
    written = soxr.resample(audio, RATE, rate) if rate != RATE else audio
    how = {"format": "OGG", "subtype": "OPUS"} if ending == "opus" else {}
    windows, failure = read(write(tmp_path / f"a.{ending}", written, rate, **how))
    assert failure is None
    assert len(windows) == 3
    assert all(window is not None and window.dtype == np.float32 and window.shape == (WINDOW,) for window in windows)
    read_back = np.concatenate(windows)[: len(audio)]
    assert np.corrcoef(read_back, audio)[0, 1] > 0.98
    assert np.abs(read_back - audio).max() < FORMATS[ending]


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 96_000])
def test_any_rate_is_resampled_as_in_one_go(tmp_path: Path, rate: int) -> None:
    seconds = 11.3
    tone = 0.5 * np.sin(2 * np.pi * 1234.5 * np.arange(int(seconds * rate)) / rate)
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone, rate, subtype="FLOAT")
    windows, failure = read(path)
    assert failure is None
    assert len(windows) == 3
    streamed = np.concatenate([window for window in windows if window is not None])
    expected = 0.5 * np.sin(2 * np.pi * 1234.5 * np.arange(len(streamed)) / RATE)
    inside = slice(RATE, int((seconds - 1) * RATE))
    assert np.abs(streamed - expected)[inside].max() < 1e-3


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = soundscape(1, 6), soundscape(2, 6)
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([left, right, right], axis=1), RATE, subtype="FLOAT")
    windows, _ = read(path)
    assert windows[0] is not None
    np.testing.assert_allclose(windows[0], ((left + 2 * right) / 3)[:WINDOW], atol=1e-6)


def test_overlapping_and_sparse_windows(tmp_path: Path) -> None:
    audio = soundscape(3, 21)
    path = tmp_path / "a.wav"
    soundfile.write(path, audio, RATE, subtype="FLOAT")
    for hop in (RATE, WINDOW // 2, WINDOW, 7 * RATE):
        windows, _ = read(path, hop=hop)
        padded = np.pad(audio, (0, 2 * WINDOW))
        for i, window in enumerate(windows):
            assert window is not None
            np.testing.assert_array_equal(window, padded[i * hop : i * hop + WINDOW])


def test_short_recording_is_padded(tmp_path: Path) -> None:
    audio = soundscape(4, 0.3)
    path = tmp_path / "short.wav"
    soundfile.write(path, audio, RATE, subtype="FLOAT")
    windows, failure = read(path)
    assert failure is None
    assert len(windows) == 1
    assert windows[0] is not None
    np.testing.assert_array_equal(windows[0][: len(audio)], audio)
    assert not windows[0][len(audio) :].any()


def test_padding_is_not_normalised(tmp_path: Path) -> None:
    path = tmp_path / "offset.wav"
    soundfile.write(path, soundscape(5, 2) + 0.2, RATE, subtype="FLOAT")
    (window,), _ = read(path, normalize="peak")
    assert window is not None
    assert np.abs(window).max() == pytest.approx(0.25, abs=1e-6)
    assert not window[2 * RATE :].any()


@pytest.mark.parametrize("rate", [RATE, 48_000])
def test_samples_that_are_not_finite_fail_their_window_alone(tmp_path: Path, rate: int) -> None:
    audio = np.repeat(soundscape(6, 20), 2)[: 20 * rate]
    clean_path, path = tmp_path / "clean.wav", tmp_path / "nan.wav"
    soundfile.write(clean_path, audio, rate, subtype="FLOAT")
    audio[7 * rate] = np.nan
    audio[8 * rate] = np.inf
    soundfile.write(path, audio, rate, subtype="FLOAT")
    windows, failure = read(path)
    clean, _ = read(clean_path)
    assert failure is not None
    assert "not finite" in failure
    assert [window is None for window in windows] == [False, True, False, False]
    for i in (0, 2, 3):
        np.testing.assert_array_equal(windows[i], clean[i])


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3"])
def test_truncated_recording_keeps_what_can_be_read(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"a.{ending}", soundscape(7, 40))
    whole, _ = read(path)
    windows, failure = read(cut(path, 0.6))
    assert failure is not None
    assert "truncated" in failure or "cannot be decoded" in failure
    assert len(windows) == len(whole) == 8
    readable = [window for window in windows if window is not None]
    assert 2 <= len(readable) <= 5
    assert windows[: len(readable)] == readable  # the lost ones are the last
    np.testing.assert_array_equal(readable[0], whole[0])


def test_truncated_ogg_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ogg", soundscape(7, 40))
    assert read(path)[1] is None
    assert Recording(path, RATE, WINDOW).promised_windows() == 8
    windows, failure = read(cut(path, 0.6))
    assert failure is not None
    assert "truncated" in failure
    assert 2 <= len(windows) <= 5
    assert Recording(path, RATE, WINDOW).promised_windows() is None


@pytest.mark.parametrize("content", [b"", b"not audio at all" * 100, b"OggS"])
def test_what_is_no_audio_fails(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.ogg"
    path.write_bytes(content)
    windows, failure = read(path)
    assert windows == []
    assert failure is not None
    assert "\n" not in failure


def test_recording_without_samples_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(0), RATE)
    assert read(path) == ([], "holds no samples")


@pytest.mark.parametrize("length", [0x7FFFF000, 0x80000000, 0xFFFFFFFF])
def test_streamed_wav_promises_nothing(tmp_path: Path, length: int) -> None:
    """Programs that write to a pipe cannot go back to write the length."""
    path = write(tmp_path / "a.wav", soundscape(1, 12))
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = length.to_bytes(4, "little")
    path.write_bytes(data)
    windows, failure = read(path)
    assert failure is None
    assert len(windows) == 3


def test_header_that_promises_years_is_not_believed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", soundscape(1, 12))
    data = bytearray(path.read_bytes())
    data[21] |= 0x0F  # the 36 bits of STREAMINFO's total samples
    data[22:26] = b"\xff" * 4
    path.write_bytes(data)
    assert Recording(path, RATE, WINDOW).promised_windows() == 3
    assert len(read(path)[0]) == 3


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX alone")
def test_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", soundscape(1, 6))
    odd = path.rename(tmp_path / os.fsdecode(b"caf\xe9 \n,.wav"))
    windows, failure = read(odd)
    assert failure is None
    assert len(windows) == 2


def test_missing_file_says_so(tmp_path: Path) -> None:
    assert read(tmp_path / "gone.wav") == ([], "no such file or directory")


@pytest.mark.parametrize(
    ("rate", "ending", "hop"), [(32_000, "wav", WINDOW), (48_000, "flac", 80_000), (22_050, "wav", WINDOW)]
)
def test_parts_are_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: int, ending: str, hop: int) -> None:
    monkeypatch.setattr(runtime.audio.recording, "PART_S", 10.0)
    path = write(tmp_path / f"a.{ending}", soxr.resample(soundscape(0, 33), RATE, rate), rate)
    whole = list(Recording(path, RATE, WINDOW, hop).windows())
    parts, promised = Recording(path, RATE, WINDOW, hop).count_parts()
    assert (parts, promised) == (4, len(whole))
    for number in range(parts):
        for offset, step in ((0, 1), (1, 2)):
            recording = Recording(path, RATE, WINDOW, hop)
            part = recording.part(number, parts)
            windows = list(recording.windows(part, offset, step))
            assert [w.index for w in windows] == list(range(part.first, part.end or len(whole)))[offset::step]
            assert recording.failure is None
            for window in windows:  # a resampler that begins elsewhere rounds otherwise
                np.testing.assert_allclose(window.samples, whole[window.index].samples, atol=1e-6)


def test_parts_behind_a_truncation_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.audio.recording, "PART_S", 10.0)
    path = cut(write(tmp_path / "a.wav", soundscape(0, 33)), 0.5)
    parts, promised = Recording(path, RATE, WINDOW).count_parts()
    assert (parts, promised) == (4, 7)
    readable = []
    for number in range(parts):
        recording = Recording(path, RATE, WINDOW)
        windows = list(recording.windows(recording.part(number, parts)))
        readable += [window.samples is not None for window in windows]
        assert (recording.failure is None) == (number == 0)
    assert readable == [True] * 3 + [False] * 4


@pytest.mark.parametrize("ending", ["ogg", "mp3", "opus"])
def test_what_cannot_be_entered_anywhere_is_one_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(runtime.audio.recording, "PART_S", 5.0)
    how = {"format": "OGG", "subtype": "OPUS"} if ending == "opus" else {}
    path = write(tmp_path / f"a.{ending}", soundscape(0, 12), 48_000 if ending == "opus" else RATE, **how)
    assert Recording(path, RATE, WINDOW).count_parts() == (1, None)


def test_chained_streams_are_read_to_the_end(tmp_path: Path) -> None:
    first = write(tmp_path / "first.ogg", soundscape(0, 7))
    second = write(tmp_path / "second.ogg", np.stack([soundscape(1, 12)] * 2, axis=1), 48_000)  # 8 s as written
    chain = tmp_path / "chain.ogg"
    chain.write_bytes(first.read_bytes() + second.read_bytes())
    windows, failure = read(chain)
    assert failure is None
    assert len(windows) == 3
    alone, _ = read(first)
    np.testing.assert_array_equal(windows[0], alone[0])
    assert np.abs(windows[1][2 * RATE :]).max() > 0.01
    cut(chain, 0.95)
    windows, failure = read(chain)
    assert failure is not None and "truncated" in failure


@pytest.mark.parametrize(("rate", "channels"), [(384_000, 1), (8_000, 2), (RATE, 8)])
def test_odd_rates_and_channels(tmp_path: Path, rate: int, channels: int) -> None:
    audio = np.stack([soxr.resample(soundscape(0, 6), RATE, rate)] * channels, axis=1)
    windows, failure = read(write(tmp_path / "a.wav", audio, rate))
    assert failure is None
    assert len(windows) == 2
    if rate >= RATE:
        np.testing.assert_allclose(windows[0], soundscape(0, 6)[:WINDOW], atol=2e-2)


def test_no_channels_fail(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "a.wav", soundscape(0, 6)).read_bytes())
    data[22:24] = bytes(2)
    (tmp_path / "a.wav").write_bytes(data)
    windows, failure = read(tmp_path / "a.wav")
    assert windows == []
    assert failure == "cannot be decoded (Channel count is zero)"


def test_wrong_ending_does_not_matter(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", soundscape(0, 6)).rename(tmp_path / "a.wav")
    assert len(read(path)[0]) == 2


def test_nothing_is_held_between_windows_far_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ogg", np.tile(soundscape(0, 20), 6))
    whole = list(Recording(path, RATE, WINDOW).windows())
    tracemalloc.start()
    far = list(Recording(path, RATE, WINDOW).windows(step=11))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [window.index for window in far] == [0, 11, 22]
    for window in far:
        np.testing.assert_array_equal(window.samples, whole[window.index].samples)
    assert peak < 8 * WINDOW * 4  # of 24 windows that there are
