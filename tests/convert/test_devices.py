"""Graphs for a GPU: equal to those for a CPU, in the form that ONNX Runtime's CUDA provider is fast with."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest

from convert.cli import main
from convert.conversion import convert
from convert.proof import parity, synthetic
from runtime import run_soundscapes
from runtime.errors import InputError
from runtime.model.artifact import read_artifact
from runtime.model.session import Session
from tests.support.sharing import Shared


@pytest.fixture(scope="module")
def cuda_model(shared: Shared, saved_model: Path) -> Path:
    return shared.made("perch.cuda.onnx", lambda path: convert(saved_model, path, device="cuda", progress=False))


@pytest.fixture(scope="module")
def cuda_v2_model(shared: Shared, v2: Path) -> Path:
    return shared.made("v2.cuda.onnx", lambda path: convert(v2, path, device="cuda", progress=False))


@pytest.fixture(scope="module")
def pairs(model: Path, cuda_model: Path, v2_model: Path, cuda_v2_model: Path) -> list[tuple[Path, Path]]:
    """The files of a v1 and of a v2, each for a CPU and for a GPU."""
    return [(model, cuda_model), (v2_model, cuda_v2_model)]


def test_files_for_both_devices_give_the_same(pairs: list[tuple[Path, Path]]) -> None:
    windows = synthetic.windows(31, 5, 160_000)
    for paths in pairs:
        cpu, cuda = (Session(path) for path in paths)
        heads = list(cpu.artifact.heads)
        for name, expected, actual in zip(heads, cpu(windows, heads), cuda(windows, heads), strict=True):
            assert parity.compare(expected, actual).failures(parity.tolerance(name, native=True)) == [], name


def test_file_says_what_it_is_made_for(pairs: list[tuple[Path, Path]]) -> None:
    for paths in pairs:
        assert [read_artifact(path).options["device"] for path in paths] == ["cpu", "cuda"]


def test_no_file_has_control_flow(pairs: list[tuple[Path, Path]]) -> None:
    for path in (path for pair in pairs for path in pair):
        attributes = [attribute for node in onnx.load(path).graph.node for attribute in node.attribute]
        assert not [attribute.name for attribute in attributes if attribute.HasField("g") or attribute.graphs]


def test_every_product_for_a_gpu_is_one_for_the_whole_batch(pairs: list[tuple[Path, Path]]) -> None:
    """Data on the left and a matrix of weights on the right."""
    for _, path in pairs:
        graph = onnx.load(path).graph
        ranks = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
        products = [node for node in graph.node if node.op_type == "MatMul"]
        assert len(products) >= 4
        assert {(node.input[0] in ranks, ranks.get(node.input[1])) for node in products} == {(False, 2)}


def test_no_kernel_for_a_gpu_waits_for_the_cpu(pairs: list[tuple[Path, Path]]) -> None:
    """Values that are put together or taken apart have equal sizes; no reduction is left to cuDNN."""
    for _, path in pairs:
        proto = onnx.shape_inference.infer_shapes(onnx.load(path))
        shapes = {
            value.name: tuple(size.dim_value or size.dim_param for size in value.type.tensor_type.shape.dim)
            for value in proto.graph.value_info
        }
        kinds = Counter(node.op_type for node in proto.graph.node)
        assert not kinds.keys() & {"GlobalAveragePool", "ReduceMax", "Resize", "Shape"} and kinds["Concat"] == 1
        for node in proto.graph.node:
            if node.op_type in ("Concat", "Split"):
                parts = node.input if node.op_type == "Concat" else node.output
                assert len({shapes[name] for name in parts}) == 1 and len(parts) <= 32


def test_heads_are_skipped_but_not_deferred(cuda_model: Path, cuda_v2_model: Path) -> None:
    for path, heads in ((cuda_model, {"label", "genus"}), (cuda_v2_model, {"label"})):
        session = Session(path)
        assert set(session.skippable_heads) == heads and session.deferrable_heads == ()


def test_a_run_on_a_cpu_takes_the_file(cuda_model: Path, model: Path, recordings: Path) -> None:
    names = ("label", "embedding")
    expected, actual = (
        run_soundscapes(recordings, path, workers=1, device="cpu", outputs=names, progress=False)
        for path in (model, cuda_model)
    )
    assert actual.row_ids == expected.row_ids
    for name in names:
        assert np.abs(actual[name] - expected[name]).max() <= 1e-3 * np.ptp(expected[name])


def test_int8_is_for_cpus(tmp_path: Path, v2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(v2), "-o", str(tmp_path / "x.onnx"), "--head", "int8", "--device", "cuda"]
    assert main(arguments) == 2
    assert "head 'int8' is for CPUs; convert for device 'cuda' without it" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_unknown_device(tmp_path: Path, v2: Path) -> None:
    with pytest.raises(InputError, match="device is 'tpu', but must be one of cpu, cuda"):
        convert(v2, tmp_path / "x.onnx", device="tpu", progress=False)  # type: ignore[arg-type]
