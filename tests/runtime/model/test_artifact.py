import json
import os
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from runtime.errors import ArtifactError, InputError
from runtime.model.artifact import Artifact, read_artifact
from runtime.model.heads import ClassList, Head
from runtime.model.own_heads import OwnHead
from runtime.model.session import Session
from tests.support.broken import edited

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
MINE = Head(
    "mine", (2,), ("rain", "Pipit, tree"), "own", own=OwnHead((0.75, None), "peak", {"recordings": 3, "hop_s": 2.5})
)
TAUGHT = replace(ARTIFACT, heads={**ARTIFACT.heads, "mine": MINE}, converted_sha256="c" * 64)


def test_metadata_keeps_everything() -> None:
    assert Artifact.from_metadata(ARTIFACT.to_metadata(), "x.onnx") == ARTIFACT
    assert ARTIFACT.to_metadata()["classes.label"] == "ebird2021\namecro\nno_ebird_code"
    assert ARTIFACT.to_metadata()["classes.genus.ebird2021"] == "ebird2021\ncorvus\nno_ebird_code\nno_ebird_code"
    assert ARTIFACT.to_metadata()["dropped_classes.genus.ebird2021"] == "cardin"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("perch_onnx_schema", "2", "schema '2'"),
        ("heads", '{"label": [3]}', "wrong description"),
        ("classes.label.other", "other\na\nb\nc", "3 classes of 'other' for an output 'label' of 2"),
        ("classes.label.other", "another\na\nb", "headers are not their names"),
        ("classes.label.ebird2021", "ebird2021\na\nb", "headers are not their names"),
        ("heads", "{}", "no heads"),
        ("heads", "[[1]]", "wrong description"),
        ("sample_rate", "-1", "impossible"),
        ("sample_rate", "fast", "wrong description"),
        ("batch", "2", "wrong description"),
        ("tools", "nonsense", "wrong description"),
        ("tools", "[]", "no JSON object"),
        ("options", "[" * 10**5, "wrong description"),
        ("parity", '{"a":' * 10**5, "wrong description"),
        ("heads", '{"label": [2], "label": [2]}', "label twice"),
        *(
            ("heads", f'{{"label": {shape}}}', "is no valid shape of the output 'label'")
            for shape in (
                "[Infinity]",
                "[1e999]",
                "[0]",
                "[-2]",
                "[true]",
                "[2.0]",
                '["2"]',
                "[]",
                "2",
                "[NaN]",
                "[[2]]",
            )
        ),
        ("heads", f'{{"label": [{"9" * 400}]}}', "is no valid shape"),
        ("heads", f'{{"label": [{"9" * 5000}]}}', "wrong description"),
        ("heads", '{"label": [65536, 65536]}', "the output 'label' has 4294967296 numbers"),
        *(
            (key, value, "wrong description")
            for key in ("sample_rate", "window_samples")
            for value in ("Infinity", "1e999", "0", "9" * 400, "9" * 5000, "NaN", " 32000", "32_000", "\u0663", "true")
        ),
    ],
)
def test_tampered_metadata_is_refused(key: str, value: str, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        Artifact.from_metadata({**ARTIFACT.to_metadata(), key: value}, "x.onnx")


def test_a_head_of_ones_own_is_described_beside_the_file_it_was_added_to() -> None:
    entries = TAUGHT.to_metadata()
    assert Artifact.from_metadata(entries, "x.onnx") == TAUGHT
    assert json.loads(entries["own_heads"])["mine"]["thresholds"] == [0.75, None]
    assert (TAUGHT.base_sha256, entries["base_sha256"]) == ("c" * 64, "c" * 64)
    assert MINE.own is not None and MINE.own.has_thresholds and not OwnHead((None,), None, {}).has_thresholds
    assert ARTIFACT.base_sha256 == ARTIFACT.artifact_sha256
    assert not {"own_heads", "base_sha256"} & ARTIFACT.to_metadata().keys()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"thresholds": [0.5]}, "not one threshold for each of its 2 classes"),
        ({"thresholds": 0.5}, "not one threshold for each of its 2 classes"),
        *(
            ({"thresholds": [0.5, wrong]}, "no number from 0 to 1")
            for wrong in (1.01, -0.1, True, "0.5", float("nan"), float("inf"), [0.5])
        ),
        ({"normalize": 1}, "does not say what it was taught from"),
        ({"taught": "much"}, "does not say what it was taught from"),
    ],
)
def test_an_own_head_that_is_described_wrongly_is_refused(changes: dict[str, object], message: str) -> None:
    own = {"mine": {"thresholds": [0.5, None], "normalize": None, "taught": {}} | changes}
    with pytest.raises(ArtifactError, match=message):
        Artifact.from_metadata({**TAUGHT.to_metadata(), "own_heads": json.dumps(own)}, "x.onnx")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"own_heads": "[]"}, "no JSON object"),
        ({"own_heads": '{"mine": {}}'}, "wrong description"),
        ({"own_heads": '{"other": {"thresholds": [], "normalize": null, "taught": {}}}'}, "wrong description"),
        ({"own_heads": '{"label": {"thresholds": [null, null], "normalize": null, "taught": {}}}'}, "namespace 'own'"),
        ({"own_heads": "{" + " " * 2**22 + "}"}, "too great length"),
        ({"base_sha256": "c" * 63}, "without base_sha256"),
        ({"classes.mine": "own"}, "0 classes"),
    ],
)
def test_own_heads_that_do_not_fit_the_file_are_refused(entries: dict[str, str], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        Artifact.from_metadata({**TAUGHT.to_metadata(), **entries}, "x.onnx")


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


def test_a_missing_embedding_can_be_kept_by_a_conversion() -> None:
    bare = replace(ARTIFACT, heads={"label": ARTIFACT.heads["label"]})
    kept = r"no output 'embedding'; it has label; a conversion with `--outputs label,embedding` keeps it$"
    with pytest.raises(InputError, match=kept):
        bare.head("embedding")
    with pytest.raises(InputError, match=r"no output 'lable'; it has label$"):
        bare.head("lable")


def test_files_that_are_not_ours(tmp_path: Path, model: Path) -> None:
    with pytest.raises(ArtifactError, match="there is no model at"):
        read_artifact(tmp_path / "missing.onnx")
    corrupt = tmp_path / "corrupt.onnx"
    corrupt.write_bytes(model.read_bytes()[:100_000])
    with pytest.raises(ArtifactError, match=r"cannot be loaded as ONNX .*; compare its size .* or make one with"):
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
    with pytest.raises(ArtifactError, match="does not match its graph"):
        Session(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 2**20,
        bytes(2**20),
        b"\x72\x00" * 2**20,  # more entries than any file has
        b"\x08\x01" * 2**20,
        b"\x02\x00",  # field 0
        b"\x72\x80\x80\x40" + b"\x08\x01" * 2**19,  # an entry of half a million fields
        b"\x72" + b"\x80" * 10 + b"\x01",
        b"\x72\x7f",
        b"\x0b",
    ],
)
def test_bytes_that_are_no_onnx_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bytes.onnx"
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="cannot be loaded as ONNX"):
        read_artifact(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")  # which would be waited for
    for path in (tmp_path, tmp_path / "pipe.onnx"):
        with pytest.raises(ArtifactError, match="it is no file"):
            read_artifact(path)
    with pytest.raises(ArtifactError, match="there is no model at"):
        read_artifact("a\0b.onnx")
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(ArtifactError, match=r"is a SavedModel, .*: `perch-convert \S* -o perch.onnx`$"):
        read_artifact(tmp_path)


def test_entries_that_are_there_twice_are_refused(model: Path, tmp_path: Path) -> None:
    twice = edited(model, tmp_path / "twice.onnx", lambda it: it.metadata_props.add(key="batch", value="1"))
    with pytest.raises(ArtifactError, match=r"holds a wrong description of itself \(batch twice\)"):
        read_artifact(twice)


def test_a_name_that_is_no_utf8_is_loaded(model: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"perch \xff.onnx")
    path.write_bytes(model.read_bytes())
    assert Session(path).artifact == read_artifact(model)
