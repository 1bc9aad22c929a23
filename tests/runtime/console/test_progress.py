"""How far a run is, told to whoever asks; and what it logs."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import pytest

from runtime import Progress
from runtime.console.progress import progress_bar
from runtime.console.terminal import Complaints
from runtime.model.artifact import read_artifact
from tests.support.runs import run


def test_whoever_asks_is_told(recordings: Path, model: Path) -> None:
    told: list[Progress] = []
    result = run(recordings, model, workers=1, progress=told.append)
    assert (told[-1].done, told[-1].recordings, told[-1].windows) == (3.0, 3, len(result))
    assert [each.done for each in told] == sorted(each.done for each in told)
    assert [each.windows for each in told] == sorted(each.windows for each in told)
    assert told[-1].windows_per_s > 0


def test_what_was_finished_before_counts_and_an_error_ends_the_run(
    recordings: Path, model: Path, tmp_path: Path
) -> None:
    def fail(progress: Progress) -> None:
        if progress.done == 1:
            raise RuntimeError("enough")

    target = tmp_path / "out.parquet"
    with pytest.raises(RuntimeError, match="enough"):
        run(recordings, model, workers=1, sink=target, progress=fail)
    told: list[Progress] = []
    run(recordings, model, workers=1, sink=target, resume=True, progress=told.append)
    assert told[0].done == 1.0
    assert told[-1].done == 3.0


def test_warnings_are_logged(recordings: Path, model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    classes = tmp_path / "classes.csv"
    classes.write_text(f"row_id,{read_artifact(model).heads['label'].classes[0]},Usage\nx_5,0,Public\n")
    run(recordings / "c.ogg", model, classes=classes)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("perch_onnx", logging.WARNING)


def test_log_of_a_command_goes_to_its_standard_error_alone(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with Complaints("perch-run"):
        logging.getLogger("perch_onnx").warning("%s is odd", "a.wav")
    assert capsys.readouterr().err == "perch-run: a.wav is odd\n"
    assert caplog.records == []


def test_only_the_first_bar_touches_the_warning_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that changed them at once could leave all warnings of the process ignored."""
    progress_bar(1, shown=False).close()

    def touched(**_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(warnings, "catch_warnings", touched)
    progress_bar(1, shown=False).close()
