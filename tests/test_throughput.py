"""`perch-bench throughput`: that all is measured and adds up, never how fast it is."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import cli
from benchmarks.arguments import numbers
from convert.synthetic import write_soundscape
from tests.conftest import WINDOW

WORKERS = ("1", "2")
GRAPHS = ("floor", "backbone", "embedding", "scores")
ON_LINUX = sys.platform == "linux"


@pytest.fixture(scope="module")
def soundscapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("soundscapes")
    for i in range(3):
        write_soundscape(folder / f"{i}.ogg", i, 10.0)
    return folder


@pytest.fixture(scope="module")
def measured(model: Path, soundscapes: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """The figures, and what was printed."""
    target = tmp_path_factory.mktemp("bench") / "figures.json"
    floor = target.with_name("floor.onnx")
    shutil.copy(model, floor)
    command = [sys.executable, "-m", "benchmarks", "throughput", model, "--soundscapes", soundscapes, "--quick"]
    command += ["--rounds", "2", "--workers", "1,2", "--batch-sizes", "2", "--floor", floor, "--json", target]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(target.read_text()), done.stdout


def test_every_combination_is_measured(measured: tuple[dict[str, Any], str]) -> None:
    figures, _ = measured
    rates = {(rate["what"], rate["workers"], rate["batch_size"]): rate for rate in figures["rates"]}
    graphs = {(what, workers, 2) for what in GRAPHS for workers in (1, 2)}
    reading = {(what, workers, 0) for what in ("decode", "windows", "resample_48k") for workers in (1, 2)}
    others = {("run", 1, 2), ("run", 2, 2), ("csv", 1, 0), ("parquet", 1, 0)}
    assert set(rates) == graphs | reading | others
    for rate in rates.values():
        assert rate["windows_per_s"] > 0
        assert rate["spread"] >= 1
        assert math.isclose(rate["times_real_time"], rate["windows_per_s"] * WINDOW / 32_000)
    assert (figures["recordings"], figures["rounds"], figures["device"]) == (3, 2, "cpu")
    assert figures["best"]["what"] == "scores"
    assert figures["noise"] >= 1


@pytest.mark.parametrize("workers", WORKERS)
def test_stages_add_up(measured: tuple[dict[str, Any], str], workers: str) -> None:
    figures, _ = measured
    count = int(workers)
    seconds = {
        (rate["what"], rate["batch_size"]): count / rate["windows_per_s"]
        for rate in figures["rates"]
        if rate["workers"] == count
    }
    stages, ratios = figures["stages_s_a_window"][workers], figures["ratios"][workers]
    assert list(stages) == ["decode", "resample", "frontend", "backbone", "head"]
    assert math.isclose(sum(stages.values()), seconds["windows", 0] + seconds["scores", 2])
    assert math.isclose(stages["frontend"] + stages["backbone"], seconds["embedding", 2])
    assert min(stages["decode"], stages["frontend"], stages["backbone"]) > 0
    assert math.isclose(ratios["embedding_over_floor"], seconds["embedding", 2] / seconds["floor", 2])
    parts = seconds["windows", 0] + seconds["scores", 2]
    assert math.isclose(ratios["run_over_graph_and_reading"], seconds["run", 2] / parts)
    assert min(ratios.values()) > 0
    assert min(figures["write_s_a_row"].values()) > 0


@pytest.mark.skipif(not ON_LINUX, reason="only Linux tells what a process uses")
@pytest.mark.parametrize("workers", WORKERS)
def test_processes_are_accounted_for(measured: tuple[dict[str, Any], str], workers: str) -> None:
    processes = measured[0]["processes"][workers]
    assert processes["start_up_s"] > 0
    assert 0 < processes["busy"] < 1.3  # one thread at work in each
    for name in ("parent", "worker"):
        used = processes[name]
        assert used["threads"] >= 1
        assert used["peak_rss"] >= used["rss"] >= used["pss"] >= used["private"] > 0


def test_tables_are_printed(measured: tuple[dict[str, Any], str]) -> None:
    for text in ("windows/s (times real time)", "frontend", "the whole way scales", "Fastest: --workers"):
        assert text in measured[1]


def test_wrong_use_is_one_line(
    model: Path, label_model: Path, soundscapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "words.onnx").write_text("these are words")
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ([tmp_path / "none.onnx", "--soundscapes", soundscapes], "there is no model at"),
        ([tmp_path / "words.onnx", "--soundscapes", soundscapes], "cannot be loaded as ONNX"),
        ([label_model, "--soundscapes", soundscapes], "embedding"),
        ([model, "--floor", tmp_path / "none.onnx", "--soundscapes", soundscapes], "there is no model at"),
        ([model, "--soundscapes", tmp_path / "empty"], "no recordings in"),
        ([model, "--soundscapes", tmp_path / "none"], "none"),
        ([model, "--json", tmp_path / "none" / "figures.json"], "cannot write"),
        ([model, "--device", "tpu"], "device is 'tpu'"),
    ):
        assert cli.main(["throughput", *map(str, arguments)]) == 2, arguments
        errors = capsys.readouterr().err
        assert errors.startswith("perch-bench: ")
        assert message in errors
        assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("text", ["0", "", "two", "1,,2", "-1"])
def test_lists_of_numbers(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["throughput", "any.onnx", f"--workers={text}"])
    assert "is no list of numbers" in capsys.readouterr().err
    assert numbers("4,1,4") == (1, 4)
