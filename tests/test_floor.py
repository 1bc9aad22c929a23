"""The backbone cut out of a converted file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from benchmarks.floor import backbone
from convert import synthetic
from convert.conversion import convert
from runtime.errors import InputError
from runtime.session import Session


def test_backbone_turns_spectrograms_into_embeddings(model: Path) -> None:
    windows = synthetic.windows(5, 3, 160_000)
    spectrograms, expected = Session(model)(windows, ["frontend", "embedding"])
    session = ort.InferenceSession(backbone(model), providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["frontend"]
    assert [value.name for value in session.get_outputs()] == ["embedding"]
    np.testing.assert_allclose(session.run(None, {"frontend": spectrograms})[0], expected, atol=1e-6 * np.ptp(expected))


def test_backbone_of_a_file_without_its_spectrogram(saved_model: Path, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "embedding.onnx"
    convert(saved_model, path, outputs=["embedding"], progress=False)
    windows = synthetic.windows(5, 2, 160_000)
    spectrograms, expected = Session(model)(windows, ["frontend", "embedding"])
    session = ort.InferenceSession(backbone(path), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    np.testing.assert_allclose(session.run(None, {given.name: spectrograms})[0], expected, atol=1e-6 * np.ptp(expected))


def test_file_without_an_embedding_is_refused(saved_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "label.onnx"
    convert(saved_model, path, outputs=["label"], progress=False)
    with pytest.raises(InputError, match="no output 'embedding'"):
        backbone(path)
