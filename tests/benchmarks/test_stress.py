"""`make stress` itself: a broken promise fails it. Its cases take minutes and are not run here."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.stress import __main__ as stress
from benchmarks.stress import archive, many
from benchmarks.stress.promises import BrokenPromiseError, perch_run, promise
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


@pytest.mark.slow
def test_killed_shards_end_with_the_file_of_a_plain_run(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, plain, dataset = tmp_path / "recordings", tmp_path / "plain.parquet", tmp_path / "dataset"
    monkeypatch.setattr(archive, "SHARDS", 2)
    monkeypatch.setattr(archive, "ROUNDS", 1)
    monkeypatch.setattr(archive, "LONG", 1)
    archive.write_archive(source, 40)
    archive.check_end(perch_run(source, model, plain), 1)
    archive.check_end(perch_run(source, model, dataset, "--dataset", "--plan"), 0)
    archive.kill_shards(source, model, dataset, seconds=4.0)
    archive.check_end(archive.start_shard(source, model, dataset), 1)
    archive.check_merge(dataset, plain)
    assert "kept: byte for byte the file of a plain run" in capsys.readouterr().out
    with plain.open("ab") as file:
        file.write(b"0")
    with pytest.raises(BrokenPromiseError, match="byte for byte"):
        archive.check_merge(dataset, plain)


def test_run_that_ends_with_another_code_breaks_a_promise(tmp_path: Path, model: Path) -> None:
    with pytest.raises(BrokenPromiseError, match=r"ended with code 2, not 0: perch-run: .*nowhere"):
        archive.check_end(perch_run(tmp_path / "nowhere", model, tmp_path / "rows.csv"), 0)


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
