from pathlib import Path

import onnx
import pytest

from runtime.artifact import Artifact, Head, read_artifact
from runtime.errors import ArtifactError, InputError
from runtime.session import Session

ARTIFACT = Artifact(
    family="perch_v1",
    sample_rate=32_000,
    window_samples=160_000,
    free_batch=False,
    heads={
        "label": Head("label", (2,), ("amecro", "no_ebird_code"), "ebird2021", ("houspa", "norcar")),
        "frontend": Head("frontend", (500, 160)),
    },
    saved_model_sha256="a" * 64,
    artifact_sha256="b" * 64,
    tools={"onnx": "1"},
    options={"outputs": ["label"]},
    parity={"heads": {"label": {"error": 1e-5}}},
)


def test_metadata_keeps_everything() -> None:
    assert Artifact.from_metadata(ARTIFACT.to_metadata(), "x.onnx") == ARTIFACT
    assert ARTIFACT.to_metadata()["classes.label"] == "ebird2021\namecro\nno_ebird_code"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("perch_onnx_schema", "2", "schema '2'"),
        ("heads", '{"label": [3]}', "wrongly"),
        ("heads", "{}", "no heads"),
        ("heads", "[[1]]", "wrongly"),
        ("sample_rate", "-1", "impossible"),
        ("sample_rate", "fast", "wrongly"),
        ("batch", "2", "wrongly"),
        ("tools", "nonsense", "wrongly"),
    ],
)
def test_tampered_metadata_is_refused(key: str, value: str, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        Artifact.from_metadata({**ARTIFACT.to_metadata(), key: value}, "x.onnx")


def test_a_missing_head_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match="no output 'embedding'; it has label, frontend"):
        ARTIFACT.head("embedding")


def test_files_that_are_not_ours(tmp_path: Path, model: Path) -> None:
    with pytest.raises(ArtifactError, match="there is no model at"):
        read_artifact(tmp_path / "missing.onnx")
    corrupt = tmp_path / "corrupt.onnx"
    corrupt.write_bytes(model.read_bytes()[:100_000])
    with pytest.raises(ArtifactError, match="cannot be loaded as ONNX"):
        read_artifact(corrupt)
    proto = onnx.load(model)
    del proto.metadata_props[:]
    foreign = tmp_path / "foreign.onnx"
    onnx.save(proto, foreign)
    with pytest.raises(ArtifactError, match="not made by perch-convert"):
        Session(foreign)


def test_a_description_of_another_graph_is_refused(tmp_path: Path, model: Path) -> None:
    proto = onnx.load(model)
    onnx.helper.set_model_props(proto, ARTIFACT.to_metadata())
    path = tmp_path / "swapped.onnx"
    onnx.save(proto, path)
    with pytest.raises(ArtifactError, match="another graph"):
        Session(path)
