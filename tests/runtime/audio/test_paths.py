import errno
import os
from pathlib import Path

import pytest

from runtime.audio.extensions import advice
from runtime.audio.paths import find_recordings
from runtime.errors import InputError


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


def test_a_missing_path_comes_with_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "soundscapes/a.wav")
    monkeypatch.chdir(tmp_path)
    for missing, remedy in {
        "soundscapez": "did you mean 'soundscapes'?",
        "soundscapez/a.wav": "did you mean 'soundscapes'?",
        "soundscapes/*.ogg": f"looked in {tmp_path}/soundscapes",
        "x": f"looked in {tmp_path}",
        "/nowhere/at/all": "looked in /",
        "": f"looked in {tmp_path}",
    }.items():
        with pytest.raises(InputError) as refused:
            find_recordings(missing)
        assert str(refused.value) == f"there is no file or folder {missing!r}; {remedy}"


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


HIDDEN = (".Trash-1000", "$RECYCLE.BIN", "@eaDir", "System Volume Information", "lost+found", "FOUND.000", ".fseventsd")


def test_bins_and_hidden_folders_are_passed_over(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "Data/a.WAV",
        ".b.wav",
        "Data/._a.WAV",
        ".DS_Store",
        "notes.txt",
        *(f"{name}/x/c.wav" for name in HIDDEN),
    )
    touch(tmp_path, "Data/@eaDir/a.WAV/SYNO.jpg")
    for source in (tmp_path, str(tmp_path / "*"), str(tmp_path / "**"), str(tmp_path / "*" / "*")):
        assert find_recordings(source).names == ("a",), source
    found = find_recordings(tmp_path)
    assert (found.skipped, found.hidden_files, len(found.hidden)) == (4, 3, len(HIDDEN) + 1)
    first, second = found.passed_over()
    assert first == "skipped 4 other files, 3 of them hidden"
    assert second.startswith("skipped 8 hidden or system folders (") and second.endswith("and 3 more)")
    assert found.warning is None


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_folders_that_are_named_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    touch(tmp_path, f"{name}/a.wav", f"{name}/below/.b.wav", f"{name}/below/b.wav", f"{name}/.c/c.wav")
    for source in (
        tmp_path / name,
        str(tmp_path / name / "**"),
        [tmp_path / name / "a.wav", tmp_path / name / "below"],
    ):
        assert sorted(find_recordings(source).names) == ["a", "b"]
    monkeypatch.chdir(tmp_path / name)
    assert find_recordings(".").names == ("a", "b")
    assert find_recordings([tmp_path / name / "below" / ".b.wav"]).names == (".b",)


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders whose names begin so cannot be read, whoever asks."""
    scandir, access = os.scandir, os.access

    def refuse(folder: str) -> object:
        if Path(folder).name.startswith(("closed", "System")):
            raise PermissionError(errno.EACCES, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(
        os, "access", lambda p, mode: not Path(p).name.startswith(("closed", "System")) and access(p, mode)
    )


@pytest.mark.usefixtures("closed")
def test_folders_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "open/a.wav", "closed/b.wav", "System Volume Information/c.wav")
    found = find_recordings(tmp_path)
    assert found.names == ("a",)
    assert found.lost == (str(tmp_path / "closed"),)
    assert found.warning is not None
    assert (
        f"2 unreadable folders: {tmp_path}/System Volume Information (permission denied), {tmp_path}/closed"
        in found.warning
    )
    assert f"skipped 1 unreadable folder ({tmp_path}/closed)" in found.passed_over()
    assert find_recordings(str(tmp_path / "*" / "*.wav")).lost == (str(tmp_path / "closed"),)
    assert find_recordings([tmp_path / "open", tmp_path / "closed"]).lost == (str(tmp_path / "closed"),)
    for nothing in (tmp_path / "closed", str(tmp_path / "closed" / "*.wav")):
        with pytest.raises(InputError, match=rf"cannot read the folder {tmp_path}/closed \(permission denied\)"):
            find_recordings(nothing)
    with pytest.raises(InputError, match=r"there is no file or folder '.*typo\.wav'"):
        find_recordings([tmp_path, tmp_path / "typo.wav"])


@pytest.mark.skipif(os.getuid() == 0, reason="root may enter any folder")
def test_folder_without_permission_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "closed/b.wav")
    (tmp_path / "closed").chmod(0)
    found = find_recordings(tmp_path)
    (tmp_path / "closed").chmod(0o700)
    assert (found.names, found.lost) == (("a",), (str(tmp_path / "closed"),))


def test_other_endings_are_read_or_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.audio.extensions._has_pyav", lambda: False)
    read = ("aif", "AIFF", "aifc", "caf", "w64", "oga", "wave", "rf64", "au", "snd", "bwf", "opus", "mp3")
    touch(tmp_path, *(f"{i}.{ending}" for i, ending in enumerate(read)))
    assert len(find_recordings(tmp_path).paths) == len(read)
    touch(tmp_path, "p.m4a", "q.M4A", "r.aac", "s.wac", "e0000a3f.au", "zip.wav.gz", "d.m4a/t.wav")
    found = find_recordings(tmp_path)
    assert (len(found.paths), found.skipped) == (len(read) + 1, 2)
    assert found.passed_over()[-1] == (
        "skipped recordings in formats that cannot be read: 1 .aac, 2 .m4a: `pip install av` (or '.[formats]' in the "
        "project's folder) reads them; 1 .wac: convert them with Wildlife Acoustics' Kaleidoscope"
    )
    assert "`pip install av`" in advice(Path("x.M4A"))
    assert advice(Path("x.wav")) == ""
    assert find_recordings(tmp_path / "p.m4a").names == ("p",)  # as it is


def test_folder_with_a_recordings_name_is_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav/b.wav", "c.flac/notes.txt")
    assert find_recordings(tmp_path).names == ("b",)
    assert find_recordings(str(tmp_path / "*.wav")).names == ("b",)


@pytest.mark.parametrize("name", ["a\0b.wav", "a\0*", "x" * 300 + ".wav", "x/" * 5000, "\udcff*"])
def test_names_that_no_file_can_have_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"there is no file or folder|cannot look for recordings at"):
        find_recordings(f"{tmp_path}/{name}")


def test_working_folder_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for source in (".", "*", "a.wav"):
        with pytest.raises(InputError):
            find_recordings(source)
    monkeypatch.chdir(tmp_path)
