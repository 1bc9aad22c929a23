from pathlib import Path

import numpy as np
import pytest

import runtime.audio.recording
from convert.proof.synthetic import soundscape
from runtime import load_model, run_soundscapes
from runtime.audio.recording import Recording
from runtime.explore.pictures import sound
from runtime.workers.schedule import Schedule
from tests.support.deadlines import LONG, ends_when
from tests.support.recordings import RATE, WINDOW
from tests.support.wav_files import chunk, pcm, wav

COMMENT = b"Recorded at 05:30:00 12/05/2024 (UTC) by AudioMoth 24F319055FDF2F5B. Amplitude threshold was 1024."
FRAMES = 256
PART = 20 * RATE // FRAMES
"""Blocks of 20 s."""


def block(count: int) -> bytes:
    """What stands for so many silent blocks."""
    bits = np.where([(count >> bit) & 1 for bit in range(32)], 1, -1)
    return np.concatenate([bits, np.zeros(FRAMES - 32)]).astype("<i2").tobytes()


def triggered(
    folder: Path, gaps: tuple[int, ...], name: str = "20240512_053000T.WAV", comment: bytes = COMMENT
) -> Path:
    """20 s of sound before, between and behind silent stretches of so many blocks."""
    before = chunk(b"LIST", b"INFO" + chunk(b"ICMT", comment.ljust(384, b"\0")))
    pad = bytes(-(44 + len(before)) % 512)
    sound = pcm(soundscape(5, 20 * (len(gaps) + 1)))
    parts = [sound[i * PART * 512 : (i + 1) * PART * 512] for i in range(len(gaps) + 1)]
    data = pad + b"".join(part + block(gap) for part, gap in zip(parts, [*gaps, 0]))
    path = folder / name
    path.write_bytes(wav(data[:-512], RATE, before=before))
    return path


def in_field(path: Path) -> np.ndarray:
    """The samples with zeros for what was not recorded, worked out apart from the code that is tested."""
    samples = np.frombuffer(path.read_bytes(), "<i2")[22:]
    start = int(np.flatnonzero(samples[:400] == int.from_bytes(b"da", "little"))[-1]) + 4
    lead = -(2 * (22 + start)) % 512 // 2
    found = [samples[start : start + lead]]
    for each in samples[start + lead :].reshape(-1, FRAMES):
        coded = (np.abs(each[:32]) == 1).all() and not each[32:].any()
        found.append(np.zeros(FRAMES * sum(1 << bit for bit in range(32) if each[bit] == 1)) if coded else each)
    return np.concatenate(found) / 32768


def test_rows_stand_where_they_were_in_the_field(tmp_path: Path, label_model: Path) -> None:
    path = triggered(tmp_path, (100 * RATE // FRAMES, 43 * RATE // FRAMES))
    result = run_soundscapes(tmp_path, label_model, workers=1, progress=False)
    recorded = [*range(4), *range(24, 28), *range(36, 41)]  # a few samples of the pad come first
    assert np.flatnonzero(result.status == "scored").tolist() == recorded
    assert set(result.status) == {"scored", "unrecorded"}
    assert len(result) == 41 and not result.failures
    assert result.row_ids[24] == "20240512_053000T_125"
    assert np.isnan(result["label"][10]).all()
    assert "unrecorded" in result.summary()
    (note,) = result.notes
    assert note.text.startswith("is a triggered recording: 60.0 s of sound in 203.0 s")
    alone = tmp_path / "alone"
    alone.mkdir()
    expected = in_field(path)[24 * WINDOW : 25 * WINDOW]
    (alone / "a.wav").write_bytes(wav(pcm(expected * 32768 / 32767), RATE))
    again = run_soundscapes(alone, label_model, workers=1, progress=False)
    np.testing.assert_allclose(again["label"][0], result["label"][24], atol=1e-4)


def test_what_was_not_recorded_is_not_made_up(
    tmp_path: Path, label_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a deadline comes before all windows are visited, those between get means; silent stretches get none."""
    triggered(tmp_path, (100 * RATE // FRAMES, 43 * RATE // FRAMES))
    ends_when(monkeypatch, lambda table: any(received.done for received in table._received.values()))
    monkeypatch.setattr(Schedule, "_first_step", lambda self: 4)
    result = run_soundscapes(tmp_path, label_model, workers=1, on_deadline="interpolate", progress=False, **LONG)
    recorded = np.array([*range(4), *range(24, 28), *range(36, 41)])
    assert result.status[recorded].tolist() == (["scored"] + ["interpolated"] * 3) * 3 + ["scored"]
    assert set(np.delete(result.status, recorded)) == {"unrecorded"}


def test_rows_are_pooled_from_recorded_windows_alone(tmp_path: Path, label_model: Path) -> None:
    path = triggered(tmp_path, (100 * RATE // FRAMES, 43 * RATE // FRAMES))
    rows = run_soundscapes(path, label_model, hop_s=2.5, pool="max", workers=1, progress=False)
    recorded = [*range(4), *range(24, 28), *range(36, 41)]
    assert np.flatnonzero(rows.status == "scored").tolist() == recorded
    assert set(rows.status) == {"scored", "unrecorded"}
    heard = [each for each in Recording(path, RATE, WINDOW, WINDOW // 2).windows() if each.samples is not None]
    scores = load_model(label_model, "cpu")(np.stack([each.samples for each in heard]))["label"]
    starts = np.array([each.start / RATE for each in heard])
    for row in recorded:
        near = (np.abs(starts - 5 * row) <= 2.5) & (starts <= 200)
        assert near[starts == 5 * row]
        np.testing.assert_allclose(rows["label"][row], scores[near].max(axis=0), atol=1e-4)


def test_samples_and_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = triggered(tmp_path, (100 * RATE // FRAMES, 43 * RATE // FRAMES))
    expected = in_field(path)
    whole = Recording(path, RATE, WINDOW)
    np.testing.assert_allclose(np.concatenate(list(whole.samples())), expected, atol=1e-6)
    monkeypatch.setattr(runtime.audio.recording, "PART_S", 30.0)
    recording = Recording(path, RATE, WINDOW)
    parts, promised = recording.count_parts()
    assert (parts, promised) == (7, 41)
    for part in range(parts):
        recording = Recording(path, RATE, WINDOW)
        for window in recording.windows(recording.part(part, parts)):
            piece = expected[window.index * WINDOW : (window.index + 1) * WINDOW]
            assert window.recorded == (np.count_nonzero(piece) > 0.04 * RATE)
            if window.samples is not None:
                np.testing.assert_allclose(window.samples[: len(piece)], piece, atol=1e-6)
        assert recording.failure is None
        assert recording.notes == whole.notes


def test_silence_is_drawn_as_silence(tmp_path: Path) -> None:
    path = triggered(tmp_path, (100 * RATE // FRAMES,))
    seconds = list(sound.read_seconds(path, 18, 5))
    assert [bool(second.any()) for second in seconds] == [True, True, False, False, False]
    assert not sound.read(path, 50, 5).any()


@pytest.mark.parametrize(("name", "comment"), [("a.wav", COMMENT), ("20240512_053000t.wav", b""), ("053000T.WAV", b"")])
def test_known_by_its_name_or_its_comment(tmp_path: Path, name: str, comment: bytes) -> None:
    path = triggered(tmp_path, (1000,), name, comment)
    assert "triggered" in next(iter(_read(path).notes))


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    """A block that looks like one in a file that no AudioMoth wrote, and a triggered one that never was silent."""
    assert not _read(triggered(tmp_path, (1000,), "a.wav", b"no comment")).notes
    assert not _read(triggered(tmp_path, ())).notes
    quiet = np.random.default_rng(0).integers(-1, 2, 512 * FRAMES).astype("<i2").tobytes()
    path = tmp_path / "20240512_053000T.WAV"
    path.write_bytes(wav(quiet + bytes(512 * 8), RATE))
    assert not _read(path).notes


def test_zeros_at_the_ends_were_not_recorded(tmp_path: Path) -> None:
    path = tmp_path / "20240512_053000T.WAV"
    zeros = bytes(32 * 1024 - 44)
    path.write_bytes(wav(zeros + block(10 * RATE // FRAMES) + pcm(soundscape(0, 10)), RATE))
    windows = list(Recording(path, RATE, WINDOW).windows())
    assert [window.recorded for window in windows][:2] == [False, False]
    assert all(window.recorded for window in windows[2:])


def test_a_triggered_recording_that_breaks_off(tmp_path: Path) -> None:
    path = triggered(tmp_path, (100 * RATE // FRAMES,))
    path.write_bytes(path.read_bytes()[: -2 * 12 * RATE])
    recording = Recording(path, RATE, WINDOW)
    windows = list(recording.windows())
    assert recording.failure is not None and "is truncated: of 140.0 s only 128.0 s are there" in recording.failure
    assert [window.index for window in windows if window.recorded and window.samples is None] == [25, 26, 27]


def test_counts_that_cannot_be(tmp_path: Path) -> None:
    recording = _read(triggered(tmp_path, (2**31,)))
    assert recording.failure is not None and "silent stretches add up to 4772 h" in recording.failure


def _read(path: Path) -> Recording:
    recording = Recording(path, RATE, WINDOW)
    list(recording.windows())
    return recording
