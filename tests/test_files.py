from pathlib import Path

import pytest

from runtime.errors import InputError
from runtime.files import check_distinct, utf8


def test_what_is_read_is_not_written_over(tmp_path: Path) -> None:
    check_distinct(labels=tmp_path / "a.csv", output=tmp_path / "b.csv", other=None)
    (tmp_path / "link.csv").symlink_to(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"link\.csv is labels and output at once, .*name another file"):
        check_distinct(labels=tmp_path / "a.csv", output=tmp_path / "link.csv")


def test_names_that_are_no_utf8_become_text() -> None:
    assert utf8("bad\udcff") == "bad\\xff"
    utf8("bad\udcff").encode()
