"""perch-run with datasets, as people type it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from runtime.archive.merge import OF_MERGE
from runtime.cli import main
from runtime.request.detections import Detections
from runtime.request.parser import MODES


def command(*arguments: object) -> int:
    try:
        return main(list(map(str, arguments)))
    except SystemExit as ended:
        return int(ended.code or 0)


def test_a_dataset_is_filled_shown_and_merged(
    tmp_path: Path, archive: Path, model: Path, plain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, run = tmp_path / "out", [archive, "--model", model, "--outputs", "embedding,label"]
    assert command(*run, "-o", f"{out}/", "--plan") == 0
    assert f"{out}: 19 units planned" in capsys.readouterr().out
    assert command("--status", out) == 1
    assert "0 of 19 units done (0.0%), 0 of them failed" in capsys.readouterr().out
    assert command("--merge", out, "-o", tmp_path / "m.parquet") == 2
    assert "out lacks 19 of 19 units" in capsys.readouterr().err
    assert command(*run, "-o", out, "--shard", "1/1") == 1  # it is known by its manifest now
    said = capsys.readouterr()
    assert f"{out}: 19 of 19 units done (shard 1/1 of 19, as asked): 16 now, 3 failed, 0 before" in said.out
    assert said.err.count("broken.wav: is truncated") == 1
    assert command("--status", f"{out}/") == 1
    said = capsys.readouterr()
    assert "failed: 2 units: is truncated: of … s only … s are there" in said.out
    assert "complete; --retry-failed tries the failed ones again" in said.out
    assert command(*run, "-o", f"{out}/", "--resume") == 1
    assert "3 units failed before; --retry-failed (retry_failed=True) tries again" in capsys.readouterr().out
    assert command("--merge", out, "-o", tmp_path / "m.parquet", "--quiet") == 1
    assert "broken.wav: is truncated" in capsys.readouterr().err
    assert (tmp_path / "m.parquet").read_bytes() == plain.read_bytes()


def test_a_folder_without_a_slash_is_not_guessed(
    tmp_path: Path, archive: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(archive, "--model", model, "-o", tmp_path / "out") == 2
    assert "out; end it in .csv, .parquet or .npz, or in / for a dataset" in capsys.readouterr().err


def test_merges_smooth_fill_and_detect_as_runs_do(tmp_path: Path, archive: Path, label_model: Path) -> None:
    run = [archive, "--model", label_model, "--quiet"]
    out = tmp_path / "out"
    assert command(*run, "-o", f"{out}/") == 1
    for options in (["--smooth", "1,2,1", "--fill", "-7"], ["--top", "2", "--min-score", "0"]):
        assert command(*run, "-o", tmp_path / "plain.csv", *options) == 1
        assert command("--merge", out, "-o", tmp_path / "merged.csv", "--quiet", *options) == 1
        assert (tmp_path / "merged.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()


def test_the_command_takes_the_options_of_merge_archive() -> None:
    assert {"merge", "quiet", *OF_MERGE} - {"detections", "progress"} == set(MODES["merge"]) - {
        field.name for field in fields(Detections)
    }


def test_merges_write_a_folder_of_tables(tmp_path: Path, archive: Path, label_model: Path) -> None:
    """Which is no dataset, although its name may end in a slash."""
    run, tables = [archive, "--model", label_model, "--quiet"], ["--top", "1", "--format", "audacity"]
    command(*run, "-o", tmp_path / "out", "--dataset")
    assert command(*run, "-o", f"{tmp_path}/plain/", *tables) == 1
    assert command("--merge", tmp_path / "out", "-o", f"{tmp_path}/merged/", "--quiet", *tables) == 1
    names = sorted(path.relative_to(tmp_path / "plain") for path in (tmp_path / "plain").rglob("*.txt"))
    assert len(names) == 11
    for name in names:
        assert (tmp_path / "merged" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


def test_a_slurm_array_shares_the_work(tmp_path: Path, archive: Path, label_model: Path) -> None:
    arguments = [archive, "--model", label_model, "-o", f"{tmp_path}/out/", "--quiet"]
    running = []
    for task in (0, 1):
        array = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_COUNT": "2"}
        started = [sys.executable, "-m", "runtime", *map(str, arguments)]
        running.append(subprocess.Popen(started, env={**os.environ, **array}, stderr=subprocess.PIPE))
    assert {process.wait() for process in running} <= {0, 1}
    with contextlib.ExitStack() as stack:
        for process in running:
            assert process.stderr is not None
            stack.enter_context(process.stderr)
    labels = {path.name.split("-")[1] for path in (tmp_path / "out" / "rows").iterdir()}
    assert labels == {"001of002", "002of002"}
    assert command("--status", tmp_path / "out") == 1
    assert command("--merge", tmp_path / "out", "-o", tmp_path / "m.csv", "--quiet") == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["in", "--model", "m.onnx", "-o", "x.csv", "--shard", "1/2"], "--shard is for a dataset; name a folder"),
        (
            ["in", "--model", "m.onnx", "-o", "x.csv", "--retry-failed"],
            "--retry-failed is for a dataset",
        ),
        (["--status", "out", "in"], "--status goes with nothing, not with SOUNDSCAPES"),
        (
            ["in", "--model", "m.onnx", "-o", "x.csv", "--dataset"],
            "a dataset is a folder, and x.csv is the name of a file",
        ),
        (["--merge", "out"], "--merge also needs -o/--output"),
        (["--merge", "out", "-o", "x.csv", "--hop", "2"], "not with --hop"),
        (["in", "--model", "m.onnx", "-o", "out/", "--top", "1"], "detections cannot be given for a dataset"),
        (["in", "--model", "m.onnx", "-o", "out/", "--shard", "4/3"], "shard is 4/3, but must be such as 3/20"),
    ],
)
def test_wrong_use_is_said(arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(*arguments) == 2
    assert problem in capsys.readouterr().err
