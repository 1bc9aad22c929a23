"""Every format that libsndfile reads is found by its ending; what PyAV reads is read like any other recording."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from convert.proof.synthetic import soundscape
from runtime import load_model
from runtime.audio.extensions import READ, SELDOM, WITH_PYAV
from runtime.audio.paths import find_recordings
from runtime.audio.recording import Recording
from tests.support.pyav_files import encode
from tests.support.recordings import RATE, WINDOW, cut, write
from tests.support.tones import check_times, lost, read, tones

SECONDS = 17.3
SOUND = soundscape(1, 12)
ENDINGS = {
    **{".wav": "WAV", ".wave": "WAV", ".bwf": "WAV", ".rf64": "RF64", ".w64": "W64", ".flac": "FLAC", ".ogg": "OGG"},
    **{".oga": "OGG", ".opus": "OGG OPUS", ".mp3": "MP3", ".aif": "AIFF", ".aiff": "AIFF", ".aifc": "AIFF ULAW"},
    **{".caf": "CAF", ".au": "AU", ".snd": "AU", ".voc": "VOC PCM_16", ".sph": "NIST", ".nist": "NIST", ".avr": "AVR"},
    **{".svx": "SVX PCM_16", ".8svx": "SVX PCM_S8", ".16svx": "SVX PCM_16", ".sf": "IRCAM", ".ircam": "IRCAM FLOAT"},
    **{".paf": "PAF", ".fap": "PAF", ".pvf": "PVF", ".htk": "HTK", ".sds": "SDS"},
}
MPEG = {".mp2": "mp2", ".mp1": "mp2", ".mpa": "mp2", ".mpga": "mp2"}
SAY_NO_LENGTH = (".sf", ".ircam", ".paf", ".fap", ".pvf")
TOLERANCES = {".ogg": 0.2, ".oga": 0.2, ".mp3": 0.2, ".opus": 0.3, ".aifc": 0.02, ".8svx": 0.01, ".htk": 0.1}
LOSSY = {
    **{".m4a": ("aac", None), ".aac": ("aac", "adts"), ".3gp": ("libopencore_amrnb", "3gp"), ".mp4": ("aac", "mp4")},
    **{".amr": ("libopencore_amrnb", "amr"), ".wma": ("wmav2", "asf"), ".mkv": ("libopus", "matroska")},
    **{
        ".m4r": ("aac", "ipod"),
        ".adts": ("aac", "adts"),
        ".3gpp": ("libopencore_amrnb", "3gp"),
        ".flv": ("aac", "flv"),
    },
    **{".mts": ("ac3", "mpegts"), ".m2ts": ("aac", "mpegts"), ".mpg": ("mp2", "mpeg"), ".mpeg": ("ac3", "mpeg")},
    **{".webm": ("libopus", "webm"), ".mov": ("aac", "mov"), ".avi": ("libmp3lame", "avi"), ".ac3": ("ac3", "ac3")},
}
LOSSLESS = {".m4a": ("alac", None), ".wv": ("wavpack", "wv"), ".tta": ("tta", "tta"), ".mka": ("flac", "matroska")}


def rate_of(codec: str) -> int:
    return {"libopencore_amrnb": 8_000, "libopus": 48_000, "wmav2": 44_100}.get(codec, RATE)


def test_every_ending_that_is_read_is_tried_here() -> None:
    assert ENDINGS.keys() | MPEG.keys() == {ending for each in READ.values() for ending in each} | SELDOM


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_libsndfile_reads_is_found_and_read(tmp_path: Path, ending: str) -> None:
    form, _, subtype = ENDINGS[ending].partition(" ")
    rate, how = 48_000 if subtype == "OPUS" else RATE, {"subtype": subtype} if subtype else {}
    path = write(tmp_path / f"a{ending.upper()}", SOUND, rate, format=form, **how)
    assert find_recordings(tmp_path).paths == (path,)
    assert abs(soundfile.info(path).samplerate - rate) < 100  # HTK rounds it
    windows, recording = read(path)
    assert recording.failure is None and len(windows) == (3 if rate == RATE else 2)
    if soundfile.info(path).samplerate == RATE:
        for window, start in zip(windows, range(0, len(SOUND), WINDOW)):
            expected = SOUND[start : start + WINDOW]
            assert window is not None
            np.testing.assert_allclose(window[: len(expected)], expected, atol=TOLERANCES.get(ending, 1e-4))
    if ending not in SAY_NO_LENGTH:
        cut(path, 0.6)
        _, recording = read(path)
        assert recording.failure is not None


@pytest.mark.parametrize("ending", MPEG)
def test_older_layers_of_mpeg_are_found_and_read(tmp_path: Path, ending: str) -> None:
    path = encode(tmp_path / f"a{ending}", tones(SECONDS), RATE, MPEG[ending], "mp2")
    assert find_recordings(tmp_path).paths == (path,)
    windows, recording = read(path)
    assert recording.failure is None and len(windows) == 4
    check_times(windows, SECONDS)
    cut(path, 0.6)
    assert "is truncated" in str(read(path)[1].failure)


@pytest.mark.parametrize("ending", LOSSLESS)
def test_lossless_codecs_are_the_same_bits_as_a_wav(tmp_path: Path, ending: str) -> None:
    sound = np.round(tones(SECONDS) * 32768).astype(np.float32) / 32768
    path = encode(tmp_path / f"a{ending}", sound, RATE, *LOSSLESS[ending])
    windows, recording = read(path)
    expected, _ = read(write(tmp_path / "a.wav", sound, subtype="PCM_16"))
    assert (recording.failure, recording.notes) == (None, [])
    assert Recording(path, RATE, WINDOW).promised_windows() == 4
    np.testing.assert_array_equal(windows, expected)


@pytest.mark.parametrize("ending", LOSSY)
def test_lossy_codecs_have_all_sound_at_its_time(tmp_path: Path, ending: str) -> None:
    codec, container = LOSSY[ending]
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV cannot write {codec}")  # PyAV 19 reads AMR and does not write it
    rate = rate_of(codec)
    path = encode(tmp_path / f"a{ending}", tones(SECONDS, rate), rate, codec, container)
    assert find_recordings(tmp_path).paths == (path,)
    windows, recording = read(path)
    assert (recording.failure, recording.notes, len(windows)) == (None, [], 4)
    check_times(windows, SECONDS, late_s=0.08 if ending in (".wma", ".flv") else 0.05)


def test_an_m4a_scores_like_its_wav(tmp_path: Path, model: Path) -> None:
    """AAC at 64 kbit/s, as phones write it: embeddings of the tiny model differ by what the codec costs."""
    windows, _ = read(encode(tmp_path / "a.m4a", SOUND, RATE, "aac"))
    expected, _ = read(write(tmp_path / "a.wav", SOUND))
    loaded = load_model(model, "cpu")
    one, other = (loaded(np.stack(each), ["embedding"])["embedding"] for each in (windows, expected))
    cosine = (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert cosine.min() > 0.99


@pytest.mark.parametrize(("ending", "rate"), [(".m4a", RATE), (".m4a", 8_000), (".mp4", 44_100), (".3gp", RATE)])
def test_an_encoders_delay_and_padding_are_dropped(tmp_path: Path, ending: str, rate: int) -> None:
    """To the sample: the noise of an AAC lies where that of the WAV does, and has its length."""
    sound = np.random.default_rng(3).standard_normal(round(SECONDS * rate)).astype(np.float32) * np.float32(0.1)
    path = encode(tmp_path / f"a{ending}", sound, rate, "aac", ending[1:] if ending != ".m4a" else None)
    recording = Recording(path, rate, len(sound))
    (window,) = (each.samples for each in recording.windows())
    assert recording.failure is None and window is not None
    spectra = np.fft.rfft(window, 2**21), np.fft.rfft(sound, 2**21)
    assert np.fft.irfft(spectra[0] * spectra[1].conj()).argmax() == 0
    assert sum(len(block) for block in Recording(path, rate, WINDOW).samples()) == len(sound)


def with_jump(path: Path, jump_s: int) -> Path:
    """A second of sound, in the middle of which the times of frames jump."""
    with av.open(str(path), "w") as file:
        track = file.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for start in range(0, RATE, 1000):
            frame = av.AudioFrame.from_ndarray(np.full((1, 1000), 1000, np.int16), "s16", "mono")
            frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
            frame.pts = start + (jump_s * RATE if start >= RATE // 2 else 0)
            file.mux(track.encode(frame))
        file.mux(track.encode(None))
    return path


def test_a_jump_of_times_is_read_in_blocks_up_to_what_the_file_could_hold(tmp_path: Path) -> None:
    """Files of 66 kB, which could hold an hour."""
    recording = Recording(with_jump(tmp_path / "a.mka", 90), RATE, WINDOW)
    assert max(map(len, recording.samples())) < RATE
    assert recording.failure == "is damaged: cannot be decoded from 0.5 to 90.5 s"
    _, recording = read(with_jump(tmp_path / "b.mka", 10_000_000))
    assert recording.failure is not None
    assert "its times jump by 10,000,000.0 s behind 0.5 s, more than a file of its size holds" in recording.failure


@pytest.mark.parametrize(
    ("ending", "codec", "container"),
    [
        (".mkv", "libopus", "matroska"),
        (".wma", "wmav2", "asf"),
        (".wv", "wavpack", "wv"),
        (".avi", "libmp3lame", "avi"),
    ],
)
def test_what_breaks_off_says_so(tmp_path: Path, ending: str, codec: str, container: str) -> None:
    rate = rate_of(codec)
    path = cut(encode(tmp_path / f"a{ending}", tones(SECONDS, rate), rate, codec, container), 0.6)
    windows, recording = read(path)
    assert "is truncated" in str(recording.failure)
    check_times(windows, 10, late_s=0.08)
    assert all(window is None for window in windows[2:])


@pytest.mark.parametrize(
    ("ending", "codec", "container"),
    [(".m4a", "aac", None), (".mkv", "libopus", "matroska"), (".wma", "wmav2", "asf")],
)
def test_damage_costs_the_windows_that_have_it(tmp_path: Path, ending: str, codec: str, container: str | None) -> None:
    rate = rate_of(codec)
    path = encode(tmp_path / f"a{ending}", tones(SECONDS, rate), rate, codec, container)
    data = path.read_bytes()
    middle = len(data) // 2 - len(data) // 20
    noise = np.random.default_rng(0).bytes(len(data) // 50)
    path.write_bytes(data[:middle] + noise + data[middle + len(noise) :])
    windows, recording = read(path)
    assert "is damaged" in str(recording.failure)
    assert lost(windows) == [1]
    check_times(windows, SECONDS)


def test_raw_aac_whose_bytes_are_no_frames_fails(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.aac", tones(SECONDS), RATE, "aac", "adts")
    data = path.read_bytes()
    path.write_bytes(data[:60_000] + bytes(3000) + data[63_000:])
    assert "later times are too early" in str(read(path)[1].failure)


def test_of_several_tracks_the_first_is_scored(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mka", SOUND, RATE, "flac", "matroska", tracks=2)
    assert read(path)[1].notes == ["has 2 sound tracks; the first is scored"]


def test_a_file_without_sound_says_so(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as file:
        track = file.add_stream("mpeg4", rate=24, width=64, height=64, pix_fmt="yuv420p")
        file.mux(track.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        file.mux(track.encode(None))
    assert read(tmp_path / "a.mp4")[1].failure == "holds no sound"


def test_a_playlist_is_not_followed(tmp_path: Path) -> None:
    other = write(tmp_path / "other.wav", SOUND)
    (tmp_path / "a.m4a").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{other}\n#EXT-X-ENDLIST\n")
    (tmp_path / "b.mp4").write_text(f"ffconcat version 1.0\nfile {other}\n")
    for name in ("a.m4a", "b.mp4"):
        windows, recording = read(tmp_path / name)
        assert windows == [] and "cannot be decoded" in str(recording.failure)


def test_without_pyav_its_files_are_counted_with_what_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.audio.extensions._has_pyav", lambda: False)
    for name in ("a.m4a", "b.M4A", "c.wma", "d.wac", "e.zc"):
        (tmp_path / name).write_bytes(b"1")
    counted = (
        "2 .m4a, 1 .wma: `pip install av` (or '.[formats]' in the project's folder) reads them; "
        "1 .wac: convert them with Wildlife Acoustics' Kaleidoscope; "
        "1 .zc: they hold times of zero crossings, not sound"
    )
    found = find_recordings(tmp_path)
    assert found.no_reader == {".m4a": 2, ".wma": 1, ".wac": 1, ".zc": 1}
    assert found.nothing("here") == f"none of the recordings in here can be read as things are: {counted}"
    write(tmp_path / "e.wav", SOUND)
    found = find_recordings(tmp_path)
    assert found.names == ("e",)
    assert found.passed_over() == [f"skipped recordings in formats that cannot be read: {counted}"]


def test_without_pyav_a_file_that_is_named_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "a.m4a").write_bytes(b"1")
    assert "needs PyAV, which cannot be loaded" in str(read(tmp_path / "a.m4a")[1].failure)


def test_no_ending_has_two_readers() -> None:
    assert not WITH_PYAV & (SELDOM | {ending for each in READ.values() for ending in each})
