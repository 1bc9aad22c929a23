"""First labels from embeddings that are made up, and so known to the last."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.explore.calibration import thresholds
from runtime.explore.cli import main
from runtime.explore.evaluation import evaluate
from runtime.explore.label_files import read_labels
from runtime.explore.rows import open_rows, open_runs
from tests.support.rows_files import write_labels, write_rows

NAMES = ("amecro", "comrav", "eurbla", "eurrob1", "grswoo")
SCIENTIFIC = ("Corvus brachyrhynchos", "Corvus corax", "Turdus merula", "Erithacus rubecula", "Dendrocopos major")
WINDOWS, RECORDINGS = 12, 60


@dataclass(frozen=True)
class Planted:
    """A run over windows whose species are known, the first half of them by its label file, too."""

    rows: Path
    labels: Path
    truth: NDArray[np.bool_]

    def species(self, row: int) -> str:
        return ";".join(name for name, held in zip(NAMES, self.truth[row], strict=True) if held)


def row_id(row: int) -> str:
    return f"r{row // WINDOWS}_{row % WINDOWS * 5 + 5}"


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """Each species turns the embedding its own way; what the recording is adds more; the logits know a little."""
    folder, rng = tmp_path_factory.mktemp("planted"), np.random.default_rng(11)
    count = WINDOWS * RECORDINGS
    truth = rng.random((count, len(NAMES))) < (0.3, 0.3, 0.2, 0.2, 0.03)
    ways = rng.standard_normal((len(NAMES), 24))
    embedding = 0.7 * truth @ ways + rng.standard_normal((count, 24))
    embedding += 0.5 * np.repeat(rng.standard_normal((RECORDINGS, 24)), WINDOWS, axis=0)
    logits = rng.standard_normal((count, 4)) + 0.5 * truth[:, :4]
    rows = write_rows(
        folder / "out.parquet",
        embedding.astype(np.float32),
        WINDOWS,
        logits.astype(np.float32),
        # One species is called by its other name, and one the model does not know.
        classes=(NAMES[0], SCIENTIFIC[1], *NAMES[2:4]),
        status={5: "failed", count - 1: "failed"},
    )
    made = Planted(rows, folder / "known.csv", truth)
    write_labels(made.labels, [(row_id(row), made.species(row)) for row in range(count // 2)])
    return made


def prelabel(*args: object) -> int:
    return main(["prelabel", *map(str, args)])


def refused(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    assert prelabel(*args) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_planted_species_are_found(planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "predictions.csv"
    assert prelabel(planted.rows, "--labels", planted.labels, "-o", out) == 0
    said = capsys.readouterr().out
    lines = re.findall(r"^(embedding, species with|raw).* (0\.\d+)$", said, re.MULTILINE)
    found = {name: float(auc) for name, auc in lines}
    assert found["embedding, species with"] > found["raw"] + 0.15
    assert "not among the model's classes: grswoo" in said
    assert "359 labelled windows of 30 recordings in 5 folds; 5 species" in said
    assert "left out: 1 labelled window without a score" in said
    # The file is a label file, of windows that had none.
    labels = read_labels(out)
    assert labels.names <= set(NAMES)
    known = set(read_labels(planted.labels).rows)
    assert not known & set(labels.rows)
    truth = {row_id(row): planted.species(row).split(";") for row in range(len(planted.truth))}
    lines = table(out)
    assert len(lines) > 30
    assert np.mean([line["species"] in truth[line["row_id"]] for line in lines]) >= 0.85
    rows = open_rows(planted.rows)
    assert {line["path"] for line in lines} <= set(rows.paths)
    assert all(0 < float(line["probability"]) <= 1 for line in lines)
    assert f"{row_id(719)}" not in {line["row_id"] for line in lines}


def test_probabilities_of_other_recordings_are_calibrated(planted: Planted) -> None:
    from runtime.explore.metrics import calibration_error

    files = open_runs([planted.rows], "embedding")
    evaluation = evaluate(files, read_labels(planted.labels), 0.9)
    half = len(planted.truth) // 2
    held = files[0].has_score.copy()
    held[:half] = False
    probabilities = evaluation.probabilities_of(files[0].output("embedding")[held])
    truth = planted.truth[held]
    assert calibration_error(probabilities, truth) < 0.04
    assert calibration_error(evaluation.probabilities, evaluation.truth) < 0.04
    best = probabilities.argmax(axis=1), np.arange(len(probabilities))
    assert calibration_error(probabilities[best[::-1]], truth[best[::-1]]) < 0.1
    # Higher thresholds for higher precision; rare species are never given.
    stricter = thresholds(evaluation.probabilities, evaluation.truth, 0.97)
    assert (stricter.astype(np.float32) >= evaluation.thresholds).all()
    assert np.isinf(evaluation.thresholds[NAMES.index("grswoo")])


def test_windows_worth_labelling_next(planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    following, written = tmp_path / "predictions_next.csv", []
    for _ in range(2):
        assert prelabel(planted.rows, "--labels", planted.labels, "-o", tmp_path / "predictions.csv", "--next", 45) == 0
        texts = [path.read_text() for path in (tmp_path / "predictions.csv", following)]
        written.append((capsys.readouterr().out, *texts))
    assert written[0] == written[1]
    lines = table(following)
    paths = [line["path"] for line in lines]
    assert len(lines) == 45
    assert len(set(paths[:30])) == 30  # one of each recording, then a second of some
    doubt = [abs(float(line["probability"]) - 0.5) for line in lines]
    assert doubt[:30] == sorted(doubt[:30])
    assert doubt[30:] == sorted(doubt[30:])
    assert {line["guess"] for line in lines} <= set(NAMES)
    assert not {line["row_id"] for line in lines} & set(read_labels(planted.labels).rows)
    with pytest.raises(ValueError, match="is no label file"):
        read_labels(following)


def test_species_with_few_labels_get_no_probabilities(
    planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rare = [row for row in np.flatnonzero(planted.truth[:, 4]) if row != 5][:4]
    lines = [(row_id(row), planted.species(row)) for row in range(240) if row in rare or not planted.truth[row, 4]]
    labels = write_labels(tmp_path / "labels.csv", lines)
    out = tmp_path / "p.csv"
    assert prelabel(planted.rows, "--labels", labels, "-o", out, "--precision", 0.5, "--next", 400) == 0
    said = capsys.readouterr().out
    assert "without probabilities, for want of 5 labelled windows: grswoo (1 more)" in said
    assert "0 of 4 species are never given" in said
    assert "no random share" in said
    assert {line["species"] for line in table(out)} == set(NAMES[:4])
    assert all((line["guess"] == "grswoo") == (line["probability"] == "") for line in table(tmp_path / "p_next.csv"))


def test_windows_are_proposed_for_a_species_without_probabilities(planted: Planted, tmp_path: Path) -> None:
    rare = np.flatnonzero(planted.truth[:, 4])[:4]
    lines = [(row_id(row), "grswoo" if row in rare else "") for row in range(240)]
    labels = write_labels(tmp_path / "labels.csv", lines)
    assert prelabel(planted.rows, "--labels", labels, "-o", tmp_path / "p.csv", "--next", 20) == 0
    assert table(tmp_path / "p.csv") == []
    guesses = [(line["guess"], line["probability"]) for line in table(tmp_path / "p_next.csv")]
    assert guesses == [("grswoo", "")] * 20


def test_several_files_are_as_one(planted: Planted, tmp_path: Path) -> None:
    whole = open_rows(planted.rows)
    embedding = whole.output("embedding")
    half = len(embedding) // 2
    first = write_rows(tmp_path / "1.parquet", embedding[:half], WINDOWS, status={5: "failed"})
    second = write_rows(
        tmp_path / "2.parquet", embedding[half:], WINDOWS, status={half - 1: "failed"}, first=RECORDINGS // 2
    )
    labels = read_labels(planted.labels)
    apart = evaluate(open_runs([first, second], "embedding"), labels, 0.9)
    np.testing.assert_array_equal(apart.probabilities, evaluate([whole], labels, 0.9).probabilities)
    assert apart.no_raw.endswith("holds no raw logits to compare with (--outputs embedding,label keeps them)")


def test_labels_that_do_not_fit(planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, few = planted.rows, [(row_id(row), planted.species(row)) for row in range(120)]

    def error(labels: list[tuple[str, str]], *args: object) -> str:
        return refused(capsys, rows, "--labels", write_labels(tmp_path / "labels.csv", labels), *args)

    strange = [("x_5", "amecro"), ("y_5", "comrav")]
    found = error([*few, *strange])
    assert "2 of the 122 windows" in found and "(x_5, y_5)" in found and "--skip-missing" in found
    assert "none of the windows" in (found := error(strange)) and "like r0_5, r0_10" in found
    assert "none of the windows" in error(strange, "--skip-missing")
    found = error([(name, "amecro") for name, _ in few])
    assert "amecro is in every labelled window" in found
    assert "names no species" in error([(name, "") for name, _ in few])
    assert "all labelled windows of" in error(few[:12])
    assert "come from one recording" in error([(name, "amecro" if i < 3 else "") for i, (name, _) in enumerate(few)])
    assert "must be between 0 and 1" in error(few, "--precision", 90)
    assert "would be written over --labels" in error(few, "-o", tmp_path / "labels.csv")
    assert read_labels(tmp_path / "labels.csv").rows
    assert prelabel(rows, "--labels", write_labels(tmp_path / "labels.csv", [*few, *strange]), "--skip-missing") == 0
    assert "left out: 2 labelled windows without a row" in capsys.readouterr().out


def test_rows_that_do_not_fit(planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    embedding = open_rows(planted.rows).output("embedding")
    other = write_rows(tmp_path / "o.parquet", embedding, WINDOWS, first=100, about={"saved_model_sha256": "b" * 64})
    found = refused(capsys, planted.rows, other, "--labels", planted.labels)
    assert f"{other} was made with another model than {planted.rows}" in found
    twice = write_rows(tmp_path / "t.parquet", embedding, WINDOWS)
    assert "are called r0_5" in refused(capsys, planted.rows, twice, "--labels", planted.labels)

    import pyarrow.parquet

    scores = pyarrow.parquet.read_table(planted.rows).drop_columns(["embedding"])
    pyarrow.parquet.write_table(scores, tmp_path / "s.parquet")
    found = refused(capsys, tmp_path / "s.parquet", "--labels", planted.labels)
    assert "holds no embedding, but label; run perch-run with `--outputs embedding,label`" in found
    (tmp_path / "no.parquet").write_text("no")
    assert "holds no rows of perch-run" in refused(capsys, tmp_path / "no.parquet", "--labels", planted.labels)
    nowhere = tmp_path / "nowhere" / "out.csv"
    assert "cannot write to" in refused(capsys, planted.rows, "--labels", planted.labels, "-o", nowhere)
