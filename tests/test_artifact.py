from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from runtime.artifact import Artifact, read_artifact
from runtime.errors import ArtifactError, InputError
from runtime.heads import ClassList, Head
from runtime.session import Session

ARTIFACT = Artifact(
    family="perch_v1",
    sample_rate=32_000,
    window_samples=160_000,
    free_batch=False,
    heads={
        "label": Head("label", (2,), ("amecro", "no_ebird_code"), "ebird2021", ("houspa", "norcar")),
        "genus": Head(
            "genus",
            (3,),
            ("Corvus", "Passer", "Speech"),
            "inat2024_fsd50k",
            ("Cardinalis",),
            (
                ClassList("ebird2021", ("corvus", "no_ebird_code", "no_ebird_code"), ("cardin",)),
                ClassList("x.y", ("a", "b", "c")),
            ),
        ),
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
    assert ARTIFACT.to_metadata()["classes.genus.ebird2021"] == "ebird2021\ncorvus\nno_ebird_code\nno_ebird_code"
    assert ARTIFACT.to_metadata()["dropped_classes.genus.ebird2021"] == "cardin"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("perch_onnx_schema", "2", "schema '2'"),
        ("heads", '{"label": [3]}', "wrongly"),
        ("classes.label.other", "other\na\nb\nc", "3 classes of 'other' for an output 'label' of 2"),
        ("classes.label.other", "another\na\nb", "headers are not their names"),
        ("classes.label.ebird2021", "ebird2021\na\nb", "headers are not their names"),
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
    with pytest.raises(InputError, match="no output 'embedding'; it has label, genus, frontend"):
        ARTIFACT.head("embedding")


def test_columns_are_named_in_any_of_a_heads_namespaces() -> None:
    head = ARTIFACT.heads["genus"]
    assert list(head.class_lists) == ["inat2024_fsd50k", "ebird2021", "x.y"]
    assert head.names(None) == head.names("inat2024_fsd50k") == head.names("unknown") == head.classes
    assert head.names("ebird2021") == ("corvus", "no_ebird_code", "no_ebird_code")
    assert ARTIFACT.heads["frontend"].names("ebird2021") == ()


def test_slicing_a_head_drops_classes_from_all_its_lists() -> None:
    codes = ClassList("codes", ("a", "no_ebird_code", "b", "no_ebird_code"))
    sliced = Head("label", (4,), ("A", "Frog", "B", "Bark"), "names", (), (codes,)).keeping([1, 2])
    assert (sliced.shape, sliced.classes, sliced.dropped) == ((2,), ("Frog", "B"), ("A", "Bark"))
    assert sliced.other_lists == (ClassList("codes", ("no_ebird_code", "b"), ("a",)),)


def test_parity_that_was_not_measured_is_told_in_one_line() -> None:
    unmeasured = replace(ARTIFACT, parity={"measured": False, "reason": "it runs on\nCUDA alone"})
    read = Artifact.from_metadata(unmeasured.to_metadata(), "x.onnx")
    assert read.parity_warning == "parity with TensorFlow was not measured (it runs on CUDA alone)"
    assert ARTIFACT.parity_warning is None


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
