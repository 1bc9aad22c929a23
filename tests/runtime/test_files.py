import os
from pathlib import Path

import pytest

from runtime.errors import InputError
from runtime.files import check_outputs, check_writable, replacing, utf8


@pytest.mark.parametrize("spelling", ["itself", "link", "hard link", "folder's link", "way round"])
def test_what_is_read_is_not_written_over(tmp_path: Path, spelling: str) -> None:
    labels = tmp_path / "labels.csv"
    labels.touch()
    (tmp_path / "link.csv").symlink_to(labels)
    os.link(labels, tmp_path / "hard.csv")
    (tmp_path / "folder").mkdir()
    (tmp_path / "elsewhere").symlink_to(tmp_path)
    output = {
        "itself": labels,
        "link": tmp_path / "link.csv",
        "hard link": tmp_path / "hard.csv",
        "folder's link": tmp_path / "elsewhere" / "labels.csv",
        "way round": tmp_path / "folder" / ".." / "labels.csv",
    }[spelling]
    check_outputs({"-o": tmp_path / "new.csv", "--json": None}, {"--labels": labels, "--model": None})
    with pytest.raises(InputError, match=rf"^-o {output} would be written over --labels {labels}; name another file$"):
        check_outputs({"-o": output}, {"--labels": labels})
    with pytest.raises(InputError, match="would be written over the recording"):
        check_outputs({"-o": labels}, {"the recording": lambda: iter([tmp_path / "gone.wav", output])})


def test_what_is_read_is_listed_only_where_something_is_there(tmp_path: Path) -> None:
    asked = []
    reads = {"the recording": lambda: asked.append(1) or []}  # type: ignore[func-returns-value]
    check_outputs({"-o": tmp_path / "new.csv"}, reads)
    assert not asked
    (tmp_path / "new.csv").touch()
    check_outputs({"-o": tmp_path / "new.csv"}, reads)
    assert asked


def test_two_outputs_are_two_files(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "new.csv")
    with pytest.raises(InputError, match=r"-o .*new\.csv and --next-output .*link\.csv are the same file; name two"):
        check_outputs({"-o": tmp_path / "new.csv", "--next-output": tmp_path / "link.csv"}, {})
    with pytest.raises(InputError, match="are the same file"):
        check_outputs({"-o": [tmp_path / "a.html", tmp_path / "b" / ".." / "a.html"]}, {})


def test_names_that_rows_tell_may_be_impossible(tmp_path: Path) -> None:
    (tmp_path / "out.csv").touch()
    check_outputs({"-o": tmp_path / "out.csv"}, {"the recording": ["a\0b/c.wav", "x" * 5000, ""]})
    with pytest.raises(InputError, match=r"there can be no file 'a\\x00b'"):
        check_outputs({"-o": "a\0b"}, {})


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for target, what in (
        (tmp_path / "pipe", "a device or pipe"),
        (tmp_path, "a folder"),
        (Path("/dev/null"), "device"),
    ):
        with pytest.raises(InputError, match=what):
            check_writable(target)
        with pytest.raises(InputError, match=what), replacing(target):
            pass
    assert not Path("/dev/null").is_file()


def test_names_that_are_no_utf8_become_text() -> None:
    assert utf8("bad\udcff") == "bad\\xff"
    utf8("bad\udcff").encode()
