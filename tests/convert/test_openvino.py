"""Files in another runtime than the one they are proven in: OpenVINO gives the same outputs for any batch."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
import pytest

from convert.passes.heads.tiling import tile_prototypes
from convert.passes.pipeline import clean, infer_shapes
from convert.proof.parity import compare, tolerance
from convert.proof.synthetic import windows
from runtime.model.session import Session

openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed")


def assert_same_in_openvino(path: Path, expected: Session) -> None:
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for size in (1, 3):
        batch = windows(7, size, 160_000)
        computed = compiled({"inputs": batch})
        for name, values in zip(expected.artifact.heads, expected(batch, list(expected.artifact.heads)), strict=True):
            assert compare(values, computed[name]).failures(tolerance(name, native=True)) == [], (name, size)


def test_v1(model: Path) -> None:
    assert_same_in_openvino(model, Session(model))


def test_v2(v2_model: Path) -> None:
    assert_same_in_openvino(v2_model, Session(v2_model))


def test_v2_with_its_head_in_tiles(v2_model: Path, tmp_path: Path) -> None:
    tiled = infer_shapes(ir.load(v2_model))
    tile_prototypes(tiled.graph, 2**12)
    clean(tiled)
    assert sum(node.op_type == "ReduceMax" for node in tiled.graph) == 30  # two for each of 15 tiles
    ir.save(infer_shapes(tiled), tmp_path / "tiled.onnx")
    assert_same_in_openvino(tmp_path / "tiled.onnx", Session(v2_model))
