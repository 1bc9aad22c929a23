"""A file sliced for wanted classes gives what the whole one does, whatever stands for unknown classes."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from convert.conversion import convert
from convert.proof.synthetic import windows
from runtime import Detections, InputError, run_soundscapes
from runtime.classes import taxonomy
from runtime.classes.taxonomy import Taxonomy
from runtime.classes.wanted import WantedClasses, read_classes
from runtime.cli import main
from runtime.model.artifact import read_artifact
from runtime.model.heads import NO_CLASS
from runtime.model.profile import Setup
from runtime.model.session import Session
from runtime.request.request import Request
from runtime.workers.job import Job, make_job
from runtime.workers.worker import rows_of
from tests.support.broken import edited
from tests.support.recordings import WINDOW

GENERA = ("corvus", "grallaria", "turdus", "vireo")
OTHERS = ("falco", "passer", "anas")
UNMAPPED = ("zero", "-2.5", "genus-max", "genus-mean", "genus-head")
WANTED = "row_id,houspa,1139490,comrav,rufant7,7,grcthr1,Corvus ultor,amecro\nx_5,0,0,0,0,0,0,0,0\n"
MET = ["exact", "genus", "exact", "genus", "absent", "genus", "genus", "exact"]
TAXONOMY = "primary_label,scientific_name,common_name\n1139490,Vireo alius,A vireo\n7,Hyla alia,A frog\n"
TOLERANCE = 2e-5
"""Of a product of fewer columns sums may be taken in another order."""


def codes(count: int) -> list[str]:
    """Codes of birds with a scientific name, of which three are wanted, in some order."""
    with Path(taxonomy.__file__).with_name("ebird.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["genus"] in (*GENERA, *OTHERS) and row["scientific_name"]]
    found = [row["code"] for row in rows if row["code"] not in ("houspa", "comrav", "amecro", "rufant7")]
    return ["comrav", *found[:: len(found) // (count - 3)][: count - 3], "amecro", "houspa"]


def write_list(path: Path, header: str, names: list[str]) -> None:
    path.write_text("\r\n".join([header, *names, ""]), newline="")


def renamed(source: Path, target: Path, assets: Path, lists: dict[str, str]) -> Path:
    """A converted file with the class lists of a folder instead of its own, by entry and by file."""
    entries = {f"classes.{key}": "\n".join((assets / name).read_text().splitlines()) for key, name in lists.items()}
    return edited(source, target, lambda proto: None, entries)


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("wanted")
    (folder / "sample_submission.csv").write_text(WANTED)
    (folder / "taxonomy.csv").write_text(TAXONOMY)
    return folder / "sample_submission.csv", folder / "taxonomy.csv"


@pytest.fixture(scope="module")
def both_v1(
    tmp_path_factory: pytest.TempPathFactory, saved_model: Path, model: Path, wanted: tuple[Path, Path]
) -> tuple[Path, Path]:
    """A v1 with classes of eBird, whole and sliced."""
    folder = tmp_path_factory.mktemp("v1")
    named = Path(shutil.copytree(saved_model, folder / "saved_model"))
    write_list(named / "assets" / "label.csv", "ebird2021", codes(40))
    write_list(named / "assets" / "genus.csv", "ebird2021_genera", [*GENERA, *(f"other{i}" for i in range(5))])
    whole = renamed(model, folder / "whole.onnx", named / "assets", {"label": "label.csv", "genus": "genus.csv"})
    convert(named, folder / "sliced.onnx", classes=wanted[0], taxonomy=wanted[1], progress=False)
    return whole, folder / "sliced.onnx"


@pytest.fixture(scope="module")
def both_v2(
    tmp_path_factory: pytest.TempPathFactory, v2: Path, v2_model: Path, wanted: tuple[Path, Path]
) -> tuple[Path, Path]:
    """A v2 with scientific names, half of which have codes, whole and sliced."""
    folder = tmp_path_factory.mktemp("v2")
    named = Path(shutil.copytree(v2, folder / "saved_model"))
    known = codes(60)
    first, second = (named / "assets" / name for name in ("labels.csv", "perch_v2_ebird_classes.csv"))
    write_list(first, "inat2024_fsd50k", [Taxonomy()[code].scientific_name for code in known])
    write_list(second, "ebird2021", [NO_CLASS if i % 2 else code for i, code in enumerate(known)])
    lists = {"label": first.name, "label.ebird2021": second.name}
    whole = renamed(v2_model, folder / "whole.onnx", named / "assets", lists)
    convert(named, folder / "sliced.onnx", classes=wanted[0], taxonomy=wanted[1], progress=False)
    return whole, folder / "sliced.onnx"


def job(model: Path, wanted: WantedClasses, unmapped: str) -> Job:
    request = Request(unmapped=unmapped)  # type: ignore[arg-type]
    return make_job(read_artifact(model), model, request, "cpu", Setup(1, 1, 2), wanted)


def scores(model: Path, wanted: WantedClasses, unmapped: str) -> NDArray[np.float32]:
    """Rows of four windows."""
    session, asked = Session(model), job(model, wanted, unmapped)
    samples = windows(3, 4, WINDOW)
    found = session.run(samples, asked.computed, asked.setup.batch_size)
    rows = rows_of(np.arange(4), np.ones(4, bool), found, session.artifact, asked)
    assert set(rows.outputs) == {"label"}
    return rows.outputs["label"]


def check_equal(models: tuple[Path, Path], wanted: WantedClasses, unmapped: str) -> None:
    """Whole and sliced file give the same, and constants only where nothing is known."""
    whole, sliced = (scores(model, wanted, unmapped) for model in models)
    np.testing.assert_allclose(sliced, whole, atol=TOLERANCE)
    met = np.array(MET) if "genus" in unmapped else np.where(np.array(MET) == "exact", "exact", "absent")
    value = -2.5 if unmapped == "-2.5" else 0
    assert (whole == value).all(axis=0).tolist() == (met == "absent").tolist()
    for model in models:
        class_map = job(model, wanted, unmapped).class_maps.get("label")
        assert class_map is not None and list(class_map.met) == met.tolist()


@pytest.mark.parametrize("unmapped", UNMAPPED)
def test_sliced_v1_gives_what_the_whole_one_does(
    both_v1: tuple[Path, Path], wanted: tuple[Path, Path], unmapped: str
) -> None:
    check_equal(both_v1, read_classes(*wanted), unmapped)


@pytest.mark.parametrize("unmapped", UNMAPPED)
def test_sliced_v2_gives_what_the_whole_one_does(
    both_v2: tuple[Path, Path], wanted: tuple[Path, Path], unmapped: str
) -> None:
    if unmapped != "genus-head":
        check_equal(both_v2, read_classes(*wanted), unmapped)
        return
    for model in both_v2:
        with pytest.raises(InputError, match=r"the model has no output 'genus' .*; use 'genus-max'"):
            job(model, read_classes(*wanted), unmapped)


def test_relatives_are_kept_and_not_more(both_v1: tuple[Path, Path], both_v2: tuple[Path, Path]) -> None:
    for models in (both_v1, both_v2):
        whole, sliced = (read_artifact(model) for model in models)
        genera = [Taxonomy()[name].genus for name in whole.heads["label"].classes]
        kept = [Taxonomy()[name].genus for name in sliced.heads["label"].classes]
        assert kept == [genus for genus in genera if genus in GENERA] + ["passer"]
        assert 0 < len(kept) < len(genera) - 10
        assert sliced.options["unknown_classes"] == ["1139490", "rufant7", "7", "grcthr1", "Corvus ultor"]
    whole, sliced = (read_artifact(model).heads["genus"] for model in both_v1)
    assert whole.classes == sliced.classes


def test_what_a_sliced_file_lacks_is_refused_with_the_remedy(
    both_v1: tuple[Path, Path], both_v2: tuple[Path, Path], wanted: tuple[Path, Path]
) -> None:
    classes = read_classes(["houspa", "Falco alius"])
    for whole, sliced in (both_v1, both_v2):
        for unmapped in ("genus-max", "genus-mean"):
            assert np.isfinite(scores(whole, classes, unmapped)).all()
            with pytest.raises(InputError, match=r"without Falco alius .*; convert it again with `--classes"):
                job(sliced, classes, unmapped)
        np.testing.assert_allclose(*(scores(model, classes, "zero") for model in (whole, sliced)), atol=TOLERANCE)


def test_submission_of_a_genus_head_that_was_not_asked_for(
    tmp_path: Path, both_v1: tuple[Path, Path], recordings: Path, wanted: tuple[Path, Path]
) -> None:
    """Through real workers: `genus` is computed, and `label` alone is written."""
    tables = []
    for model in both_v1:
        target = tmp_path / f"{model.stem}.csv"
        arguments = ["--model", model, "--classes", wanted[0], "--taxonomy", wanted[1], "--unmapped", "genus-head"]
        assert main([str(each) for each in (recordings / "b.wav", *arguments, "-o", target)]) == 0
        tables.append(np.genfromtxt(target, delimiter=",", skip_header=1)[:, 1:])
        assert target.read_text().splitlines()[0] == WANTED.splitlines()[0]
    np.testing.assert_allclose(*tables, atol=TOLERANCE)
    both = run_soundscapes(
        recordings / "b.wav", both_v1[0], outputs=("label", "genus"), classes=wanted[0], unmapped="genus-head",
        taxonomy=wanted[1], progress=False,
    )  # fmt: skip
    np.testing.assert_allclose(both["label"][:, 3], both["genus"][:, GENERA.index("grallaria")])
    np.testing.assert_allclose(both["label"], tables[0], atol=TOLERANCE)
    assert both.class_map is not None and list(both.class_map.met) == MET
    assert both.unmapped == ["7"]
    assert "classes: 3 exact; 4 by genus-head: 1139490, rufant7, grcthr1, Corvus ultor; 1 absent" in both.summary()


def test_detections_are_told_by_the_taxonomy(
    tmp_path: Path, both_v1: tuple[Path, Path], recordings: Path, wanted: tuple[Path, Path]
) -> None:
    result = run_soundscapes(
        recordings / "b.wav", both_v1[1], classes=wanted[0], taxonomy=wanted[1], unmapped="genus-max", progress=False
    )
    result.to_detections(tmp_path / "found.csv", Detections(top=8))
    with (tmp_path / "found.csv").open(newline="") as file:
        found = {row["class"]: (row["scientific_name"], row["common_name"]) for row in csv.DictReader(file)}
    assert found["1139490"] == ("Vireo alius", "A vireo")
    assert found["rufant7"] == ("Grallaria rufula", "")
    assert set(found) == set(result.classes["label"]) - {"7"}  # of which nothing is known


def test_rows_of_another_map_are_not_taken_up(both_v1: tuple[Path, Path], wanted: tuple[Path, Path]) -> None:
    """What a run compares before it goes on differs with the choice, the taxonomy alone, and the classes."""
    asked = [(read_classes(*wanted), unmapped) for unmapped in UNMAPPED]
    asked += [(read_classes(wanted[0]), "genus-max"), (read_classes(["comrav", "houspa"]), "zero")]
    told = [json.dumps(job(both_v1[0], classes, unmapped).options) for classes, unmapped in asked]
    assert len(set(told)) == len(asked)
    assert told[2] == json.dumps(job(both_v1[0], *asked[2]).options)
