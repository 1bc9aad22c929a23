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
