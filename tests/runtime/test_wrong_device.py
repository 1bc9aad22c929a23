"""Runs on a device that computes wrongly. A file that says other values of the golden window stands in for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime import DeviceError, load_model
from runtime.cli import main
from runtime.workers.stages import Stages
from tests.support.broken import misjudged
from tests.support.runs import run


@pytest.fixture(scope="module")
def wrong(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of which every device computes `label` wrongly."""
    return misjudged(model, tmp_path_factory.mktemp("wrong") / "wrong.onnx")


@pytest.mark.parametrize("engine", [None, Stages], ids=["workers", "decoders and scorer"])
def test_a_run_is_refused_before_it_starts(wrong: Path, recordings: Path, engine: type[Stages] | None) -> None:
    with pytest.raises(DeviceError, match=r"^cpu computes wrongly .*'label' is off by"):
        run(recordings / "c.ogg", wrong, engine, outputs=("label",), workers=1, batch_size=3)
    assert (
        run(recordings / "c.ogg", wrong, engine, outputs=("embedding",), workers=1, batch_size=3).count("scored") == 2
    )


def test_one_of_several_models_is_refused(wrong: Path, model: Path, recordings: Path) -> None:
    with pytest.raises(DeviceError, match="'label' is off by"):
        run(recordings / "c.ogg", {"a": model, "b": wrong}, Stages, outputs=("label",), workers=1)  # type: ignore[arg-type]


def test_it_is_refused_when_it_is_loaded(wrong: Path) -> None:
    with pytest.raises(DeviceError, match="'label' is off by"):
        load_model(wrong, "cpu")


def test_the_command_says_so_in_one_line(
    wrong: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.csv"
    assert main([str(recordings / "c.ogg"), "--model", str(wrong), "--workers", "1", "-o", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("perch-run: cpu computes wrongly with onnxruntime ")
    assert list(tmp_path.iterdir()) == []
