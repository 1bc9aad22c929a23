"""What a file is decides how it is read, whatever its name says."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from runtime.audio.containers.kinds import kind_for_pyav
from tests.support.pyav_files import encode
from tests.support.recordings import RATE, cut, write
from tests.support.tones import read, tones

SECONDS = 12.0


@pytest.mark.parametrize("ending", [".wav", ".mp3", ".flac", ".OGG", ".aif", ".caf"])
def test_an_m4a_of_another_name_is_read(tmp_path: Path, ending: str) -> None:
    path = encode(tmp_path / "a.m4a", tones(SECONDS), RATE, "aac")
    windows, recording = read(Path(shutil.copy(path, tmp_path / f"b{ending}")))
    assert (recording.failure, recording.notes) == (None, [])
    np.testing.assert_array_equal(windows, read(path)[0])


@pytest.mark.parametrize("own", [".wav", ".flac", ".mp3", ".ogg"])
def test_what_libsndfile_reads_is_checked_under_another_name(tmp_path: Path, own: str) -> None:
    path = write(tmp_path / f"a{own}", tones(SECONDS))
    other = Path(shutil.copy(path, tmp_path / "b.m4a"))
    np.testing.assert_array_equal(read(other)[0], read(path)[0])
    cut(other, 0.6)
    assert read(other)[1].failure is not None


def test_a_name_that_hides_what_needs_pyav_is_seen_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode(tmp_path / "a.m4a", tones(SECONDS), RATE, "aac").rename(tmp_path / "a.wav")
    monkeypatch.setitem(sys.modules, "av", None)
    failure = str(read(path)[1].failure)
    assert failure.startswith("is MPEG-4, such as M4A, and needs PyAV, which cannot be loaded")
    assert failure.endswith("`pip install av` (or '.[formats]' in the project's folder) reads it")


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("a.aac", b"\xff\xf1\x50\x80", ".aac"),
        ("a.m4a", b"\xff\xfb\x90\x64", None),
        ("a.spx", b"OggS" + bytes(24) + b"Speex   ", ".spx"),
        ("a.wav", b"RIFF" + bytes(4) + b"AVI LIST", "AVI"),
        ("a.wav", b"no sound", None),
    ],
)
def test_beginnings_are_told_apart(name: str, head: bytes, kind: str | None) -> None:
    assert kind_for_pyav(Path(name), head) == kind


def test_mpeg_audio_behind_a_tag_is_told_from_aac(tmp_path: Path) -> None:
    tag = b"ID3\x04\x00\x00\x00\x00\x00\x14" + bytes(20)
    for name, frame, kind in (("a.m4a", b"\xff\xfb\x90\x64", None), ("a.aac", b"\xff\xf1\x50\x80", ".aac")):
        (tmp_path / name).write_bytes(tag + frame)
        assert kind_for_pyav(tmp_path / name, tag) == kind
