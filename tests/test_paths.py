import os
from pathlib import Path

import pytest

from runtime.errors import InputError
from runtime.paths import find_recordings


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_folder_is_read_recursively_in_order(tmp_path: Path) -> None:
    touch(tmp_path, "b.WAV", "a/z.ogg", "c.Flac", "a/._z.ogg", "notes.txt", "a/deep/er/x.mp3")
    found = find_recordings(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found.paths] == [
        "a/deep/er/x.mp3",
        "a/z.ogg",
        "b.WAV",
        "c.Flac",
    ]
    assert found.names == ("x", "z", "b", "c")
    assert found.skipped == 2
    assert found.repeated_stem is None


def test_repeated_stems_take_their_path(tmp_path: Path) -> None:
    touch(tmp_path, "north/0500.wav", "south/0500.wav", "south/0600.wav", "south/0600.flac", "other.wav")
    found = find_recordings(tmp_path)
    assert found.names == ("north/0500", "other", "south/0500", "south/0600.flac", "south/0600.wav")
    assert found.repeated_stem is not None


def test_paths_and_globs(tmp_path: Path) -> None:
    touch(tmp_path, "b.wav", "a.wav", "odd.bin", "c.txt")
    assert [p.name for p in find_recordings([tmp_path / "b.wav", tmp_path / "a.wav", tmp_path / "b.wav"]).paths] == [
        "a.wav",
        "b.wav",
    ]
    assert [p.name for p in find_recordings(str(tmp_path / "*")).paths] == ["a.wav", "b.wav"]
    assert [p.name for p in find_recordings(tmp_path / "odd.bin").paths] == ["odd.bin"]


@pytest.mark.parametrize("missing", ["nowhere", "*.wav", "a/b.ogg"])
def test_what_is_not_there_is_refused(tmp_path: Path, missing: str) -> None:
    with pytest.raises(InputError, match="there is no file or folder"):
        find_recordings(tmp_path / missing)


def test_empty_folder(tmp_path: Path) -> None:
    assert find_recordings(tmp_path).paths == ()


def test_linked_folders_are_entered_once(tmp_path: Path) -> None:
    touch(tmp_path, "card/a.wav", "archive/b.wav")
    (tmp_path / "card" / "more").symlink_to(tmp_path / "archive")
    (tmp_path / "archive" / "back").symlink_to(tmp_path / "card")
    (tmp_path / "card" / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    assert [path.name for path in find_recordings(tmp_path / "card").paths] == ["a.wav", "gone.wav", "b.wav"]


def test_one_file_by_two_names_is_one_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.wav")
    monkeypatch.chdir(tmp_path)
    assert find_recordings(["a.wav", tmp_path / "a.wav"]).names == ("a",)


def test_glob_of_folders_walks_them(tmp_path: Path) -> None:
    touch(tmp_path, "site_1/a.wav", "site_2/b.wav", "other/c.wav")
    assert find_recordings(str(tmp_path / "site_*")).names == ("a", "b")


def test_pipes_and_nothing_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        find_recordings(tmp_path / "pipe.wav")
    assert find_recordings(tmp_path).paths == ()
    with pytest.raises(InputError, match="no file or folder ''"):
        find_recordings("")


def test_names_never_repeat(tmp_path: Path) -> None:
    for name in ("x.wav", "x.ogg", "x.ogg.ogg"):
        (tmp_path / name).touch()
    assert sorted(find_recordings(tmp_path).names) == ["x.ogg", "x.ogg.ogg", "x.wav"]


def test_link_to_a_pipe_is_no_recording(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "x.wav").symlink_to(tmp_path / "pipe")
    (tmp_path / "y.wav").symlink_to(tmp_path / "nowhere")
    assert [path.name for path in find_recordings(tmp_path).paths] == ["y.wav"]
