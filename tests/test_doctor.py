"""`perch-run --doctor`, on machines without a GPU."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import onnxruntime as ort
import pytest

from runtime import cuda, doctor
from runtime.artifact import Artifact, read_artifact
from runtime.cli import main

no_cuda = pytest.mark.skipif(cuda.problem("cuda:0") is None, reason="CUDA works here")
lists_cuda = pytest.mark.skipif(cuda.PROVIDER not in ort.get_available_providers(), reason="a CPU build")


@no_cuda
def test_report_for_people(model: Path) -> None:
    command = [sys.executable, "-m", "runtime", "--doctor", "--model", str(model)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    for said in (platform.python_version(), ort.__version__, "libsndfile 1.", "soxr", "to compute on"):
        assert said in done.stdout
    assert "cpu     works" in done.stdout
    assert "cuda:0  cannot be used: " in done.stdout
    assert "all is well: a run with --device auto takes cpu" in done.stdout
    assert f"perch_v1, float32, any batch, id {read_artifact(model).artifact_sha256[:12]}" in done.stdout
    assert "label         40, classes of ebird2021; off TensorFlow's by " in done.stdout
    assert "which nodes cuda:0 leaves to the CPU cannot be told here" in done.stdout


@no_cuda
@lists_cuda
def test_missing_library_is_named_by_doctor_and_run(model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "runtime", "--device", "cuda"]
    asked = subprocess.run([*command, "--doctor"], capture_output=True, text=True, timeout=600)
    assert (asked.returncode, asked.stderr) == (1, "")
    library = asked.stdout.split("problem: device 'cuda' cannot be used: ")[1].split(";")[0]
    assert library.endswith(": not found")
    assert library.startswith("lib")
    assert "pip install '.[cuda]'" in asked.stdout
    arguments = [str(tmp_path), "--model", str(model), "-o", str(tmp_path / "x.csv")]
    ran = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=600)
    assert ran.returncode == 2


def test_two_distributions_are_a_problem(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("runtime.session._is_installed", lambda name: True)
    assert main(["--doctor", "--device", "cpu"]) == 1
    assert "problem: onnxruntime and onnxruntime-gpu are both installed" in capsys.readouterr().out


def test_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--doctor", "--model", str(tmp_path / "x.onnx")]) == 2
    assert main(["--doctor", "--device", "gpu"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "there is no model at" in printed.err
    assert "device is 'gpu'" in printed.err
    with pytest.raises(SystemExit) as stopped:
        main(["--doctor", "recordings"])
    assert stopped.value.code == 2


def test_nodes_on_the_cpu_are_counted(model: Path) -> None:
    kinds = doctor.nodes_on_cpu(model, "cpu", 160_000)
    assert kinds.count("Conv") > 10
    assert "Sqrt" in kinds


def test_arithmetic_on_shapes_may_stay_on_the_cpu() -> None:
    def event(kind: str, provider: str, result: str) -> dict[str, object]:
        node = {"op_name": kind, "provider": provider, "output_type_shape": [{result: [1]}]}
        return {"cat": "Node", "name": f"{kind}_kernel_time", "args": node}

    cpu, gpu = "CPUExecutionProvider", cuda.PROVIDER
    events = [
        {"cat": "Session", "name": "model_loading", "args": {}},
        event("Shape", cpu, "int64"),
        event("Conv", gpu, "float16"),
        event("Pow", cpu, "float"),
        event("MemcpyToHost", gpu, "float"),
    ]
    assert list(doctor._computed_on_cpu(events)) == ["Pow", "MemcpyToHost"]


def test_parity_that_makes_no_sense_is_unknown(model: Path) -> None:
    entries = read_artifact(model).to_metadata() | {"parity": json.dumps({"heads": [1]})}
    assert "; parity unknown" in doctor.described(Artifact.from_metadata(entries, model))[1]
