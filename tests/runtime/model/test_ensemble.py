"""Several models as one: names, what they are together, calls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtime import ArtifactError, InputError
from runtime.model.artifact import read_artifact
from runtime.model.ensemble import asked_outputs, combined, named_models, open_models, read_true_models
from runtime.model.session import Session
from runtime.request.values import parse_model
from tests.support.small_v2 import HEADS, write_small_v2

OUTPUTS = [head.name for head in HEADS]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {name: write_small_v2(folder / f"{name}.onnx", seed=seed) for seed, name in enumerate("ab")}


def test_models_are_called_as_their_files_or_as_they_are_named() -> None:
    assert named_models("x/perch.v1.onnx") == {"perch.v1": Path("x/perch.v1.onnx")}
    assert named_models(["a.onnx", Path("x/b.onnx")]) == {"a": Path("a.onnx"), "b": Path("x/b.onnx")}
    assert named_models({"one": "a.onnx", "two": "a.onnx"}) == {"one": Path("a.onnx"), "two": Path("a.onnx")}


def test_a_command_line_names_a_model_before_an_equals_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rate=32.onnx").touch()
    assert parse_model("v1=x/perch.onnx") == ("v1", Path("x/perch.onnx"))
    assert parse_model("x/perch.onnx") == ("perch", Path("x/perch.onnx"))
    assert parse_model("x/rate=32/perch.onnx") == ("perch", Path("x/rate=32/perch.onnx"))
    assert parse_model("rate=32.onnx") == ("rate=32", Path("rate=32.onnx"))


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([], "no model is named"),
        (["v1/perch.onnx", "v2/perch.onnx"], "--model perch1=v1/perch.onnx --model perch2=v2/perch.onnx"),
        (["a.onnx", "b,c.onnx"], "'b,c' cannot be the name of the model b,c.onnx"),
        ({"a": "a.onnx", "": "b.onnx"}, "'' cannot be the name"),
        ({"a": "a.onnx", 3: "b.onnx"}, "3 cannot be the name"),
    ],
)
def test_names_that_do_not_tell_models_apart_are_refused(models: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        named_models(models)  # type: ignore[arg-type]


def test_together_they_have_the_outputs_of_all(files: dict[str, Path]) -> None:
    both = read_true_models(files)
    assert list(both.heads) == [f"{name}.{output}" for name in "ab" for output in OUTPUTS]
    assert both.heads["b.label"].class_lists == HEADS[0].class_lists
    assert asked_outputs(both, ["label", "b.embedding", "b.label"]) == ("a.label", "b.label", "b.embedding")
    assert asked_outputs(read_artifact(files["a"]), ["label"]) == ("label",)
    with pytest.raises(InputError, match=r"no output 'genus'; it has a\.label"):
        asked_outputs(both, ["genus"])


def test_their_id_depends_on_each_file_and_name(files: dict[str, Path]) -> None:
    a, b = map(read_artifact, files.values())
    together = [{"a": a, "b": b}, {"b": b, "a": a}, {"a": a, "c": b}, {"a": a, "b": a}]
    assert len({combined(each).artifact_sha256 for each in together}) == 4
    assert combined({"a": a}) is a


def test_other_windows_and_equal_outputs_are_refused(files: dict[str, Path]) -> None:
    a, b = map(read_artifact, files.values())
    other = replace(b, sample_rate=48_000, window_samples=144_000)
    with pytest.raises(ArtifactError, match="a takes 5 s at 32,000 Hz and b takes 3 s at 48,000 Hz; run them apart"):
        combined({"a": a, "b": other})
    dotted = replace(b, heads={"b.label": replace(HEADS[0], name="b.label")})
    with pytest.raises(ArtifactError, match=r"an output a\.b\.label"):
        combined({"a": dotted, "a.b": b})


def test_what_files_say_of_their_proof_names_the_model(files: dict[str, Path]) -> None:
    a, b = map(read_artifact, files.values())
    unproven = replace(b, parity={"measured": False, "reason": "no GPU"})
    assert combined({"a": a, "b": unproven}).parity_warning == f"b: {unproven.parity_warning}"
    shaky = replace(b, parity={"rounding": {"ill_conditioned": ["label"]}})
    assert combined({"a": a, "b": b}).ill_conditioned is None
    assert combined({"a": a, "b": shaky}).ill_conditioned == "ill-conditioned: of b, 'label' (errors unknown)"


def test_a_call_gives_what_each_model_gives(files: dict[str, Path]) -> None:
    windows = np.random.default_rng(0).standard_normal((5, 160_000)).astype(np.float32)
    asked = ["b.label", "a.embedding", "b.embedding"]
    found = open_models(files).run(windows, asked, 2)
    assert list(found) == asked
    a, b = (Session(path).run(windows, ["label", "embedding"], 2) for path in files.values())
    np.testing.assert_array_equal(found["a.embedding"], a["embedding"])
    np.testing.assert_array_equal(found["b.embedding"], b["embedding"])
    np.testing.assert_array_equal(found["b.label"], b["label"])
