"""SavedModels of StableHLO: converted and compared with TensorFlow, or refused in one line."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest
import tensorflow as tf
from jax.experimental import jax2tf
from tensorflow.core.protobuf import saved_model_pb2

from convert.cli import main
from convert.conversion import convert
from convert.errors import ConversionError
from convert.proof import parity, synthetic
from convert.source import versions
from convert.source.reference import Reference
from convert.source.saved_model import inspect
from convert.stablehlo import module
from runtime.model.artifact import read_artifact
from runtime.model.session import Session
from tests.support.kinds import KINDS

KINDS_OF_V1 = [
    pytest.param(kind, marks=pytest.mark.slow if kind != "native" else ())
    for kind in KINDS
    if kind.startswith("native")
]
"""`make stress` converts them all. Elsewhere v2 has the frontend of 2022, and its plain form is converted too."""

WINDOWS = synthetic.windows(77, 5, 160_000)


def assert_equal_to_tensorflow(folder: Path, path: Path) -> None:
    source, session = inspect(folder), Session(path)
    expected = Reference(source)(WINDOWS)
    for size in (1, 5):
        parts = [session(WINDOWS[i : i + size], list(expected)) for i in range(0, 5, size)]
        for (head, values), actual in zip(expected.items(), zip(*parts, strict=True), strict=True):
            result = parity.compare(values, np.concatenate(actual))
            assert result.failures(parity.tolerance(head, native=True)) == [], head
            assert result.range > 0.1, head


def test_v2(v2: Path, v2_model: Path) -> None:
    assert_equal_to_tensorflow(v2, v2_model)
    artifact = read_artifact(v2_model)
    assert artifact.family == "perch_v2"
    assert {name: head.shape for name, head in artifact.heads.items()} == {
        "label": (60,),
        "embedding": (24,),
        "spatial_embedding": (16, 4, 24),
        "spectrogram": (500, 128),
    }
    label = artifact.heads["label"]
    for (namespace, known), name in zip(label.class_lists.items(), ("labels", "perch_v2_ebird_classes"), strict=True):
        lines = (v2 / "assets" / f"{name}.csv").read_text().splitlines()
        assert [namespace, *known.names] == lines
    assert artifact.parity["heads"]["spatial_embedding"]["windows"] == 12


def test_graph_is_as_fast_as_the_plain_ones(v2_model: Path) -> None:
    graph = onnx.load(v2_model).graph
    kinds = {node.op_type for node in graph.node}
    assert not kinds & {"DFT", "STFT", "Shape", "Gather", "Exp", "Neg", "Expand", "Pow"}
    stem = next(node for node in graph.node if node.op_type == "Conv")
    weights = {value.name: value.dims for value in graph.initializer}
    assert list(weights[stem.input[1]])[1:] == [1, 3, 3]  # frames, window and DFT are no longer a convolution
    batches = {value.name: value.type.tensor_type.shape.dim[0].dim_param for value in graph.value_info}
    # ONNX Runtime fuses the addition of two branches only if the batch has the same name in both.
    assert {batches[node.output[0]] for node in graph.node if node.op_type == "Conv"} == {"batch"}


@pytest.mark.parametrize("kind", KINDS_OF_V1)
def test_v1(tmp_path: Path, of_kind: Callable[[str], Path], kind: str) -> None:
    artifact = convert(of_kind(kind), tmp_path / "perch.onnx", progress=False)
    assert artifact.family == "perch_v1" and artifact.free_batch
    assert set(artifact.heads) >= {"label", "embedding"}
    assert artifact.parity["batch_sizes"] == [1, 2, 12]
    for head, measured in artifact.parity["heads"].items():  # a model that exceeds its tolerance leaves no file
        assert measured["windows"] == 12 and measured["range"] > 0.1, head


def for_cuda_alone(v2: Path, folder: Path) -> Path:
    """The SavedModel as if it had been exported for CUDA; the real export is a slow test's."""
    shutil.copytree(v2, folder)
    graph = folder / "saved_model.pb"
    proto = saved_model_pb2.SavedModel.FromString(graph.read_bytes())
    functions = proto.meta_graphs[0].graph_def.library.function
    (call,) = (node for function in functions for node in function.node_def if node.op == "XlaCallModule")
    call.attr["platforms"].list.s[:] = [b"CUDA"]
    graph.write_bytes(proto.SerializeToString())
    return folder


def test_parity_that_cannot_be_measured_is_reported(
    tmp_path: Path, v2: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = for_cuda_alone(v2, tmp_path / "saved_model")
    assert main([str(folder), "-o", str(tmp_path / "perch.onnx")]) == 0
    assert "was not measured" in capsys.readouterr().out
    artifact = read_artifact(tmp_path / "perch.onnx")
    assert artifact.parity["measured"] is False and "CUDA" in artifact.parity["reason"]
    assert artifact.parity_warning and "was not measured" in artifact.parity_warning
    (label,) = Session(tmp_path / "perch.onnx")(WINDOWS[:2], ["label"])
    assert label.shape == (2, 60) and np.isfinite(label).all()
    assert main([str(folder), "-o", str(tmp_path / "half.onnx"), "--precision", "fp16"]) == 2
    assert "cannot be proven in float16" in capsys.readouterr().err
    assert not (tmp_path / "half.onnx").exists()


def test_classes_are_found_in_either_namespace(tmp_path: Path, v2: Path, v2_model: Path) -> None:
    whole = read_artifact(v2_model).heads["label"]
    codes = whole.class_lists["ebird2021"].names
    columns = [i for i, code in enumerate(codes) if code != "no_ebird_code"][::7]
    wanted = [codes[i] for i in columns]
    artifact = convert(v2, tmp_path / "x.onnx", outputs=["label"], classes=wanted, progress=False)
    label = artifact.heads["label"]
    assert label.classes == tuple(whole.classes[i] for i in columns)
    assert label.class_lists["ebird2021"].names == tuple(wanted)
    (full,), (sliced,) = Session(v2_model)(WINDOWS, ["label"]), Session(tmp_path / "x.onnx")(WINDOWS, ["label"])
    np.testing.assert_allclose(sliced, full[:, columns], atol=1e-5 * np.ptp(full))


def saved(folder: Path, function: Callable[[Any], Any]) -> Path:
    """A SavedModel of a JAX function from windows to `embedding`, with a label head of its sums."""

    def infer(x: Any) -> dict[str, Any]:
        embedding = function(x)
        return {"embedding": embedding, "label": embedding[:, :3] + 1}

    converted = jax2tf.convert(
        infer, with_gradient=False, native_serialization_platforms=("cpu",), polymorphic_shapes=["(b, 160000)"]
    )
    spec = tf.TensorSpec([None, 160_000], tf.float32, name="inputs")
    serving = tf.Module()
    serving.infer_tf = tf.function(lambda inputs: converted(inputs), input_signature=[spec], autograph=False)
    serving.scale = tf.Variable(1.0)
    tf.saved_model.save(serving, str(folder), signatures=serving.infer_tf.get_concrete_function())
    (folder / "assets").mkdir(exist_ok=True)
    (folder / "assets" / "label.csv").write_text("ebird2021\na\nb\nc\n")
    return folder


def until_loud(x: Any) -> Any:
    return jax.lax.while_loop(lambda y: jnp.abs(y).max() < 1, lambda y: 2 * y + 1, x[:, :8])


REFUSED = {
    "unknown op": (lambda x: jnp.sort(x[:, :8], axis=1), r"stablehlo\.sort in @\S+ \(line \d+"),
    "custom call": (lambda x: jnp.linalg.cholesky(x[:, :64].reshape(-1, 8, 8))[:, 0], r"@lapack_\w+ in @\S+ \(line"),
    "while": (until_loud, r"stablehlo\.while in @\S+ .*depends on the audio"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_untranslatable_operation_is_named(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    function, said = REFUSED[name]
    folder = saved(tmp_path / "saved_model", function)
    assert main([str(folder), "-o", str(tmp_path / "x.onnx"), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith(f"perch-convert: {folder} cannot be converted: ")
    assert re.search(said, error), error
    assert [path.name for path in tmp_path.iterdir()] == ["saved_model"]


def test_stablehlo_that_tensorflow_cannot_read(v2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = inspect(v2)
    assert source.stablehlo is not None
    installed = versions.installed_version()
    both = rf"StableHLO {source.stablehlo.version}, which TensorFlow {tf.__version__} \(StableHLO {installed}\)"
    monkeypatch.setattr(tf.mlir.experimental, "run_pass_pipeline", lambda text, *_, **__: text)
    with pytest.raises(ConversionError, match=rf"{both} cannot read: .*install a newer tensorflow"):
        module.stablehlo_text(source)

    def fails(*_: object, **__: object) -> str:
        raise ValueError("unregistered operation\nand more")

    monkeypatch.setattr(tf.mlir.experimental, "run_pass_pipeline", fails)
    with pytest.raises(ConversionError, match=rf"{both} cannot read: unregistered operation; install"):
        module.stablehlo_text(source)


def test_old_tensorflow_is_refused(
    tmp_path: Path, v2: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    versions = {"tensorflow": "2.17.1"}
    monkeypatch.setattr(importlib.metadata, "version", lambda name: versions[name])
    assert main([str(v2), "-o", str(tmp_path / "x.onnx")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "tensorflow 2.21 or newer, and 2.17.1 is installed" in error
    assert list(tmp_path.iterdir()) == []
