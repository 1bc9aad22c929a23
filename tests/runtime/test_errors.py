"""Errors stand under the built-in ones that callers already catch, and survive a trip between processes."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from runtime import InputError, OutputError, PerchError
from runtime.errors import counted
from runtime.files import replacing


def test_an_output_that_cannot_be_written_is_an_oserror_with_our_words(tmp_path: Path) -> None:
    said = r"^cannot write to .*gone, which does not exist; make that folder first$"
    with pytest.raises(OSError, match=said) as raised, replacing(tmp_path / "gone" / "out.csv"):
        pass
    error = raised.value
    assert isinstance(error, OutputError)
    assert isinstance(error, PerchError)
    assert not isinstance(error, (InputError, ValueError))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is OutputError
    assert str(again) == str(error)


def test_errors_of_what_is_written_are_not_taken_for_errors_of_where_it_goes(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"^the rows were changed$"), replacing(tmp_path / "out.csv"):
        raise OutputError("the rows were changed")
    assert not list(tmp_path.iterdir())


def test_a_count_has_the_form_of_its_number() -> None:
    assert [counted(number, "class") for number in (0, 1, 2000)] == ["0 classes", "1 class", "2,000 classes"]
    assert [counted(number, "row") for number in (0, 1, 2000)] == ["0 rows", "1 row", "2,000 rows"]
