"""`perch-bench parity`: correct files pass, broken ones are caught, and the reports say where they differ."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import tensorflow as tf
from onnx import numpy_helper
from tensorflow.core.protobuf import saved_model_pb2

from benchmarks import cli
from benchmarks.parity import result
from convert.conversion import convert
from convert.source.saved_model import SavedModel, inspect
from convert.untrained import ops
from runtime.model.artifact import read_artifact
from tests.support.broken import edit_lines, edited, move_line, scale, swap_columns, tensor
from tests.support.own_heads import write_taught

WINDOWS = 6
EVERY = 6
"""One in six weight tensors is tried; trying all of them takes too long for a test."""
EVIL = "<script>alert('x')</script>"


class Run(NamedTuple):
    """The results of a run: its exit code, printed text, all figures, those of each file by name, and the page."""

    code: int
    printed: str
    figures: dict[str, Any]
    files: dict[str, Any]
    page: str


def run(folder: Path, *arguments: object) -> Run:
    page, figures = folder / "page.html", folder / "figures.json"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = cli.main(["parity", *map(str, arguments), "--html", str(page), "--json", str(figures)])
    found = json.loads(figures.read_text())
    files = {Path(each["file"]).stem: each for each in found["files"]}
    return Run(code, printed.getvalue(), found, files, page.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def other_epsilon(saved_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conversion of the same weights with another batch norm epsilon."""
    folder = tmp_path_factory.mktemp("epsilon")
    shutil.copytree(saved_model, folder / "saved_model")
    path = folder / "saved_model" / "saved_model.pb"
    proto = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    own, other = (np.float32(value).tobytes() for value in (ops.BATCH_NORM_EPSILON, 1e-3))
    replaced = 0
    for function in proto.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            if node.op == "Const" and tf.make_ndarray(node.attr["value"].tensor).tobytes() == own:
                node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.frombuffer(other, np.float32)[0]))
                replaced += 1
    assert replaced
    path.write_bytes(proto.SerializeToString())
    convert(folder / "saved_model", folder / "epsilon.onnx", progress=False)
    return folder / "epsilon.onnx"


@pytest.fixture(scope="module")
def broken(model: Path, saved_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A right file and many that are broken, all in one run."""
    folder = tmp_path_factory.mktemp("broken")
    proto = onnx.load(model)
    # Sizes for Resize are no weights; what is empty stands for an input that may be left out.
    weights = [
        each.name
        for each in proto.graph.initializer
        if each.data_type == onnx.TensorProto.FLOAT and numpy_helper.to_array(each).size and "Resize" not in each.name
    ]
    files = [
        shutil.copy(model, folder / "right.onnx"),
        write_taught(model, folder / "taught.onnx"),
        edited(model, folder / "swapped.onnx", lambda it: swap_columns(it, "label", 3, 7)),
        edited(model, folder / "similar.onnx", swap_most_similar),
        edited(model, folder / "moved <i>.onnx", lambda it: move_line(it, "classes.genus", 5, 2)),
        edited(model, folder / "evil.onnx", lambda it: edit_lines(it, "classes.label", deface)),
        *(edited(model, folder / f"{name}.onnx", lambda it, name=name: scale(it, name)) for name in weights[::EVERY]),
    ]
    return run(folder, saved_model, *files, "--windows", WINDOWS, "--batch-sizes", "2,5")


def swap_most_similar(proto: onnx.ModelProto) -> None:
    """Exchanges the two columns of `label` whose weights are nearest each other."""
    add = next(node for node in proto.graph.node if "label" in node.output)
    product = next(node for node in proto.graph.node if node.output[0] == add.input[0])
    weights = numpy_helper.to_array(tensor(proto, product.input[1])).T
    apart = np.linalg.norm(weights[:, None] - weights, axis=2) + 1e9 * np.eye(len(weights))
    one, other = divmod(int(apart.argmin()), len(weights))
    swap_columns(proto, "label", one, other)


def deface(lines: list[str]) -> None:
    lines[4] = EVIL


def heads(found: Any) -> set[str]:
    return {finding["head"] for finding in found["findings"]}


def test_a_right_file_passes_beside_broken_ones(broken: Run) -> None:
    assert broken.code == 1
    assert not broken.figures["passed"]
    right = broken.files["right"]
    assert (right["passed"], right["findings"], right["notes"]) == (True, [], [])
    assert [(each["device"], each["batch_size"]) for each in right["settings"]] == [("cpu", 2), ("cpu", 5)]
    assert len(broken.figures["windows"]) == WINDOWS
    for name in ("label", "genus", "embedding", "frontend"):
        measured = right["heads"][name]
        assert 0 < measured["error"] < measured["tolerance"]["error"]
        assert max(measured["window_errors"]) == measured["error"]
        assert measured["mean_error"] < measured["error"]
        assert measured["worst_columns"][0]["error"] == measured["error"]
        expected = (1, pytest.approx(1)) if name in ("label", "genus") else (None, None)
        assert (measured["top1"], measured["rank_least"]) == expected
    assert right["float64"]["between"] < 1e-4


def test_a_head_that_a_user_added_is_not_compared(broken: Run) -> None:
    taught = broken.files["taught"]
    assert (taught["passed"], taught["findings"], taught["notes"]) == (True, [], [])
    assert taught["heads"].keys() == broken.files["right"]["heads"].keys()


def test_one_scaled_weight_tensor_is_caught_each_time(broken: Run) -> None:
    scaled = [name for name in broken.files if re.fullmatch(r"\w+_\d+\.\d", name)]
    assert len(scaled) > 8
    assert [name for name in scaled if broken.files[name]["passed"]] == []


def test_two_swapped_columns_are_named(broken: Run, model: Path) -> None:
    classes = read_artifact(model).heads["label"].classes
    (finding,) = broken.files["swapped"]["findings"]
    assert (finding["head"], finding["settings"]) == ("label", [])
    for column in (3, 7):
        assert f"class '{classes[column]}' (column {column})" in finding["finding"]
    assert heads(broken.files["similar"]) == {"label"}


def test_a_moved_line_is_named(broken: Run, model: Path) -> None:
    names = read_artifact(model).heads["genus"].classes
    (finding,) = broken.files["moved <i>"]["findings"]
    said = f"line 3 of its class list 'ebird2021_genera' is '{names[4]}', the SavedModel has '{names[1]}'"
    assert finding["head"] == "genus"
    assert said in finding["finding"]
    assert f"genus: {said}" in broken.printed


@pytest.mark.slow
def test_another_epsilon_is_caught_and_another_saved_model_told(
    saved_model: Path, other_epsilon: Path, tmp_path: Path
) -> None:
    found = run(tmp_path, saved_model, other_epsilon, "--windows", WINDOWS, "--batch-sizes", "2,5").files["epsilon"]
    assert {"label", "embedding"} <= heads(found)
    assert "converted from another SavedModel" in found["notes"][0]


def test_the_worst_windows_are_shown_with_what_both_models_hear(broken: Run, model: Path) -> None:
    classes = read_artifact(model).heads["label"].classes
    found = broken.files["swapped"]
    errors = dict(zip(broken.figures["windows"], found["heads"]["label"]["window_errors"], strict=True))
    first = found["worst_windows"][0]
    assert (first["head"], first["error"]) == ("label", max(errors.values()))
    assert errors[first["row_id"]] == first["error"]
    for side in ("tensorflow", "onnx"):
        names, logits = zip(*first[side], strict=True)
        assert set(names) <= set(classes)
        assert list(logits) == sorted(logits, reverse=True)


def test_the_terminal_has_a_table_for_each_file(broken: Run) -> None:
    assert re.search(r"right\.onnx: perch_v1, float32, \d+ MB: equal to TensorFlow\n", broken.printed)
    assert re.search(r"swapped\.onnx: .*: 1 finding\n", broken.printed)
    assert len(re.findall(r"^  label .* equal$", broken.printed, re.MULTILINE)) >= 1
    assert re.search(r"frontend: TensorFlow is off float64 by .* ONNX Runtime by", broken.printed)
    assert broken.printed.rstrip().endswith("page.html")


class Page(HTMLParser):
    """Checks that tags are closed, and collects what a page refers to."""

    VOID = frozenset({"meta", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.names: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attributes)
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attributes if name in ("src", "href", "srcset", "action")]
        self.names += [value or "" for name, value in attributes if name == "id"]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_stands_alone(broken: Run) -> None:
    page = Page(broken.page)
    inside = {f"#{name}" for name in page.names}
    assert all(reference.startswith("data:") or reference in inside for reference in page.references)
    assert "url(" not in broken.page
    assert "@import" not in broken.page
    assert not {"script", "iframe", "object", "i"} & set(page.tags)
    assert page.tags.count("image") == sum(each.startswith("data:image/png") for each in page.references) >= 4
    assert page.tags.count("use") >= 4 * len(broken.files)
    assert len(broken.page) < 2_000_000


def test_the_page_says_what_was_found(broken: Run) -> None:
    text = Page(broken.page).text
    for said in ("equal to TensorFlow", "moved <i>.onnx", EVIL, "1 finding", "processor", "Worst windows"):
        assert said in text
    assert f"is '{EVIL}', the SavedModel has" in broken.files["evil"]["findings"][0]["finding"]


@pytest.fixture(scope="module")
def labelled(
    label_model: Path, saved_model: Path, recordings: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, Path]:
    """A run on recordings with some labelled windows, and the file of labels."""
    folder = tmp_path_factory.mktemp("labelled")
    names = read_artifact(label_model).heads["label"].classes
    rows = ["a_5", "a_10", "b_5", "b_15", "c_5"]
    lines = [f"{row},{names[i]};{names[2 * i + 1]}" for i, row in enumerate(rows)]
    labels = folder / "labels.csv"
    labels.write_text("\n".join(["row_id,species", *lines, "b_10,"]))
    return run(folder, saved_model, label_model, "--audio", recordings, "--labels", labels, "--quick"), labels


def test_labels_choose_the_windows_and_judge_both_models(labelled: tuple[Run, Path]) -> None:
    found, _ = labelled
    assert found.code == 0
    assert found.figures["windows"] == ["a_5", "a_10", "b_5", "b_10", "b_15", "c_5"]
    (file,) = found.files.values()
    quality = {each["metric"]: each for each in file["quality"]}
    assert 0 < quality["MAP"]["tensorflow"] <= 1
    assert quality["MAP"]["onnx"] == pytest.approx(quality["MAP"]["tensorflow"], abs=1e-3)
    assert quality["cMAP5"]["tensorflow"] is None
    for report in (found.printed, Page(found.page).text):
        assert "macro ROC-AUC" in report
        assert "95% interval" in report


def test_wrong_use_is_one_line(
    labelled: tuple[Run, Path],
    model: Path,
    saved_model: Path,
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, labels = labelled
    source = result.inspect(saved_model)
    monkeypatch.setattr(result, "inspect", lambda path: source if path == saved_model else inspect(path))
    only = tmp_path / "only"
    only.mkdir()
    shutil.copy(recordings / "b.wav", only / "x.wav")
    words = tmp_path / "words.onnx"
    words.write_text("these are words")
    cases: list[tuple[list[object], str]] = [
        ([tmp_path / "none", model], "there is no folder"),
        ([saved_model, tmp_path / "none.onnx"], "there is no model at"),
        ([saved_model, words], "cannot be loaded as ONNX"),
        ([saved_model, model, "--labels", labels], "name their folder with --audio"),
        ([saved_model, model, "--labels", labels, "--audio", only], "has no label for any of the 3 windows"),
        ([saved_model, model, "--audio", tmp_path / "nothing"], "nothing"),
        ([saved_model, model, "--device", "tpu"], "device is 'tpu'"),
        ([saved_model, model, "--html", tmp_path / "none" / "page.html"], "cannot write"),
        ([saved_model, model, "--json", tmp_path / "none" / "figures.json"], "cannot write"),
    ]
    for arguments, message in cases:
        assert cli.main(["parity", *map(str, arguments)]) == 2, arguments
        errors = capsys.readouterr().err
        assert errors.startswith("perch-bench: ")
        assert message in errors
        assert len(errors.splitlines()) == 1
    monkeypatch.setattr(SavedModel, "cannot_run", property(lambda _: "the SavedModel was exported for CUDA alone"))
    assert cli.main(["parity", str(saved_model), str(model)]) == 2
    assert capsys.readouterr().err.endswith("cannot be compared with: the SavedModel was exported for CUDA alone\n")
