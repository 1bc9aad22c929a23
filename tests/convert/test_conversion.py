"""Whole models: untrained Perches of every kind, converted and compared with TensorFlow once more."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from convert import conversion
from convert.conversion import _description, convert
from convert.errors import ParityError
from convert.passes import pipeline
from convert.proof import parity, synthetic
from convert.selection import Selection
from convert.source import reference
from convert.source.reference import Reference, published
from convert.source.saved_model import inspect
from convert.untrained import perch
from convert.untrained.recipe import Recipe
from runtime.model.artifact import read_artifact
from runtime.model.session import Session
from tests.support.kinds import KINDS

# Models of full size are a case of `make stress`.


@pytest.mark.parametrize("name", ["plain of 2022", pytest.param("plain, one window a call", marks=pytest.mark.slow)])
def test_converted_model_equals_tensorflow(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Few clips, since TensorFlow needs half a second for each frontend of 2022.
    monkeypatch.setattr(perch, "CALIBRATION_WINDOWS", 4)
    monkeypatch.setattr(conversion, "WINDOWS", 4)
    recipe: Recipe = KINDS[name].recipe
    folder, path = perch.write_saved_model(tmp_path / "saved_model", recipe), tmp_path / "perch.onnx"
    artifact = convert(folder, path, progress=False)
    assert artifact.free_batch
    expected_heads = {"label", "embedding"}
    if not recipe.fixed_batch:
        expected_heads |= {"frontend", *(head for head, _, _ in recipe.classes)}
    assert set(artifact.heads) == expected_heads
    assert artifact.heads["label"].shape == (recipe.classes[0][2],)
    assert artifact.heads["embedding"].shape == (recipe.embedding,)

    windows = synthetic.windows(77, 3, 160_000)
    expected = Reference(inspect(folder))(windows)
    session = Session(path)
    for size in (1, 3):
        parts = [session(windows[i : i + size], list(expected)) for i in range(0, 3, size)]
        for (head, values), actual in zip(expected.items(), zip(*parts, strict=True), strict=True):
            result = parity.compare(values, np.concatenate(actual))
            assert result.failures() == [], head
            assert result.range > 0.1, head
    tops = expected["label"].argmax(axis=1)
    assert len(set(tops.tolist())) > 1, "clips should differ in their top class"

    proto = onnx.load(path)
    assert proto.ir_version <= 10
    assert {entry.domain: entry.version for entry in proto.opset_import} == {"": 17}
    kinds = {node.op_type for node in proto.graph.node}
    assert not kinds & {"DFT", "STFT", "Shape", "Cast", "Max", "Exp", "Reciprocal"}
    assert sum(node.op_type == "Transpose" for node in proto.graph.node) <= 3
    assert not list(tmp_path.glob(".*partial"))


def test_file_describes_itself(saved_model: Path, model: Path) -> None:
    artifact = read_artifact(model)
    for name in ("label", "genus"):
        head = artifact.heads[name]
        lines = (saved_model / "assets" / f"{name}.csv").read_text().splitlines()
        assert [head.namespace, *head.classes] == lines
    assert artifact.saved_model_sha256 == inspect(saved_model).fingerprint
    assert set(artifact.tools) == {"perch-onnx", "tensorflow", "tf2onnx", "onnx", "onnx-ir"}
    assert artifact.parity["heads"]["label"]["windows"] == 12
    assert artifact.parity["batch_sizes"] == [1, 2, 12]
    assert artifact.parity["heads"]["label"]["error"] < 1e-3


def test_packages_that_are_installed_under_other_names_are_described_too(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    source = SimpleNamespace(family="perch_v1", fingerprint="")
    described = _description(source, Selection([], {}, {}, []), None, True, "cpu")  # type: ignore[arg-type]
    assert described.tools == read_artifact(model).tools


@pytest.mark.slow
def test_same_conversion_gives_the_same_bytes(
    tmp_path: Path, saved_model: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "published", published)  # TensorFlow runs once more
    path = tmp_path / "again.onnx"
    again = convert(saved_model, path, progress=False)
    assert path.read_bytes() == model.read_bytes()
    assert read_artifact(path) == again


@pytest.mark.slow
def test_parity_on_the_users_recordings(tmp_path: Path, saved_model: Path, recordings: Path) -> None:
    artifact = convert(saved_model, tmp_path / "x.onnx", outputs=["label"], audio=recordings, progress=False)
    assert artifact.parity["audio"] == f"recordings of {recordings.name} (9 different windows)"
    assert artifact.parity["heads"]["label"]["windows"] == 12


def test_broken_parity_leaves_no_file(tmp_path: Path, v2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fold = pipeline.fold_batch_norm

    def with_another_epsilon(graph: object) -> None:
        fold(graph)  # type: ignore[arg-type]
        weights = [value for value in graph.initializers.values() if "weights" in value.name]  # type: ignore[attr-defined]
        import onnx_ir

        weights[0].const_value = onnx_ir.tensor(weights[0].const_value.numpy() * np.float32(1.05))

    passes = tuple(with_another_epsilon if run is fold else run for run in pipeline.PASSES)
    monkeypatch.setattr(pipeline, "PASSES", passes)
    with pytest.raises(ParityError, match=r"differs from TensorFlow's: .*embedding: error"):
        convert(v2, tmp_path / "x.onnx", progress=False)
    assert list(tmp_path.iterdir()) == []
