"""`perch-bench throughput`: everything is measured and adds up; how fast it is does not matter."""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from dataclasses import astuple, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import runtime.memory
from benchmarks import cli
from benchmarks.measuring import memory
from benchmarks.measuring.arguments import memory_size, numbers
from benchmarks.measuring.usage import Usage
from benchmarks.throughput import command, sweep
from benchmarks.throughput.figures import Configuration, FileFigures
from benchmarks.throughput.full_run import FullRun, RunPlan, steady_rate, time_full_run
from benchmarks.throughput.report import report
from benchmarks.throughput.setups import batch_sizes_of, layouts_of
from benchmarks.throughput.sweep import Conditions, Effort
from convert.proof.synthetic import write_soundscape
from runtime.errors import InputError
from runtime.model.artifact import Artifact, read_artifact
from runtime.model.profile import VARIABLE, Setup, read_profile
from tests.support.recordings import WINDOW

BRIEF = Effort(rounds=None, least_rounds=2, sweep_s=0.0, slice_s=0.05, part_rounds=1, parts_s=0.0, whole_s=0.05)
USED = Usage(threads=1, files=1, cpu_s=1.0, rss=3000, peak_rss=4000, pss=2000, private=1000)


@pytest.fixture(scope="module")
def soundscapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("soundscapes")
    for i in range(2):
        write_soundscape(folder / f"{i}.ogg", i, 10.0)
    return folder


Measured = tuple[dict[str, Any], str, Path]


@pytest.fixture(scope="module")
def measured(model: Path, label_model: Path, soundscapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """The figures of two files, the printed text, and the path of the profile."""
    folder = tmp_path_factory.mktemp("bench")
    arguments = [model, label_model, "--soundscapes", soundscapes, "--quick", "--workers", "2", "--threads", "1"]
    arguments += ["--batch-sizes", "2,4", "--rounds", "2", "--json", folder / "figures.json"]
    printed: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(folder / "profile.json"))
        patch.setattr(sweep, "QUICK", BRIEF)
        patch.setattr(command, "TOO_BUSY", 1.0)
        patch.setattr("builtins.print", lambda text, **_: printed.append(text))
        assert cli.main(["throughput", *map(str, arguments)]) == 0
    return json.loads((folder / "figures.json").read_text()), "\n".join(printed), folder / "profile.json"


def test_every_setup_of_every_file_is_measured_and_ranked(measured: Measured) -> None:
    figures, printed, _ = measured
    assert [found["outputs"] for found in figures["files"]] == [["label", "embedding"], ["label"]]
    for found in figures["files"]:
        ranking = found["configurations"]
        assert {(each["workers"], each["threads"], each["batch_size"]) for each in ranking} == {(2, 1, 2), (2, 1, 4)}
        assert [each["rank"] for each in ranking] == [1, 2]
        medians = [each["windows_per_s"]["median"] for each in ranking]
        assert medians == sorted(medians, reverse=True)
        assert found["best"]["windows_per_s"] == medians[0]
        for each in ranking:
            rates = each["windows_per_s"]
            assert len(rates["values"]) == 2
            assert rates["median"] == statistics.median(rates["values"]) > 0
            assert rates["spread"] == max(rates["values"]) / min(rates["values"])
            assert math.isclose(each["times_real_time"], rates["median"] * WINDOW / 32_000)
            assert each["usable"]
            assert each["memory_bytes"] > 50 * 2**20
    assert (figures["recordings"], figures["device"], figures["command"]) == (2, "cpu", "throughput")
    assert figures["noise"]["worst_spread"] >= figures["noise"]["spread"] >= 1
    assert "The files, each at its best" in printed


def test_stages_add_up(measured: Measured) -> None:
    whole, label = measured[0]["files"]
    assert [parts["setup"]["workers"] for parts in whole["parts"]] == [1, 2]
    for parts in whole["parts"]:
        count = parts["setup"]["workers"]
        seconds = {workload: count / rates["median"] for workload, rates in parts["pieces_windows_per_s"].items()}
        stages, ratios = parts["stages_s_a_window"], parts["ratios"]
        assert list(stages) == ["decode", "resample", "frontend", "backbone", "head"]
        assert math.isclose(sum(stages.values()), seconds["windows"] + seconds["graph"])
        assert math.isclose(stages["frontend"] + stages["backbone"], seconds["embedding"])
        assert math.isclose(ratios["embedding_over_floor"], seconds["embedding"] / seconds["backbone"])
        run = count / parts["run_windows_per_s"]["median"]
        expected = run / (seconds["windows"] + seconds["graph"])
        assert math.isclose(ratios["run_over_graph_and_reading"], expected)
    for parts in label["parts"]:
        assert list(parts["stages_s_a_window"]) == ["decode", "resample", "graph"]
        assert list(parts["ratios"]) == ["run_over_graph_and_reading"]
    assert whole["no_floor"] is None
    assert "has no output 'embedding'" in label["no_floor"]
    assert min(rates["median"] for found in (whole, label) for rates in found["write_rows_per_s"].values()) > 0


def test_processes_are_accounted_for(measured: Measured) -> None:
    for parts in (parts for found in measured[0]["files"] for parts in found["parts"]):
        processes = parts["processes"]
        assert processes["start_up_s"] > 0
        assert sys.platform == "win32" or 0 < processes["busy"] < 1.3  # one thread at work in each
        for name in ("parent", "worker"):
            used = processes[name]
            assert used["threads"] >= 1
            assert used["peak_rss"] >= used["rss"] >= used["pss"] >= used["private"] > 0
        assert processes["memory_bytes"] >= processes["parent"]["pss"] + processes["worker"]["private"]


def test_best_becomes_the_profile(measured: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    figures, printed, path = measured
    monkeypatch.setenv(VARIABLE, str(path))
    for found in figures["files"]:
        profile = read_profile(found["artifact_sha256"], "cpu")
        assert profile is not None
        best = found["best"]
        assert profile.setup == Setup(best["workers"], best["threads"], best["batch_size"])
        assert profile.windows_per_s == best["windows_per_s"]
    assert printed.count(f"kept in {path}") == 2


def test_report_shows_every_section(measured: Measured) -> None:
    for text in (
        "rank  workers  threads  batch  windows/s",
        "frontend",
        "backbone",
        "write csv",
        "█",
        "Fastest within",
    ):
        assert text in measured[1]
    assert "frontend, backbone and head cannot be told apart" in measured[1]


def test_nothing_fits_into_too_little_memory(
    label_model: Path, soundscapes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sweep, "QUICK", BRIEF)
    arguments = [label_model, "--soundscapes", soundscapes, "--quick", "--memory", "1MB", "--workers", "1"]
    assert cli.main(["throughput", *map(str, arguments)]) == 2
    assert "no setup of" in (errors := capsys.readouterr().err)
    assert len(errors.splitlines()) == 1


@pytest.fixture(scope="module")
def artifact(model: Path) -> Artifact:
    return read_artifact(model)


def file_with(artifact: Artifact, **rates: list[float]) -> FileFigures:
    """A file with a configuration for each batch size, named b1, b2, …"""
    tried = [Configuration(Setup(2, 1, int(name[1:])), values) for name, values in rates.items()]
    return FileFigures(Path("perch.onnx"), artifact, ("label",), tried)


def test_what_does_not_fit_is_ranked_but_is_not_the_best(artifact: Artifact) -> None:
    found = file_with(artifact, b1=[10.0, 12.0, 11.0], b2=[20.0, 5.0, 21.0], b4=[])
    assert [each.setup.batch_size for each in found.ranking] == [2, 1, 4]
    assert found.best.setup.batch_size == 2
    found.ranking[0].usable, found.ranking[0].note = False, "over the memory limit"
    found.ranking[2].usable, found.ranking[2].note = False, "not measured: over the memory limit"
    assert found.best.setup.batch_size == 1
    assert [each["rank"] for each in found.as_json()["configurations"]] == [1, 2, None]
    found.best.usable = False
    with pytest.raises(InputError, match=r"no setup of perch\.onnx fits"):
        _ = found.best


def test_far_slower_ones_are_dropped_but_ten_stay(artifact: Artifact) -> None:
    found = file_with(artifact, **{f"b{i}": [100.0 - i] for i in range(1, 12)}, b20=[50.0], b21=[49.0], b22=[])
    conditions = Conditions((), "cpu", 10**12, BRIEF)
    sweeper = sweep._Sweeper(found, conditions)
    sweeper.drop_slow()
    dropped = [each.setup.batch_size for each in found.configurations if each.note is not None]
    assert dropped == [20, 21]
    few = file_with(artifact, b1=[100.0], b2=[10.0])
    sweep._Sweeper(few, conditions).drop_slow()
    assert all(each.note is None for each in few.configurations)


def test_more_workers_than_fit_are_not_started(artifact: Artifact) -> None:
    found = file_with(artifact, b1=[], b2=[])
    sweeper = sweep._Sweeper(found, Conditions((), "cpu", 1000, BRIEF))
    sweeper._alone = {size: replace(USED, pss=pss, private=400) for size, pss in ((1, 600), (2, 601))}
    one, two = found.configurations
    assert sweeper._may_fit(one)
    assert not sweeper._may_fit(two)
    assert (two.usable, two.memory) == (False, 1001)


def test_on_a_gpu_full_runs_are_compared(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that does not fit into the GPU's memory cannot be the best, however fast the smaller one was."""

    def time_full_run(plan: RunPlan) -> FullRun:
        size = plan.setup.batch_size
        complaint = "memory ran out; going on with batches of 32 windows instead of 64" if size == 64 else None
        return FullRun(float(size), 1, 1.0, None, USED, (USED,) * plan.setup.workers, complaint)

    monkeypatch.setattr(sweep, "time_full_run", time_full_run)
    found = file_with(artifact, b16=[], b32=[], b64=[])
    sweep.sweep([found], Conditions((), "cuda:0", 10**12, replace(BRIEF, rounds=2)))
    assert [each.rates for each in found.configurations] == [[16.0, 16.0], [32.0, 32.0], [64.0]]
    assert found.best.setup.batch_size == 32
    assert found.best.memory == 3 * USED.pss
    assert "memory ran out" in report([found], "cuda:0")


def test_windows_decoded_before_the_scorer_started_do_not_count(model: Path, soundscapes: Path) -> None:
    came = [(10.0, 500), (11.0, 600), (13.0, 700), (15.0, 900)]
    assert steady_rate(came, 600) == (300 / 4, 300)
    assert steady_rate(came, 900) is None
    plan = RunPlan((soundscapes / "0.ogg",), model, ("label",), "cpu", Setup(1, 1, 1), staged=True)
    assert time_full_run(plan).windows == 2  # all of them, since there were no others


@pytest.mark.parametrize(
    ("cores", "asked", "layouts"),
    [
        (1, {}, [(1, 1)]),
        (2, {}, [(1, 1), (1, 2), (2, 1)]),
        (6, {}, [(1, 1), (1, 6), (3, 2), (6, 1)]),
        (16, {}, [(1, 1), (1, 16), (2, 8), (4, 4), (8, 2), (16, 1)]),
        (4, {"workers": (1, 3)}, [(1, 1), (1, 4), (3, 1)]),
        (4, {"threads": (1, 2)}, [(1, 1), (1, 2), (2, 2), (4, 1)]),
        (2, {"workers": (3,), "threads": (1, 5)}, [(3, 1), (3, 5)]),
    ],
)
def test_ways_of_sharing_the_cores(
    cores: int, asked: dict[str, tuple[int, ...]], layouts: list[tuple[int, int]]
) -> None:
    assert layouts_of(cores, "cpu", **asked) == layouts


def test_setups_by_default_are_at_least_ten_on_two_cores(artifact: Artifact) -> None:
    for quick, device in ((False, "cpu"), (True, "cpu"), (False, "cuda:0")):
        sizes = batch_sizes_of(artifact, device, quick, None)
        setups = [Setup(*layout, size) for layout in layouts_of(2, device) for size in sizes]
        assert len(setups) >= 10
        assert setups == sorted(setups, key=astuple)  # by the processes that serve them


def test_a_graph_for_one_window_has_one_batch_size(artifact: Artifact) -> None:
    fixed = replace(artifact, free_batch=False)
    assert batch_sizes_of(fixed, "cpu", False, None) == (1,)
    with pytest.raises(InputError, match="--batch-sizes 1"):
        batch_sizes_of(fixed, "cpu", False, (1, 2))


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GB", 4 * 10**9), ("1.5 gib", 3 * 2**29), ("800MB", 8 * 10**8), ("12345", 12345)],
)
def test_sizes_of_memory(text: str, size: int) -> None:
    assert memory_size(text) == size


@pytest.mark.parametrize("text", ["", "4XB", "-1GB", "0", "GB"])
def test_bad_sizes_of_memory(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not an amount of memory"):
        memory_size(text)


def test_memory_is_that_of_the_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=1_024_000))
    monkeypatch.setattr(runtime.memory, "CGROUP", tmp_path)
    assert memory.available_memory() == round(1_024_000 * 0.9)
    (tmp_path / "memory.max").write_text("800000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    (tmp_path / "memory.stat").write_text("anon 300000\ninactive_file 100000\n")
    assert memory.available_memory() == 450_000
    (tmp_path / "memory.current").write_text("1000000\n")
    assert memory.available_memory() == 0
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_memory() == round(1_024_000 * 0.9)


def test_wrong_use_is_one_line(
    model: Path, soundscapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "words.onnx").write_text("these are words")
    (tmp_path / "empty").mkdir()
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "a.wav").write_text("no sound")
    for arguments, message in (
        ([tmp_path / "none.onnx", "--soundscapes", soundscapes], "there is no model at"),
        ([model, tmp_path / "words.onnx", "--soundscapes", soundscapes], "cannot be loaded as ONNX"),
        ([model, "--floor", tmp_path / "none.onnx", "--soundscapes", soundscapes], "there is no model at"),
        ([model, "--soundscapes", tmp_path / "empty"], "no recordings in"),
        ([model, "--soundscapes", tmp_path / "noise", "--workers", "1"], "none of the recordings can be read"),
        ([model, "--soundscapes", tmp_path / "none"], "none"),
        ([model, "--json", tmp_path / "none" / "figures.json"], "cannot write"),
        ([model, "--device", "tpu"], "device is 'tpu'"),
        ([model, "--soundscapes", soundscapes, "--device", "cuda:99"], "--device cuda:99 cannot be used"),
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
    said = capsys.readouterr().err
    assert "is not a list of whole numbers" in said and "`perch-bench throughput --help`" in said
    assert numbers("4,1,4") == (1, 4)
