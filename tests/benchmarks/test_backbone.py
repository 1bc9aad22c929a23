"""The backbone cut out of a converted file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from benchmarks.throughput.backbone import cut_backbone
from convert.conversion import convert
from convert.proof import synthetic
from runtime.errors import InputError
from runtime.model.artifact import read_artifact
from runtime.model.heads import Head
from runtime.model.session import Session
from tests.support.small_v2 import write_small_v2

HEADS = {"spectrogram": Head("spectrogram", (5, 3)), "embedding": Head("embedding", (3,))}


def test_backbone_turns_spectrograms_into_embeddings(model: Path) -> None:
    windows = synthetic.windows(5, 3, 160_000)
    spectrograms, expected = Session(model)(windows, ["frontend", "embedding"])
    session = ort.InferenceSession(cut_backbone(model), providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["frontend"]
    assert [value.name for value in session.get_outputs()] == ["embedding"]
    np.testing.assert_allclose(session.run(None, {"frontend": spectrograms})[0], expected, atol=1e-6 * np.ptp(expected))


@pytest.mark.slow
def test_backbone_of_a_file_without_its_spectrogram(saved_model: Path, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "embedding.onnx"
    convert(saved_model, path, outputs=["embedding"], progress=False)
    windows = synthetic.windows(5, 2, 160_000)
    spectrograms, expected = Session(model)(windows, ["frontend", "embedding"])
    session = ort.InferenceSession(cut_backbone(path), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    np.testing.assert_allclose(session.run(None, {given.name: spectrograms})[0], expected, atol=1e-6 * np.ptp(expected))


def test_spectrogram_may_be_a_copy_of_what_the_backbone_reads(tmp_path: Path) -> None:
    path = write_small_v2(tmp_path / "v2.onnx")
    proto = onnx.load(path)
    onnx.helper.set_model_props(proto, replace(read_artifact(path), heads=HEADS).to_metadata())
    nodes = onnx.parser.parse_graph("""
    g (float[batch, 160000] inputs) => (float[batch, 5, 3] spectrogram, float[batch, 3] embedding) {
      few = Slice (inputs, start, end, axis) flat = MatMul (few, to_bands) bands = Reshape (flat, spectral)
      spectrogram = Identity (bands) louder = Exp (bands) embedding = ReduceMean <axes = [1], keepdims = 0> (louder)
    }
    """)
    for field in ("node", "output"):
        del getattr(proto.graph, field)[:]
        getattr(proto.graph, field).extend(getattr(nodes, field))
    onnx.save(proto, path)
    spectrograms, expected = Session(path)(synthetic.windows(5, 2, 160_000), ["spectrogram", "embedding"])
    session = ort.InferenceSession(cut_backbone(path), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"bands": spectrograms})[0], expected, rtol=1e-6)


def test_file_without_an_embedding_is_refused(label_model: Path) -> None:
    with pytest.raises(InputError, match="no output 'embedding'"):
        cut_backbone(label_model)
