"""Detections of the species of a list, and of those that occur at a place."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from runtime import Detections, cli, merge_archive, run_archive
from runtime.model.artifact import read_artifact
from tests.support.geomodels import write_geomodel
from tests.support.runs import run


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_only_species_of_a_list_are_detected(
    recordings: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    whole = run(recordings / "b.wav", model, workers=1)
    names = whole.classes["label"][3:6]
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(["code", *names, "nobody"]))
    target = tmp_path / "found.csv"
    arguments = [str(recordings / "b.wav"), "--model", str(model), "--top", "2", "--species-list", str(listed)]
    assert cli.main([*arguments, "-o", str(target)]) == 0
    expected = [
        (names[column], scores[column])
        for scores in whole["label"][:, 3:6]
        for column in np.argsort(-scores, kind="stable")[:2]
    ]
    found = [(row["class"], float(row["score"])) for row in read(target)]
    assert [name for name, _ in found] == [name for name, _ in expected]
    np.testing.assert_array_equal(np.float32([score for _, score in found]), [score for _, score in expected])
    captured = capsys.readouterr()
    assert "species list: 3 of 4 names found, 3 classes" in captured.out
    assert "list.txt names what is no class: nobody" in captured.err
    assert cli.main([*arguments, "-o", str(listed)]) == 2
    assert "list.txt" in capsys.readouterr().err


def test_species_of_a_place_are_detected_in_a_run_and_a_merge(recordings: Path, model: Path, tmp_path: Path) -> None:
    names = read_artifact(model).heads["label"].classes
    labels = [f"{name}\t\t" for name in names[:20]]
    geomodel = write_geomodel(tmp_path / "geo.onnx", labels, [k / 20 for k in range(20)], [0.0] * 20)
    asked = Detections(top=40, geomodel=geomodel, lat=10, lon=0, min_occurrence=0.52)
    run(recordings / "b.wav", model, workers=1, sink=tmp_path / "run.csv", detections=asked)
    rows = read(tmp_path / "run.csv")
    assert {(row["class"], row["occurrence"]) for row in rows} == {
        *((name, f"{k / 20:.4g}") for k, name in enumerate(names[:20]) if k / 20 >= 0.52),
        *((name, "") for name in names[20:]),
    }
    run_archive(recordings / "b.wav", model, tmp_path / "out", progress=False)
    merge_archive(tmp_path / "out", tmp_path / "merged.csv", detections=asked, progress=False)
    assert (tmp_path / "merged.csv").read_bytes() == (tmp_path / "run.csv").read_bytes()
    labelled = Detections(min_score=-1e9, format="audacity", geomodel=geomodel, lat=10, lon=0, merge_gap_s=0)
    run(recordings / "b.wav", model, workers=1, sink=tmp_path / "labels.txt", detections=labelled)
    marked = [line for line in (tmp_path / "labels.txt").read_text().splitlines() if line.endswith(" (not filtered)")]
    assert len(marked) == len(names[20:])
