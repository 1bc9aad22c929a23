"""`perch-bench cuda` on the CPU provider: what it writes, keeps, skips and refuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.cli import main
from benchmarks.cuda import command, process
from benchmarks.cuda.all_steps import STEPS
from benchmarks.cuda.kit.expected import write_expected
from benchmarks.cuda.step import Context, Keep, Result
from benchmarks.cuda.steps.agreement import OWN
from benchmarks.measuring.usage import alive, children
from benchmarks.results.page import write_results
from convert.proof.synthetic import windows as synthetic
from runtime.model.artifact import read_artifact
from runtime.model.session import Session
from tests.support.processes import until

SECTIONS = ["Graph alone", "Card", "Agreement", "Files to rows", "Memory", "Nodes"]
OTHERS = [name for name in STEPS if name != "faults"]
UNHURRIED = ("--limit", "10h")  # steps have a share of it
ROOT = Path(__file__).parent.parent.parent.parent


def measured(target: Path, *words: str) -> tuple[int, dict[str, Any]]:
    code = main(["cuda", *words, "--json", str(target), "--device", "cpu", "--quick"])
    return code, json.loads(target.read_text())


def test_steps_on_the_cpu(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = read_artifact(model).window_samples
    windows = (32768 * synthetic(7, 3, samples)).astype(np.int16)
    given = Session(model).run((windows / np.float32(32768)).astype(np.float32), ("label", "embedding"), 1)
    write_expected(
        tmp_path / "expected.npz", windows, {"perch": given}, {"perch": read_artifact(model).artifact_sha256}
    )
    words = ["--expected", str(tmp_path / "expected.npz"), "--steps", ",".join(OTHERS), *UNHURRIED]
    code, found = measured(tmp_path / "cuda.json", str(model), *words)
    steps = found["steps"]
    assert code == 0
    assert not [name for name, step in steps.items() if "error" in step]
    assert list(steps) == OTHERS
    agreement = steps["agreement"]["trials"]
    assert set(agreement) == {"perch float32", "perch float16", "perch elsewhere"}
    assert agreement["perch float32"]["equal"] and agreement["perch elsewhere"]["equal"]
    assert {head["held_to"] for each in agreement.values() for head in each["heads"].values()} == {OWN}
    assert agreement["perch float16"]["heads"]["label"]["error"] > agreement["perch float32"]["heads"]["label"]["error"]
    ceiling = steps["ceiling"]["trials"]
    assert ceiling["product float32"]["relative_error"] < 1e-5
    best = {each["precision"]: each for each in steps["speed"]["best"]}
    possible = ceiling["work perch"]["float32"]["layer_by_layer"][str(best["float32"]["batch"])]
    rate = best["float32"]["windows_per_s"]["median"]
    assert best["float32"]["share"]["layer_by_layer"] == pytest.approx(rate / possible)
    nodes = steps["nodes"]["trials"]["perch float32"]
    assert sum(kind["us"] for kind in nodes["kinds"].values()) == nodes["total_us"] > 0
    (run,) = (each for each in steps["files"]["trials"].values() if "share" in each)
    assert run["share"] == run["windows_per_s"] / min(run["bounds"]) and run["windows"] >= 12
    assert "perch float16" in capsys.readouterr().out
    page = write_results(tmp_path, tmp_path / "results.md").read_text()
    assert "says nothing of a GPU" in page and "](" + tmp_path.name + "/cuda.svg)" in page
    assert re.findall("^### (.*)", page, re.M) == SECTIONS


@pytest.mark.slow
def test_faults_on_the_cpu(model: Path, tmp_path: Path) -> None:
    code, found = measured(tmp_path / "cuda.json", str(model), "--steps", "faults", *UNHURRIED)
    assert code == 0
    faults = found["steps"]["faults"]["trials"]
    assert [name for name, each in faults.items() if not each.get("passed")] == ["undisturbed", "full card"]
    assert faults["killed"]["processes"] == 2 and faults["killed"]["resumed"]["rows"]["same_bits"]
    assert "skipped" in faults["full card"] and "error" not in faults["undisturbed"]
    page = write_results(tmp_path, tmp_path / "results.md").read_text()
    assert re.findall("^### (.*)", page, re.M)[-2:] == ["Faults", "Wrong, failed or skipped"]


def test_a_command_that_is_killed_leaves_what_it_had_and_no_process(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "cuda.json"
    command = [sys.executable, "-m", "benchmarks", "cuda", str(model), "--json", str(target), "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)})
    until(lambda: target.exists() and "ceiling" in json.loads(target.read_text())["steps"])
    (child,) = children(process.pid)
    process.kill()
    process.wait()
    assert json.loads(target.read_text())["steps"]["doctor"]["problem"] is None
    until(lambda: not alive(child))
    assert main([*command[3:], "--steps", "ceiling", "--limit", "4s"]) in (0, 1)
    assert "doctor" in json.loads(target.read_text())["steps"]


def test_results_of_steps_that_are_not_measured_now_stay(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "cuda.json"
    code, found = measured(target, str(model), "--steps", "doctor")
    assert (code, found["command"], found["skipped"]) == (0, "cuda", {})
    assert found["steps"]["doctor"]["problem"] is None
    golden = found["steps"]["doctor"]["trials"][f"golden {model.stem}"]["heads"]
    assert golden.keys() == read_artifact(model).heads.keys() and golden["label"]["share"] < 0.01
    found["steps"]["files"] = {"kept": 1}
    target.write_text(json.dumps(found))
    assert measured(target, str(model), "--steps", "doctor")[1]["steps"]["files"] == {"kept": 1}


@pytest.mark.parametrize(
    ("doctor", "said"),
    [
        ({"problem": "no card"}, "no card"),
        ({"error": "it did not end in its time"}, "it did not end in its time"),
        ({"problem": None, "error": "it did not end in its time"}, None),
        ({}, "did not get so far"),
        ({"problem": None}, None),
    ],
)
def test_a_doctor_that_finds_no_working_gpu_or_fails_ends_the_command(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    doctor: dict[str, Any],
    said: str | None,
) -> None:
    monkeypatch.setattr(command, "choose_device", lambda _: "cuda:0")
    monkeypatch.setattr(process, "run_step", lambda module, *_: dict(doctor) if "doctor" in module else {})
    target = tmp_path / "cuda.json"
    code = main(["cuda", str(model), "--json", str(target), "--steps", "doctor,ceiling"])
    found = json.loads(target.read_text())["steps"]
    assert found["doctor"].items() >= doctor.items()
    if said is None:
        assert (code, list(found)) == (int("error" in doctor), ["doctor", "ceiling"])
    else:
        assert (code, list(found)) == (2, ["doctor"])
        assert said in capsys.readouterr().err


def test_a_file_of_another_card_or_another_command_is_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "cuda.json"
    _, found = measured(target, str(model), "--steps", "doctor")
    for key, value in {
        "card": "NVIDIA H100",
        "driver": "580.1",
        "expected_sha256": "2f" * 32,
        "onnxruntime": "1.20",
        "models": {},
        "quick": True,
        "command": "parity",
    }.items():
        target.write_text(json.dumps({**found, key: value}))
        assert main(["cuda", str(model), "--json", str(target), "--device", "cpu"]) == 2
        assert json.loads(target.read_text())[key] == value
        assert "name another file" in capsys.readouterr().err


def test_a_step_that_was_cut_short_goes_on_and_its_points_are_held_to_the_same_outputs(
    model: Path, tmp_path: Path
) -> None:
    target, words = tmp_path / "cuda.json", (str(model), "--steps", "speed", *UNHURRIED)
    _, first = measured(target, *words)
    trials = first["steps"]["speed"]["trials"]
    (one, *_), (*_, last) = trials, trials
    trials[one]["points"][0]["load_s"] = 123.0
    (was,) = (each["off"] for each in trials[last]["points"] if each["precision"] == "float16")
    cut = {name: {"skipped": "no time"} if name == last else trial for name, trial in trials.items()}
    step = {"trials": cut, "running": "x", "error": "it was cut", "best": [], "between trials": [{"error": "it died"}]}
    target.write_text(json.dumps({**first, "steps": {"speed": step}}))
    code, again = measured(target, *words)
    step = again["steps"]["speed"]
    assert code == 0 and not {"running", "error", "between trials"} & set(step)
    assert step["trials"][one] == trials[one] and step["trials"].keys() == trials.keys()
    (off,) = (each["off"] for each in step["trials"][last]["points"] if each["precision"] == "float16")
    assert off == pytest.approx(was, rel=0.1) and off["label"] > 0
    assert step["best"][0]["precision"] == "float32"


def test_a_step_that_is_measured_anew_keeps_its_earlier_result_until_it_is_over(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "cuda.json"
    monkeypatch.setattr(process, "run_step", lambda *_: {"trials": {"one": {"figure": 1}}})
    measured(target, str(model), "--steps", "ceiling,nodes")
    seen = []

    def cut(module: str, context: Context, keep: Keep, by_tf32: bool) -> Result:
        keep({"trials": {}})
        seen.append((context.begun.get("trials"), json.loads(target.read_text())["steps"]))
        return {}

    monkeypatch.setattr(process, "run_step", cut)
    measured(target, str(model), "--steps", "ceiling,nodes")
    (ceiling_begun, first), (nodes_begun, second) = seen
    assert ceiling_begun is None and first["ceiling"]["trials"] == {"one": {"figure": 1}}
    assert nodes_begun == {"one": {"figure": 1}} and second["nodes"] == {"trials": {}}


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
