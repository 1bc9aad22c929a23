"""`perch-bench cuda` on the CPU provider: what it writes, keeps, skips and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cli import main


def measured(target: Path, *words: str) -> tuple[int, dict[str, Any]]:
    code = main(["cuda", *words, "--json", str(target), "--device", "cpu", "--quick"])
    return code, json.loads(target.read_text())


def test_results_of_steps_that_are_not_measured_now_stay(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "cuda.json"
    code, found = measured(target, str(model), "--steps", "doctor")
    assert (code, found["command"], found["skipped"]) == (0, "cuda", {})
    assert found["steps"]["doctor"]["problem"] is None
    found["steps"]["files"] = {"kept": 1}
    target.write_text(json.dumps(found))
    assert measured(target, str(model), "--steps", "doctor")[1]["steps"]["files"] == {"kept": 1}


def test_a_file_of_another_card_or_another_command_is_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "cuda.json"
    _, found = measured(target, str(model), "--steps", "doctor")
    for key, value in {"card": "NVIDIA H100", "onnxruntime": "1.20", "models": {}, "command": "parity"}.items():
        target.write_text(json.dumps({**found, key: value}))
        assert main(["cuda", str(model), "--json", str(target), "--device", "cpu"]) == 2
        assert json.loads(target.read_text())[key] == value
        assert "name another file" in capsys.readouterr().err


def test_what_the_time_does_not_allow_is_listed(model: Path, tmp_path: Path) -> None:
    code, found = measured(tmp_path / "cuda.json", str(model), "--limit", "0", "--steps", "doctor")
    assert (code, found["steps"]) == (0, {})
    assert found["skipped"] == {"doctor": "the time was over"}


def test_unknown_steps_and_files_of_one_name_are_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = str(tmp_path / "cuda.json")
    assert main(["cuda", str(model), "--json", target, "--device", "cpu", "--steps", "doctor,sped"]) == 2
    assert main(["cuda", str(model), str(model), "--json", target, "--device", "cpu"]) == 2
    said = capsys.readouterr().err
    assert "no step 'sped'" in said and "rename one" in said
    assert not Path(target).exists()
