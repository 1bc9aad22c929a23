"""Files in half precision: what is float16 in them, how near to float32 they are, and when they are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import tensorflow as tf

from convert.cli import main
from convert.conversion import convert
from convert.errors import ConversionError, ParityError
from convert.passes.backbone.pooling import pool_by_sums
from convert.passes.float16 import to_float16
from convert.passes.pipeline import infer_shapes
from convert.proof import parity, synthetic
from convert.source import reference
from convert.source.reference import published
from convert.untrained import perch
from convert.untrained.ops import Weights
from convert.untrained.recipe import TINY
from convert.variants import float16
from runtime import run_soundscapes
from runtime.errors import InputError
from runtime.model.artifact import read_artifact
from runtime.model.session import Session
from runtime.model.tolerance import FLOAT16
from tests.support.graphs import graph_of, normal, outputs_of


@pytest.fixture(scope="module")
def half_model(saved_model: Path, recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("half") / "half.onnx"
    convert(saved_model, path, precision="fp16", audio=recordings, progress=False)
    return path


def types(proto: onnx.ModelProto) -> dict[str, int]:
    """The element type of each value."""
    graph = onnx.shape_inference.infer_shapes(proto).graph
    found = {value.name: value.type.tensor_type.elem_type for value in [*graph.value_info, *graph.input, *graph.output]}
    return found | {tensor.name: tensor.data_type for tensor in graph.initializer}


def test_backbone_is_float16_and_sensitive_parts_are_not(half_model: Path) -> None:
    proto = onnx.load(half_model)
    onnx.checker.check_model(proto, full_check=True)
    of = types(proto)
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    outside = {value.name for value in [*proto.graph.input, *proto.graph.output]} - {"head_rows"}
    assert {of[name] for name in outside} == {single}
    nodes = list(proto.graph.node)
    stem = next(i for i, node in enumerate(nodes) if node.op_type == "Conv" and of[node.input[1]] == half)
    spectrogram = [node for node in nodes[:stem] if node.op_type != "Cast"]
    assert {"Sqrt", "Div"} <= {node.op_type for node in spectrogram}
    assert not any(of[name] == half for node in spectrogram for name in [*node.input, *node.output] if name)
    for node in nodes[stem:]:
        if node.op_type in ("Conv", "MatMul", "Gemm"):
            assert {of[name] for name in node.input} == {half}
        if node.op_type == "GlobalAveragePool":
            assert {of[name] for name in [*node.input, *node.output]} == {single}


def test_no_cast_is_superfluous(half_model: Path) -> None:
    graph = onnx.load(half_model).graph
    casts = [node for node in graph.node if node.op_type == "Cast"]
    read = [node.input[0] for node in casts]
    assert len(read) == len(set(read)), "a value is cast twice"
    assert not {node.output[0] for node in casts} & set(read), "a cast is cast back"
    pools = sum(node.op_type == "GlobalAveragePool" for node in graph.node)
    # One into the stem, one before and after each pooling, two class heads; the last pooling's is the heads' entry.
    assert len(casts) == 1 + 2 * pools + 2


def test_values_are_near_float32(model: Path, half_model: Path) -> None:
    windows = synthetic.windows(70, 6, 160_000)
    names = ["label", "embedding", "genus", "frontend"]
    whole, narrow = Session(model)(windows, names), Session(half_model)(windows, names)
    for name, expected, actual in zip(names, whole, narrow, strict=True):
        assert actual.dtype == np.float32
        assert parity.compare(expected, actual).failures(FLOAT16) == []
        assert (expected == actual).all() == (name == "frontend")
    assert half_model.stat().st_size < model.stat().st_size


def test_file_describes_its_precision(half_model: Path, model: Path) -> None:
    artifact, whole = read_artifact(half_model), read_artifact(model)
    assert (artifact.options["precision"], whole.options["precision"]) == ("float16", "float32")
    assert artifact.artifact_sha256 != whole.artifact_sha256
    assert artifact.parity["heads"]["label"]["error"] > whole.parity["heads"]["label"]["error"]
    assert artifact.parity["float32"] == {"windows": 9, "top1_agreement": {"genus": 1.0, "label": 1.0}}


@pytest.mark.slow
def test_same_conversion_gives_the_same_bytes(
    tmp_path: Path, saved_model: Path, half_model: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "published", published)  # TensorFlow runs once more
    convert(saved_model, tmp_path / "x.onnx", precision="fp16", audio=recordings, progress=False)
    assert (tmp_path / "x.onnx").read_bytes() == half_model.read_bytes()


def test_runtime_takes_the_file(half_model: Path, model: Path, recordings: Path) -> None:
    narrow = run_soundscapes(recordings, half_model, workers=1, device="cpu", progress=False)
    whole = run_soundscapes(recordings, model, workers=1, device="cpu", progress=False)
    assert narrow.row_ids == whole.row_ids
    assert parity.compare(whole["label"], narrow["label"]).failures(FLOAT16) == []


@pytest.mark.slow
def test_with_fewer_heads_and_classes(
    tmp_path: Path, saved_model: Path, recordings: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    names = read_names(saved_model)[5:9]
    (tmp_path / "sample_submission.csv").write_text(f"row_id,{','.join(names)}\n")
    path = tmp_path / "x.onnx"
    arguments = [saved_model, "-o", path, "--precision", "fp16", "--audio", recordings, "--outputs", "label"]
    assert main([*map(str, arguments), "--classes", str(tmp_path / "sample_submission.csv")]) == 0
    assert read_artifact(path).heads["label"].classes == tuple(names)
    printed = capfd.readouterr().out
    assert "perch_v1, float16," in printed
    assert "Top class as in float32 on 9 windows: label 100.00%" in printed


def read_names(saved_model: Path) -> list[str]:
    return sorted((saved_model / "assets" / "label.csv").read_text().splitlines()[1:])


@pytest.mark.slow
def test_other_top_classes_are_refused(tmp_path: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def twins(weights: Weights, name: str, features: tf.Tensor, count: int) -> tf.Tensor:
        """Each class twice, the second with a slightly greater logit: by less than float16 can represent."""
        values = perch_head(weights, name, features, count // 2)
        return tf.concat([values, values * np.float32(1.0002)], axis=1)

    perch_head = perch.head
    monkeypatch.setattr(perch, "head", twins)
    folder = perch.write_saved_model(tmp_path / "saved_model", replace(TINY, classes=(("label", "ebird2021", 40),)))
    message = r"in float16 \(label: top class as in float32 in \d+\.\d% of 9 windows, not 99\.5%\); convert it with"
    with pytest.raises(ParityError, match=message):
        convert(folder, tmp_path / "x.onnx", precision="fp16", audio=recordings, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["saved_model"]


def test_overflow_is_found_although_a_cpu_would_hide_it() -> None:
    text = """
    g (float[n, 3, 8, 8] x) => (float[n, 4, 6, 6] y) {
      h = Conv (x, kernel) big = Mul (h, many) y = Div (big, many)
    }
    """
    model = infer_shapes(graph_of(text, kernel=normal(4, 3, 3, 3), many=np.float32(60_000)))
    x = normal(2, 3, 8, 8)
    (expected,) = outputs_of(model, x)
    in_half, as_on_gpu = float16.halved(model)
    assert np.isfinite(outputs_of(in_half, x)[0]).all()
    assert not np.isfinite(outputs_of(as_on_gpu, x)[0]).all()
    assert np.abs(outputs_of(in_half, x)[0] - expected).max() < 2e-2


def test_sums_of_a_pool_are_in_float16() -> None:
    """Sums of rows fit; the sum of the whole map, 2 * 250 * 200, would not."""
    text = "g (float[n, 1, 250, 200] x) => (float[n, 1, 1, 1] y) { h = Conv (x, kernel) y = GlobalAveragePool (h) }"
    model = graph_of(text, kernel=np.eye(2, dtype=np.float32)[None, None] / 2)
    x = 2 + np.abs(normal(2, 1, 250, 200))
    (expected,) = outputs_of(model, x)
    pool_by_sums(infer_shapes(model).graph)
    in_half, as_on_gpu = float16.halved(infer_shapes(model))
    assert {node.inputs[0].dtype for node in in_half.graph if node.op_type == "ReduceSum"} == {ir.DataType.FLOAT16}
    np.testing.assert_allclose(outputs_of(as_on_gpu, x)[0], expected, rtol=2**-9)


def test_rounding_is_that_of_float16() -> None:
    text = "g (float[n, 1, 3, 3] x) => (float[n, 1, 1, 1] y) { h = Conv (x, kernel) s = Add (h, c) y = Mul (s, c) }"
    kernel, c = normal(1, 1, 3, 3), np.float32(0.3)
    model = infer_shapes(graph_of(text, kernel=kernel, c=c))
    x = normal(5, 1, 3, 3)
    (y,) = outputs_of(float16.halved(model)[1], x)
    wide = x.astype(np.float16).astype(np.float32) * kernel.astype(np.float16).astype(np.float32)[0]
    h = wide.sum(axis=(1, 2, 3), dtype=np.float32).astype(np.float16)
    np.testing.assert_array_equal(y.reshape(-1), ((h + np.float16(c)) * np.float16(c)).astype(np.float32))


def test_graph_without_a_backbone_is_refused() -> None:
    model = infer_shapes(graph_of("g (float[n, 3] x) => (float[n, 3] y) { y = Relu (x) }"))
    with pytest.raises(ConversionError, match="no convolution over both time and frequency"):
        to_float16(model.graph)


def test_unknown_precision(tmp_path: Path, saved_model: Path) -> None:
    with pytest.raises(InputError, match="precision is 'int4', but must be one of fp32, fp16"):
        convert(saved_model, tmp_path / "x.onnx", precision="int4", progress=False)  # type: ignore[arg-type]


def test_weights_shared_with_float32_nodes_stay_there() -> None:
    text = """
    g (float[n, 1, 8, 8] x) => (float[n, 4, 6, 6] y) { s = Mul (x, c) h = Conv (s, kernel) y = Mul (h, c) }
    """
    model = infer_shapes(graph_of(text, kernel=normal(4, 1, 3, 3), c=np.float32(0.3)))
    to_float16(model.graph)
    first, *_, last = [node for node in model.graph if node.op_type == "Mul"]
    assert (first.inputs[1].dtype, last.inputs[1].dtype) == (ir.DataType.FLOAT, ir.DataType.FLOAT16)
