"""What labels teach, kept in a model's file; embeddings are made up, and so known to the last."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from runtime.explore.cli import main
from runtime.explore.evaluation import Evaluation, evaluate
from runtime.explore.label_files import read_labels
from runtime.explore.random_share import draw
from runtime.explore.rows import open_runs
from runtime.model.artifact import read_artifact
from tests.support.rows_files import write_labels, write_rows

NAMES = ("frog", "wren", "bittern")
WINDOWS, RECORDINGS = 6, 20
ROW_IDS = [f"r{row // WINDOWS}_{row % WINDOWS * 5 + 5}" for row in range(WINDOWS * RECORDINGS)]


class World:
    """A model, rows as if it had made them, and labels of all but the last recording; the bittern has four."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.model, artifact = model, read_artifact(model)
        rng, (width,) = np.random.default_rng(5), artifact.heads["embedding"].shape
        self.truth = rng.random((len(ROW_IDS), 3)) < (0.4, 0.3, 0)
        self.truth[[3, 27, 51, 75], 2] = True
        self.embedding = (self.truth @ rng.standard_normal((3, width)) * 1.5).astype(np.float32)
        self.embedding += rng.standard_normal(self.embedding.shape, np.float32)
        self.about = {"artifact_sha256": artifact.artifact_sha256, "saved_model_sha256": artifact.saved_model_sha256}
        self.rows = self.write(folder / "out.parquet")
        drawn = sorted(ROW_IDS[:-WINDOWS], key=draw)[:40]
        header = "row_id,species,answer,source,labeller,labelled_at"
        lines = [
            f"{row_id},{';'.join(np.array(NAMES)[held])},labelled,{'random' if row_id in drawn else 'worth'},ann,"
            for row_id, held in zip(ROW_IDS[:-WINDOWS], self.truth)
        ]
        self.labels = folder / "labels.csv"
        self.labels.write_text("\n".join([header, *lines, ""]))

    def write(self, path: Path, about: Mapping[str, str] | None = None, first: int = 0, **options: object) -> Path:
        return write_rows(path, self.embedding, WINDOWS, about={**self.about, **(about or {})}, first=first, **options)

    def teach(self, *args: object, rows: Sequence[Path] = ()) -> int:
        files = (*(rows or [self.rows]), "--labels", self.labels, "--model", self.model)
        return main(["teach", *map(str, (*files, *args))])

    def evaluation(self) -> Evaluation:
        return evaluate(open_runs([self.rows], "embedding"), read_labels(self.labels), 0.8)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, model: Path) -> World:
    return World(tmp_path_factory.mktemp("world"), model)


def test_the_file_holds_what_the_labels_taught(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "mine.onnx"
    assert world.teach("-o", target, "--precision", 0.8) == 0
    said = capsys.readouterr().out
    evaluation = world.evaluation()
    assert said.startswith(evaluation.report())
    assert "bittern (1 more)" in said
    assert f"{target}: the output mine has 2 species, 2 of them with a threshold" in said
    assert f"perch-run RECORDINGS --model {target} --outputs label,mine -o scores.parquet" in said
    assert f"perch-run RECORDINGS --model {target} --outputs mine --min-score auto -o detections.csv" in said
    head = read_artifact(target).heads["mine"]
    assert (head.classes, head.namespace) == (("frog", "wren"), "own")
    assert evaluation.names == ("bittern", "frog", "wren")
    assert head.own is not None
    assert head.own.thresholds == tuple(evaluation.thresholds[1:])
    assert evaluation.probabilities_of(world.embedding).dtype == evaluation.thresholds.dtype == np.float32
    assert head.own.normalize == "raw"
    taught = head.own.taught
    assert (taught["rows"], taught["recordings"], taught["labelled_windows"]) == (120, 20, 114)
    assert (taught["hop_s"], taught["precision"]) == (["5"], 0.8)
    assert taught["base_sha256"] == read_artifact(world.model).artifact_sha256
    assert [each["windows"] for each in taught["species"].values()] == world.truth[:114, :2].sum(axis=0).tolist()
    assert taught["species"]["wren"]["average_precision"] == evaluation.average_precision[2]
    share = evaluation.random
    assert share is not None and share.given > 10 and share.precision == share.right / share.given
    assert taught["random_share"] == json.loads(json.dumps(asdict(share)))
    again = tmp_path / "again.onnx"
    assert world.teach("-o", again, "--precision", 0.8) == 0
    assert again.read_bytes() == target.read_bytes()


def test_without_five_labels_of_a_species_nothing_is_written(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = [ROW_IDS[row] for row in np.flatnonzero(world.truth[:, 0])[::6]][:4]
    labels = [(row_id, "frog") for row_id in few]
    labels += [(row_id, "") for row_id, held in zip(ROW_IDS, world.truth) if not held.any()][:20]
    target, path = tmp_path / "mine.onnx", write_labels(tmp_path / "few.csv", labels)
    args = [str(each) for each in (world.rows, "--labels", path, "--model", world.model, "-o", target)]
    assert main(["teach", *args]) == 2
    said = capsys.readouterr()
    assert "without probabilities, for want of 5 labelled windows: frog (1 more)" in said.out
    none = "no species has 5 labelled windows in several recordings, so nothing is written; label "
    assert f"{none}frog (1 more)" in said.err
    toads = [(row_id, "toad") for row_id in ROW_IDS[:WINDOWS]]
    write_labels(path, toads + [(row_id, name) for row_id, name in labels if name or row_id not in dict(toads)])
    assert main(["teach", *args]) == 2
    assert f"{none}toad (in other recordings), frog (1 more)" in capsys.readouterr().err
    assert not target.exists()


def test_what_cannot_be_written_is_refused_before_anything_is_learnt(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*args: object) -> str:
        assert main(["teach", str(world.rows), "-o", str(tmp_path / "new.onnx"), *map(str, args)]) == 2
        said = capsys.readouterr()
        assert not said.out and said.err.count("\n") == 1
        return said.err

    labels = tmp_path / "labels.csv"
    labels.write_text(world.labels.read_text().replace("frog", "fr\u200bog"))
    assert f"correct this species in {labels}" in refused("--labels", labels, "--model", world.model)
    assert "something in" in refused("--labels", world.labels, "--model", world.model, "--name", "inputs")
    taught = tmp_path / "taught.onnx"
    half = world.write(tmp_path / "half.parquet", embedding_dtype="float16")
    assert world.teach("-o", taught, "--name", "frogs", rows=[half]) == 0
    assert "embeddings in float16: " in capsys.readouterr().out
    lost = refused("--labels", world.labels, "--model", world.model, "-o", taught)
    assert "has the output frogs, which" in lost and f"--model {taught} and another -o" in lost
    data = bytearray(taught.read_bytes())
    data[len(data) // 2] ^= 1
    taught.write_bytes(data)
    assert "convert it again, and teach frogs again" in refused("--labels", world.labels, "--model", taught)


def test_rows_of_another_model_are_refused(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*rows: Path, name: str = "mine") -> str:
        assert world.teach("-o", tmp_path / "mine.onnx", "--name", name, rows=rows) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and not (tmp_path / "mine.onnx").exists()
        return error

    def made(about: Mapping[str, str], **options: object) -> Path:
        return world.write(tmp_path / "rows.parquet", about, **options)

    base = world.about["artifact_sha256"]
    found = refused(made({"artifact_sha256": "b" * 64}))
    assert "another precision or --classes slice of the model" in found
    assert "b" * 12 in found and base[:12] in found
    assert "another precision" in refused(made({"base_sha256": "b" * 64}))
    assert "with another model than" in refused(made({"artifact_sha256": "b" * 64, "saved_model_sha256": "c" * 64}))
    assert "means of several windows (--pool)" in refused(made({}, pool="max"))
    assert "without --shifts" in refused(made({}, shifts=[0, 0.5]))
    peak = world.write(tmp_path / "peak.parquet", first=100, normalize="peak")
    assert "was made with another --normalize than" in refused(world.rows, peak)
    # Rows of a file with a head of one's own are those of the file without it; the next thing wrong is the name.
    own = made({"artifact_sha256": "d" * 64, "base_sha256": base})
    assert "cannot be called label" in refused(own, name="label")


def test_what_is_read_is_not_written_over(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Path(shutil.copy(world.model, tmp_path / "perch.onnx"))
    before = model.read_bytes()
    for name, source in (("l.onnx", world.labels), ("r.onnx", world.rows), ("m.onnx", model)):
        (tmp_path / name).symlink_to(source)
    args = ["teach", str(world.rows), "--labels", str(world.labels), "--model", str(model), "-o"]
    for name, what in (("l.onnx", "--labels"), ("r.onnx", "ROWS"), ("m.onnx", "--model"), ("perch.onnx", "--model")):
        assert main([*args, str(tmp_path / name)]) == 2
        assert f"would be written over {what}" in capsys.readouterr().err
    assert model.read_bytes() == before
    assert main([*args, str(tmp_path / "mine.csv")]) == 2
    assert "end its name in .onnx" in capsys.readouterr().err
    assert main([*args, str(tmp_path / "none" / "mine.onnx")]) == 2
    assert "cannot write to" in capsys.readouterr().err
    assert main([*args, str(tmp_path / "mine.onnx"), "--precision", "90"]) == 2
    assert "must be between 0 and 1" in capsys.readouterr().err


def test_a_classifier_that_was_trained_elsewhere_becomes_an_output(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (width,) = read_artifact(world.model).heads["embedding"].shape
    weights, target = tmp_path / "weights.npz", tmp_path / "new.onnx"
    np.savez(weights, weights=np.eye(width, 2), bias=np.zeros(2), classes=np.array(["rain", "frog"]))
    command = ["teach", "--weights", weights, "--model", world.model, "-o", target]
    assert main([*map(str, command)]) == 0
    assert "the output mine has 2 species, 0 of them with a threshold" in (said := capsys.readouterr().out)
    assert "unknown: how windows were normalised in training" in said and "replaced" not in said
    assert main([*map(str, command), "--normalize", "raw"]) == 0
    assert "replaced: the output mine (rain, frog)" in capsys.readouterr().out
    target = command[-1] = tmp_path / "other.onnx"
    assert main([*map(str, command), "--normalize", "peak", "--name", "elsewhere"]) == 0
    head = read_artifact(target).heads["elsewhere"]
    assert head.classes == ("rain", "frog") and head.own is not None
    assert (head.own.normalize, head.own.taught["weights"]) == ("peak", "weights.npz")
    assert "--normalize peak --outputs label,elsewhere" in capsys.readouterr().out


def test_weights_and_labels_are_not_given_together(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, weights = tmp_path / "new.onnx", tmp_path / "weights.npz"
    for given, message in (
        ([world.rows, "--weights", weights], "leave out ROWS"),
        (["--weights", weights, "--labels", world.labels], "leave out --labels"),
        (["--weights", weights, "--precision", "0.8"], "leave out --precision"),
        (["--weights", weights], "cannot read"),
        (["--labels", world.labels], "teach needs ROWS and --labels"),
        ([world.rows, "--labels", world.labels, "--normalize", "raw"], "--normalize is for --weights"),
    ):
        assert main(["teach", *map(str, given), "--model", str(world.model), "-o", str(target)]) == 2
        assert message in capsys.readouterr().err
    assert not target.exists()
