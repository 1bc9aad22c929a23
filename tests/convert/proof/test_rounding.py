"""Rounding is distinguished from errors by how far TensorFlow differs from itself."""

from __future__ import annotations

import contextlib
import io
import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from benchmarks import cli as bench
from convert.cli import main
from convert.conversion import convert
from convert.errors import ParityError
from convert.proof import parity, rounding
from convert.proof.audio import ProofAudio
from convert.proof.expected import Expected, measure
from convert.proof.parity import HeadParity
from convert.proof.rounding import MEAN_TIMES, MOST, TIMES, moved, widened
from convert.proof.synthetic import soundscape
from convert.source.saved_model import inspect
from runtime.doctor import described
from runtime.model.artifact import Artifact, read_artifact
from runtime.model.session import Session
from runtime.model.tolerance import FLOAT32
from runtime.run import run_soundscapes
from tests.support.broken import edited, move_line, scale, swap_columns
from tests.support.ill_conditioned import write_ill_conditioned
from tests.support.recordings import write

GAIN = 1e5
WEIGHTS = ("MatMul_1.1", "MatMul_9.1", "Add_10.1")


@pytest.fixture(scope="module")
def ill(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ill_conditioned(tmp_path_factory.mktemp("ill") / "saved_model", GAIN)


@pytest.fixture(scope="module")
def printed(ill: Path) -> str:
    """What perch-convert prints about it."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main([str(ill), "-o", str(ill.parent / "perch.onnx")]) == 0
    return out.getvalue()


@pytest.fixture(scope="module")
def ill_model(ill: Path, printed: str) -> Path:
    return ill.parent / "perch.onnx"


def test_an_ill_conditioned_model_is_converted_and_reported(printed: str, ill_model: Path, tmp_path: Path) -> None:
    artifact = read_artifact(ill_model)
    told = artifact.parity["rounding"]
    assert "embedding" in told["ill_conditioned"] and told["times"] == asdict(TIMES)
    for name in told["ill_conditioned"]:
        off, own = artifact.parity["heads"][name], told["heads"][name]["itself"]
        assert parity.HeadParity(**off).failures(FLOAT32), "or this tests nothing"
        assert 0.3 < off["mean_error"] / own["mean_error"] < MEAN_TIMES
        exact = told["heads"][name]["float64"]
        assert exact["onnx"]["windows"] == 4
        assert 0.3 < exact["onnx"]["mean_error"] / exact["tensorflow"]["mean_error"] < MEAN_TIMES
        figures = [f"{value['error']:.1e} (mean {value['mean_error']:.1e}" for value in (off, own)]
        (line,) = (line for line in printed.splitlines() if line.startswith(f"{name} is ill-conditioned"))
        assert all(figure in line for figure in figures)
        short = f"'{name}' differs from TensorFlow by {off['error']:.1e} of its range, where rounding alone moves "
        short += f"TensorFlow by {own['error']:.1e}"
        assert artifact.ill_conditioned is not None and short in artifact.ill_conditioned
    assert "from float64 on 4 windows: TensorFlow differs by " in printed
    assert artifact.ill_conditioned in described(artifact)
    write(tmp_path / "a.wav", soundscape(1, 6))
    summary = run_soundscapes(tmp_path / "a.wav", ill_model, workers=1, progress=False).summary()
    assert f"the model is {artifact.ill_conditioned}" in summary.splitlines()


def test_an_ill_conditioned_model_of_stablehlo(tmp_path: Path) -> None:
    folder = write_ill_conditioned(tmp_path / "saved_model", GAIN, exported=True)
    told = convert(folder, tmp_path / "perch.onnx", progress=False).parity["rounding"]
    assert "embedding" in told["ill_conditioned"]
    exact = told["heads"]["embedding"]["float64"]
    assert 0.3 < exact["onnx"]["mean_error"] / exact["tensorflow"]["mean_error"] < MEAN_TIMES


def test_other_models_are_judged_as_before(model: Path) -> None:
    artifact = read_artifact(model)
    assert "rounding" not in artifact.parity and artifact.ill_conditioned is None


def test_more_than_rounding_can_excuse_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_ill_conditioned(tmp_path / "saved_model", 30 * GAIN)
    assert main([str(folder), "-o", str(tmp_path / "perch.onnx"), "--quiet"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "embedding: error" in error
    assert "that is more than rounding can excuse, which is 2e-02 and 1 - cosine 1e-04" in error
    assert [path.name for path in tmp_path.iterdir()] == ["saved_model"]


def broken(how: str) -> Callable[[onnx.ModelProto], object]:
    if how == "swapped columns":
        return lambda proto: swap_columns(proto, "label", 3, 7)
    return lambda proto: scale(proto, how)


@pytest.fixture(scope="module")
def judged(ill: Path) -> Callable[[Path], rounding.Rounding]:
    """Judges a file as a conversion does."""
    expected = Expected.from_tensorflow(inspect(ill), ProofAudio(None).exactly(12))

    def judge(path: Path) -> rounding.Rounding:
        session = Session(path)
        return rounding.judge(measure(session, expected), expected, session)

    return judge


def test_a_correct_file_is_accepted(ill_model: Path, judged: Callable[[Path], rounding.Rounding]) -> None:
    assert "embedding" in judged(ill_model).ill_conditioned


@pytest.mark.parametrize("how", [*WEIGHTS, "swapped columns"])
def test_a_changed_file_is_refused(
    tmp_path: Path, ill_model: Path, judged: Callable[[Path], rounding.Rounding], how: str
) -> None:
    with pytest.raises(ParityError, match=r"label: error .* more than rounding (explains|can excuse)"):
        judged(edited(ill_model, tmp_path / "broken.onnx", broken(how)))


def test_perch_bench_judges_as_conversion_did(tmp_path: Path, ill: Path, ill_model: Path) -> None:
    files = [
        edited(ill_model, tmp_path / f"{i}.onnx", broken(how)) for i, how in enumerate((*WEIGHTS, "swapped columns"))
    ]
    files.append(edited(ill_model, tmp_path / "moved.onnx", lambda it: move_line(it, "classes.label", 5, 2)))
    figures = tmp_path / "figures.json"
    with contextlib.redirect_stdout(io.StringIO()):
        code = bench.main(["parity", *map(str, [ill, ill_model, *files]), "--windows", "24", "--json", str(figures)])
    right, *wrong = json.loads(figures.read_text())["files"]
    assert right["passed"], right["findings"]
    assert [each["file"] for each in wrong if each["passed"]] == [] and code == 1


def test_each_sample_moves_to_the_next_float() -> None:
    windows = np.array([[0.25, -1.0, 0.0, 1e-3, 0.7] * 20], np.float32)
    found = moved(windows, 0)
    assert found.dtype == np.float32
    bits = found.view(np.int32).astype(np.int64) - windows.view(np.int32)
    assert set(np.abs(bits[windows != 0]).tolist()) == {1} and set(bits[windows != 0].tolist()) == {-1, 1}
    assert (found[windows == 0] == 0).all()


def test_nan_excuses_nothing() -> None:
    found = widened(FLOAT32, math.nan, math.nan, math.nan)
    assert (found.error, found.cosine_distance) == (FLOAT32.error, FLOAT32.cosine_distance)
    right = HeadParity(12, 1.0, 1e-5, 1e-6, 1e-9, 12, 0.3)
    assert replace(right, error=math.nan).failures(found)
    assert widened(FLOAT32, 1.0, 1.0, 1.0).error == MOST.error


@pytest.mark.parametrize(
    "told",
    [3, {}, {"ill_conditioned": 3}, {"ill_conditioned": ["other"]}, {"ill_conditioned": ["label", {}], "heads": []}],
)
def test_metadata_about_rounding_may_make_no_sense(model: Path, told: Any) -> None:
    artifact = read_artifact(model)
    odd: Artifact = replace(artifact, parity={**artifact.parity, "rounding": told})
    assert odd.ill_conditioned in (None, "ill-conditioned: 'label' (errors unknown)")
    assert described(odd)
