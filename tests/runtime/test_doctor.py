"""`perch-run --doctor`, on machines without a GPU."""

from __future__ import annotations

import json
import platform
import signal
import subprocess
import sys
from pathlib import Path

import onnx
import onnxruntime as ort
import pytest

from runtime import doctor
from runtime.cli import main
from runtime.console.log import log
from runtime.model import cuda
from runtime.model.artifact import Artifact, read_artifact
from runtime.model.cuda_options import PROVIDER
from runtime.model.fingerprint import to_text
from tests.support.broken import edited, misjudged

no_cuda = pytest.mark.skipif(cuda.problem("cuda:0") is None, reason="CUDA works here")
lists_cuda = pytest.mark.skipif(PROVIDER not in ort.get_available_providers(), reason="a CPU build")


@no_cuda
def test_report_for_people(model: Path) -> None:
    command = [sys.executable, "-m", "runtime", "--doctor", "--model", str(model)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    for said in (platform.python_version(), ort.__version__, "libsndfile 1.", "soxr", "physical ones usable"):
        assert said in done.stdout
    assert "cpu     works" in done.stdout
    assert "cuda:0  cannot be used: " in done.stdout
    assert "all is well: a run with --device auto takes cpu" in done.stdout
    assert f"perch_v1, float32, any batch, id {read_artifact(model).artifact_sha256[:12]}" in done.stdout
    assert "label         40, classes of ebird2021; differs from TensorFlow by " in done.stdout
    assert "which nodes cuda:0 leaves to the CPU is unknown" in done.stdout


@no_cuda
@lists_cuda
def test_missing_library_is_named_by_doctor_and_run(model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "runtime", "--device", "cuda"]
    asked = subprocess.run([*command, "--doctor"], capture_output=True, text=True, timeout=600)
    assert (asked.returncode, asked.stderr) == (1, "")
    library = asked.stdout.split("problem: --device cuda cannot be used: ")[1].split(";")[0]
    assert library.startswith(("lib", "there is no NVIDIA driver (libcuda")) and ": not found" in library
    assert "or use --device cpu" in asked.stdout
    arguments = [str(tmp_path), "--model", str(model), "-o", str(tmp_path / "x.csv")]
    ran = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=600)
    assert ran.returncode == 2


@no_cuda
def test_problem_calls_options_by_their_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--doctor", "--device", "cuda"]) == 1
    printed = capsys.readouterr().out
    assert "problem: --device cuda " in printed and "device='" not in printed


def test_two_distributions_are_a_problem(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("runtime.model.session.folder_of", lambda name: Path("site-packages"))
    assert main(["--doctor", "--device", "cpu"]) == 1
    assert "problem: onnxruntime and onnxruntime-gpu are both installed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("turned_into", "more"), [(KeyboardInterrupt(), ""), (RuntimeError("no CUDA\nnow"), " (RuntimeError: no CUDA)")]
)
def test_an_interruption_and_what_is_logged_are_a_line_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], turned_into: BaseException, more: str
) -> None:
    def terminated(device: str) -> str:
        log.warning("%s is odd", device)
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:  # as libraries do
            raise turned_into from None
        return device

    monkeypatch.setattr(doctor, "choose_device", terminated)
    assert main(["--doctor"]) == 143
    said = capsys.readouterr().err
    assert said == f"perch-run: auto is odd\nperch-run: interrupted{more}\n"


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

    cpu, gpu = "CPUExecutionProvider", PROVIDER
    events = [
        {"cat": "Session", "name": "model_loading", "args": {}},
        event("Shape", cpu, "int64"),
        event("Conv", gpu, "float16"),
        event("Pow", cpu, "float"),
        event("MemcpyToHost", gpu, "float"),
    ]
    assert list(doctor.computed_on_cpu(events)) == ["Pow", "MemcpyToHost"]


def test_the_golden_window_is_compared_on_the_devices_here(
    model: Path, v2_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--doctor", "--device", "cpu", "--model", str(model), "--model", str(v2_model)]) == 0
    assert capsys.readouterr().out.count("  golden window on cpu: at worst, '") == 2
    wrong = misjudged(model, tmp_path / "wrong.onnx")
    assert main(["--doctor", "--device", "cpu", "--model", str(wrong)]) == 1
    printed = capsys.readouterr().out
    assert "problem: cpu computes wrongly" in printed and "'label' is off by" in printed
    assert "all is well" not in printed
    older = edited(model, tmp_path / "older.onnx", lambda proto: None, {})
    assert main(["--doctor", "--device", "cpu", "--model", str(older)]) == 0
    assert "golden window: the file has none that is known here; convert it again" in capsys.readouterr().out
    golden = {name: each for name, each in read_artifact(model).golden.items() if name != "label"}
    some = edited(model, tmp_path / "some.onnx", lambda proto: None, {"golden": to_text(golden)})
    assert main(["--doctor", "--device", "cpu", "--model", str(some)]) == 0
    assert "golden window: the file has none for label, so" in capsys.readouterr().out


def test_parity_that_makes_no_sense_is_unknown(model: Path) -> None:
    entries = read_artifact(model).to_metadata() | {"parity": json.dumps({"heads": [1]})}
    assert "; parity unknown" in doctor.described(Artifact.from_metadata(entries, model))[1]


def one_dimension_less(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1_000


def unknown_op(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].op_type = "NoSuchOp"


def future_opset(proto: onnx.ModelProto) -> None:
    proto.opset_import[0].version = 99


def weights_elsewhere(proto: onnx.ModelProto) -> None:
    weights = max(proto.graph.initializer, key=lambda each: len(each.raw_data))
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="weights.bin")


def fails_when_run(proto: onnx.ModelProto) -> None:
    node = proto.graph.node[0]
    wanted = onnx.helper.make_tensor("wanted", onnx.TensorProto.INT64, [1], [7])
    proto.graph.initializer.append(wanted)
    proto.graph.node.insert(0, onnx.helper.make_node("Reshape", [node.input[0], "wanted"], ["reshaped"]))
    node.input[0] = "reshaped"


def not_finite(proto: onnx.ModelProto) -> None:
    node = next(node for node in proto.graph.node if "label" in node.output)
    node.output[0] = "before"
    proto.graph.node.append(onnx.helper.make_node("Sub", ["before", "before"], ["none"]))
    proto.graph.node.append(onnx.helper.make_node("Div", ["none", "none"], ["label"]))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (one_dimension_less, "description that does not match its graph"),
        (unknown_op, "NoSuchOp"),
        (future_opset, "99"),
        (weights_elsewhere, "weights.bin"),
        (fails_when_run, "cannot be"),
        (not_finite, "gives no finite numbers on cpu, in label"),
    ],
)
def test_files_that_cannot_be_run_are_a_problem(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], edit: object, said: str
) -> None:
    path = edited(model, tmp_path / "broken.onnx", edit, {})  # type: ignore[arg-type]
    assert main(["--doctor", "--device", "cpu", "--model", str(path)]) == 1
    printed = capsys.readouterr()
    assert printed.err == ""
    (problem,) = (line for line in printed.out.splitlines() if line.startswith("problem: "))
    assert str(path) in problem
    assert said in problem
    assert "all is well" not in printed.out
