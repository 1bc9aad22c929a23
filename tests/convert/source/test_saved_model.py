"""What is found in a SavedModel, and which class lists are refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tensorflow as tf

from convert.conversion import convert
from convert.errors import ConversionError
from convert.source.saved_model import inspect, without_xla


def test_saved_model_is_inspected(saved_model: Path) -> None:
    found = inspect(saved_model)
    assert [output.name for output in found.outputs] == ["embedding", "frontend", "genus", "label"]
    assert found.free_batch
    lines = (saved_model / "assets" / "label.csv").read_text().splitlines()
    (label,) = found.class_lists["label"]
    assert [label.namespace, *label.names] == lines
    assert found.stablehlo is None and found.family == "perch_v1"
    assert len(found.fingerprint) == 64


def test_xla_attributes_are_removed_from_a_copy(saved_model: Path) -> None:
    with without_xla(saved_model) as copy:
        assert b"_XlaMustCompile" not in (copy / "saved_model.pb").read_bytes()
        assert tf.saved_model.load(str(copy)).signatures["serving_default"] is not None
    assert b"_XlaMustCompile" in (saved_model / "saved_model.pb").read_bytes()
    assert not copy.exists()


def test_class_lists_that_do_not_fit_are_refused(tmp_path: Path, saved_model: Path) -> None:
    folder = Path(shutil.copytree(saved_model, tmp_path / "saved_model"))
    (folder / "assets" / "._label.csv").write_bytes(b"\xff\x00")  # macOS leaves such shadows
    (folder / "assets" / ".checkpoints").mkdir()
    assert set(inspect(folder).class_lists) == {"label", "genus"}
    with (folder / "assets" / "label.csv").open("a") as file:
        file.write("onemore1\n")
    with pytest.raises(ConversionError, match=r"label\.csv names 41 classes but the output 'label' has 40"):
        convert(folder, tmp_path / "x.onnx", progress=False)
    (folder / "assets" / "label.csv").unlink()
    with pytest.raises(ConversionError, match=r"has no assets/label\.csv"):
        inspect(folder)
