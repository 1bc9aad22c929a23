"""Heads of one's own in a converted file: what is added, what stays, what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from convert.conversion import convert
from convert.proof.synthetic import soundscape
from runtime.errors import ArtifactError, DeviceError, InputError, OutputError
from runtime.explore.own_head import TrainedHead, add_head
from runtime.loaded import load_model
from runtime.model.artifact import read_artifact, read_entries
from runtime.model.golden import check, golden_window, tolerance
from runtime.model.heads import NO_CLASS
from runtime.model.identity import read_true_artifact
from runtime.model.own_heads import OwnHead
from runtime.model.session import Session
from tests.support.broken import edited, misjudged
from tests.support.own_heads import CLASSES, THRESHOLDS, trained, write_taught
from tests.support.small_v2 import write_small_v2


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_v2(tmp_path_factory.mktemp("small") / "perch.onnx")


def windows(count: int) -> NDArray[np.float32]:
    return np.stack([soundscape(seed, 5) for seed in range(count)]).astype(np.float32)


def plainly(model: Path, given: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """All outputs, as ONNX Runtime gives them without this project."""
    session = ort.InferenceSession(str(model))
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"inputs": given}), strict=True))


def one_window(model: Path, target: Path) -> Path:
    """A copy of a file that takes one window a call, as some SavedModels make them."""

    def edit(proto: onnx.ModelProto) -> None:
        for value in (*proto.graph.input, *proto.graph.output):
            value.type.tensor_type.shape.dim[0].dim_value = 1

    return edited(model, target, edit, {"batch": "1"})


def check_added(model: Path, target: Path, count: int = 3) -> None:
    """The file holds what the old one held, byte for byte, and a head that gives what its weights say."""
    head = trained(model)
    artifact = add_head(model, target, "mine", head)
    old, new = onnx.load(model), onnx.load(target)
    onnx.checker.check_model(new, full_check=True)
    for before, after in ((old.graph.node, new.graph.node), (old.graph.initializer, new.graph.initializer)):
        assert [each.SerializeToString() for each in before] == [
            each.SerializeToString() for each in after[: len(before)]
        ]
    batch = windows(count)
    pieces = [batch] if artifact.free_batch else [batch[i : i + 1] for i in range(count)]
    for piece in pieces:
        expected, found = plainly(model, piece), plainly(target, piece)
        assert found.keys() == {*expected, "mine"}
        assert all(np.array_equal(expected[name], found[name]) for name in expected)
        assert found["mine"].dtype == np.float32 and found["mine"].shape == (len(piece), len(CLASSES))
        np.testing.assert_allclose(found["mine"], head(expected["embedding"]), rtol=0, atol=1e-7)
    assert artifact == read_true_artifact(target)
    base = read_true_artifact(model)
    assert (artifact.base_sha256, artifact.parity) == (base.artifact_sha256, base.parity)
    assert artifact.heads["mine"].own == head.own and artifact.heads["mine"].classes == CLASSES
    kept, entries = read_entries(model), read_entries(target)
    assert {**artifact.golden, "mine": None} == {**base.golden, "mine": None}
    assert bool(artifact.golden) == bool(base.golden)
    changed = {"heads", "golden", "artifact_sha256", "description_sha256"}
    assert {key: entries[key] for key in kept.keys() - changed} == {key: kept[key] for key in kept.keys() - changed}


def test_a_head_is_added_and_all_else_stays(small: Path, tmp_path: Path) -> None:
    check_added(small, tmp_path / "mine.onnx")
    assert os.listdir(tmp_path) == ["mine.onnx"]


def test_a_file_that_takes_one_window_a_call_gets_a_head(small: Path, tmp_path: Path) -> None:
    check_added(one_window(small, tmp_path / "one.onnx"), tmp_path / "mine.onnx")


@pytest.mark.parametrize("name", ["model", "v2_model"])
def test_a_converted_perch_gets_a_head(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    model = request.getfixturevalue(name)
    check_added(model, tmp_path / "mine.onnx")
    # In several batches class heads are deferred to the last, and the own head is not.
    batch, outputs = windows(3), ("label", "mine", "embedding")
    found = Session(tmp_path / "mine.onnx").run(batch, outputs, 2)
    np.testing.assert_allclose(found["mine"], trained(model)(found["embedding"]), rtol=0, atol=1e-7)
    assert np.array_equal(found["label"], Session(model).run(batch, ("label", "embedding"), 2)["label"])
    alone = Session(tmp_path / "mine.onnx").run(batch, ("mine",), 2)
    assert np.array_equal(alone["mine"], found["mine"])
    Session(tmp_path / "mine.onnx").warm_up(("mine", "label"), 3)


def test_a_steep_head_is_not_refused_for_rounding_and_blocks_no_other_output(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    at = Session(model).run(golden_window(160_000)[np.newaxis], ("embedding",), 1)["embedding"][0].astype(np.float64)
    rng = np.random.default_rng(4)
    weights = rng.standard_normal((len(at), 3)) * 100 / np.linalg.norm(at)
    own = OwnHead((0.5,) * 3, "raw", {})
    head = TrainedHead(("a", "b", "c"), weights, np.array([-8.0, -4.0, 0.0]) - at @ weights, own)
    artifact = read_artifact(write_taught(model, tmp_path / "steep.onnx", head=head))
    for _ in range(100):  # rounding moves an embedding by 1e-6 to 1e-5 of itself
        moved = at * (1 + 1e-5 * rng.standard_normal(len(at)))
        check(artifact, {"mine": head(moved[np.newaxis]).astype(np.float32)}, "cuda:0")
    int8 = replace(artifact, options={**artifact.options, "head": "int8"})
    assert tolerance(int8, "mine") == tolerance(artifact, "mine")

    wrong = misjudged(tmp_path / "steep.onnx", tmp_path / "wrong.onnx", "mine")
    Session(wrong).warm_up(("label",), 2)
    load_model(wrong, "cpu")
    assert "computes wrongly" in caplog.text and "'mine' is off" in caplog.text
    with pytest.raises(DeviceError, match="'mine' is off"):
        Session(wrong).warm_up(("mine",), 2)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"precision": "fp16"}, {"classes": ["layalb", "strxen1"]}], ids=["half", "slice"])
def test_a_variant_of_v1_gets_a_head(
    options: dict[str, Any], saved_model: Path, recordings: Path, tmp_path: Path
) -> None:
    convert(saved_model, tmp_path / "variant.onnx", audio=recordings, progress=False, **options)
    check_added(tmp_path / "variant.onnx", tmp_path / "mine.onnx")


@pytest.mark.slow
def test_an_int8_head_of_v2_gets_one_beside_it(v2: Path, tmp_path: Path) -> None:
    convert(v2, tmp_path / "int8.onnx", head="int8", progress=False)
    check_added(tmp_path / "int8.onnx", tmp_path / "mine.onnx")


def test_large_embeddings_do_not_move_probabilities(small: Path, tmp_path: Path) -> None:
    """Embeddings a million times their spread away from 0, as float32 sums would not stand."""
    (width,) = read_true_artifact(small).heads["embedding"].shape
    embedding = plainly(small, windows(3))["embedding"].astype(np.float64)
    spread = np.ptp(embedding, axis=0) * 1e-6
    weights = np.random.default_rng(0).standard_normal((width, 3)) / spread[:, None]
    head = replace(trained(small), weights=weights, bias=-(embedding[0] @ weights) + [0.5, -1, 2])
    assert np.abs(head.bias).max() > 1e4
    write_taught(small, tmp_path / "mine.onnx", head=head)
    found = plainly(tmp_path / "mine.onnx", windows(1))["mine"][0]
    np.testing.assert_allclose(found, 1 / (1 + np.exp([-0.5, 1, -2])), rtol=0, atol=1e-6)


def test_heads_are_added_replaced_and_the_first_file_is_found_again(small: Path, tmp_path: Path) -> None:
    one, two, three = (tmp_path / f"{name}.onnx" for name in ("one", "two", "three"))
    add_head(small, one, "mine", trained(small))
    add_head(one, two, "frogs", trained(small, seed=1))
    newer = replace(trained(small, seed=2), names=("a", "b", "c"))
    artifact = add_head(two, three, "mine", newer)
    assert list(artifact.heads)[-2:] == ["frogs", "mine"]
    assert artifact.heads["mine"].classes == ("a", "b", "c")
    found, expected = plainly(three, windows(2)), plainly(small, windows(2))
    for name, head in (("frogs", trained(small, seed=1)), ("mine", newer)):
        np.testing.assert_allclose(found[name], head(expected["embedding"]), rtol=0, atol=1e-7)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert artifact.base_sha256 == read_true_artifact(small).artifact_sha256
    again = add_head(small, tmp_path / "again.onnx", "mine", trained(small))
    assert (tmp_path / "again.onnx").read_bytes() == one.read_bytes()
    assert again.artifact_sha256 != artifact.artifact_sha256


def test_what_classes_and_thresholds_mean_is_part_of_the_files_identity(small: Path, tmp_path: Path) -> None:
    head, own = trained(small), trained(small).own
    heads = (
        head,
        replace(head, names=CLASSES[::-1]),
        replace(head, own=replace(own, thresholds=(0.5, None, 0.25))),
        replace(head, own=replace(own, normalize="peak")),
    )
    found = [add_head(small, tmp_path / f"{i}.onnx", "mine", each) for i, each in enumerate(heads)]
    assert len({each.artifact_sha256 for each in found}) == len(heads)
    assert {each.base_sha256 for each in found} == {read_true_artifact(small).artifact_sha256}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("label", "outputs of Perch are called so"),
        ("genus", "outputs of Perch are called so"),
        ("my head", "cannot be called 'my head': a name has letters"),
        ("9lives", "a name has letters"),
        ("", "a name has letters"),
        ("a.b", "a name has letters"),
        ("a\n", "a name has letters"),
        ("row_id", "columns of rows are called so"),
        ("prototypes", "something in .* is called so"),
        ("inputs", "something in .* is called so"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(name: str, message: str, small: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        add_head(small, tmp_path / "mine.onnx", name, trained(small))
    assert not os.listdir(tmp_path)


def test_a_head_for_another_embedding_is_refused(small: Path, label_model: Path, tmp_path: Path) -> None:
    other = replace(trained(small), weights=np.zeros((9, 3)))
    with pytest.raises(InputError, match=r"taught on embeddings of 9 numbers, and those of .* have 8"):
        add_head(small, tmp_path / "mine.onnx", "mine", other)
    with pytest.raises(InputError, match="no output 'embedding'"):
        add_head(label_model, tmp_path / "mine.onnx", "mine", other)


def test_the_model_itself_is_never_written_over(small: Path, tmp_path: Path) -> None:
    copy = tmp_path / "perch.onnx"
    copy.write_bytes(small.read_bytes())
    os.symlink(copy, tmp_path / "link.onnx")
    for target in (copy, tmp_path / "link.onnx"):
        with pytest.raises(InputError, match="would be written over the model"):
            add_head(copy, target, "mine", trained(small))
    assert copy.read_bytes() == small.read_bytes()


def test_no_model_is_converted_over_a_file_that_was_taught(saved_model: Path, small: Path, tmp_path: Path) -> None:
    taught = write_taught(small, tmp_path / "mine.onnx", "frogs")
    before = taught.read_bytes()
    with pytest.raises(InputError, match="has the output frogs, which was taught and would be lost"):
        convert(saved_model, taught, progress=False)
    assert taught.read_bytes() == before


def test_a_target_appears_complete_or_not_at_all(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "mine.onnx"
    old.write_text("old")
    (tmp_path / ".mine.onnx.1.partial").write_text("of a process that was killed")
    monkeypatch.setattr("runtime.explore.own_head.TOLERANCE", -1.0)
    with pytest.raises(ArtifactError, match="would differ from its weights"):
        add_head(small, old, "mine", trained(small))
    assert old.read_text() == "old" and os.listdir(tmp_path) == ["mine.onnx"]
    with pytest.raises(OutputError, match="cannot write to"):
        add_head(small, tmp_path / "nowhere" / "mine.onnx", "mine", trained(small))


def test_a_changed_model_is_refused(small: Path, tmp_path: Path) -> None:
    data = bytearray(small.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "bad.onnx").write_bytes(data)
    with pytest.raises(ArtifactError, match=r"damaged or changed|cannot be loaded"):
        add_head(tmp_path / "bad.onnx", tmp_path / "mine.onnx", "mine", trained(small))


def test_a_file_whose_own_head_was_put_in_by_something_else_is_refused(small: Path, tmp_path: Path) -> None:
    taught = write_taught(small, tmp_path / "mine.onnx")

    def rename(proto: onnx.ModelProto) -> None:
        next(node for node in proto.graph.node if node.name.startswith("own_head/")).name = "other"

    edited(taught, tmp_path / "foreign.onnx", rename, {})
    with pytest.raises(ArtifactError, match="is not the file that was converted"):
        add_head(tmp_path / "foreign.onnx", tmp_path / "new.onnx", "frogs", trained(small))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda head: replace(head, names=("a", "b")), "weights \\[embedding, 2\\]"),
        (lambda head: replace(head, names=()), "1 to 20,000 classes"),
        (lambda head: replace(head, names=("a", "a", "b")), "a twice"),
        *(
            (lambda head, name=name: replace(head, names=("a", "b", name)), "names are printable")
            for name in ("x\ny", " ", "", NO_CLASS, "\udcff")
        ),
        (lambda head: replace(head, bias=np.zeros(2)), "and \\[2\\]"),
        (lambda head: replace(head, bias=np.array([0, 1, np.nan])), "finite"),
        (lambda head: replace(head, weights=np.full((8, 3), np.inf)), "finite"),
        (lambda head: replace(head, weights=np.full((8, 3), -1e101)), r"below 1e\+100"),
        (lambda head: replace(head, own=OwnHead(THRESHOLDS[:2], None, {})), "3 classes has as many thresholds, not 2"),
    ],
)
def test_a_head_that_makes_no_sense_is_refused(
    change: Callable[[TrainedHead], TrainedHead], message: str, small: Path
) -> None:
    with pytest.raises(InputError, match=message):
        change(trained(small))
