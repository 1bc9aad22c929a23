"""`make stress` itself: a broken promise fails it. Its cases take minutes and are not run here."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.stress import __main__ as stress
from benchmarks.stress import many
from benchmarks.stress.promises import promise
from runtime.errors import InputError


def test_broken_promise_is_the_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def kept(folder: Path, model: Path) -> None:
        promise(folder.is_dir(), "a folder of its own")

    def broken(folder: Path, model: Path) -> None:
        promise(False, "more than can be kept")

    def refused(folder: Path, model: Path) -> None:
        raise InputError("no room")

    monkeypatch.setattr(stress, "make_model", lambda folder: folder / "tiny.onnx")
    for cases, code in (([kept], 0), ([broken, kept], 1), ([refused], 1)):
        monkeypatch.setattr(stress, "CASES", {case.__name__: case for case in cases})
        assert stress.main([]) == code
    printed = capsys.readouterr()
    assert "BROKEN: more than can be kept" in printed.out
    assert "kept: a folder of its own" in printed.out
    assert "broken: refused" in printed.err


def test_unknown_case_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        stress.main(["floods"])
    assert "there is no case floods" in capsys.readouterr().err


def test_rows_are_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(many, "ROWS", 300)
    monkeypatch.setattr(many, "FEW_ROWS", 130)
    many.rows(tmp_path, tmp_path / "tiny.onnx")
    assert "300 rows" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
