"""Runs of a model with heads that a user added: probabilities, thresholds, and what is refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.proof.synthetic import soundscape
from runtime import Detections, InputError, Model, load_model, merge_archive, run_archive
from runtime.cli import main
from runtime.explore.rows import open_runs
from runtime.model.artifact import read_artifact
from runtime.model.profile import VARIABLE, Setup, write_profile
from runtime.request.request import Request
from runtime.workers.setup import choose_setup
from tests.support.own_heads import CLASSES, trained, write_taught
from tests.support.recordings import RATE, write
from tests.support.runs import interrupt, run
from tests.support.small_v2 import write_small_v2

SOUND = soundscape(2, 33)
AUTO = Detections(min_score="auto")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_v2(tmp_path_factory.mktemp("base") / "perch.onnx")


@pytest.fixture(scope="module")
def probabilities(base: Path) -> Any:
    """What the head gives for `SOUND`, in float64."""
    rows = load_model(base, "cpu").run(SOUND, RATE, outputs="embedding", progress=False)
    return trained(base)(rows["embedding"])


@pytest.fixture(scope="module")
def mine(base: Path, probabilities: Any) -> Path:
    """A model whose own head has, in its first and third class, one of the probabilities as its threshold."""
    limits = (float(probabilities[1, 0]), None, float(np.median(probabilities[:, 2])))
    return write_taught(base, base.with_name("mine.onnx"), head=trained(base, thresholds=limits))


@pytest.fixture(scope="module")
def model(mine: Path) -> Model:
    return load_model(mine, "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    write(folder / "a.wav", soundscape(1, 12))
    write(folder / "b.wav", SOUND)
    return folder


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def detected(probabilities: Any) -> list[tuple[float, str]]:
    """Starts and classes of the windows whose probability reaches the thresholds of `mine`."""
    limits = [probabilities[1, 0], np.inf, np.median(probabilities[:, 2])]
    return [(5.0 * row, CLASSES[i]) for row, each in enumerate(probabilities) for i in range(3) if each[i] >= limits[i]]


def test_one_pass_gives_the_models_outputs_and_the_heads(base: Path, model: Model, probabilities: Any) -> None:
    rows = model.run(SOUND, RATE, outputs=("label", "mine"), progress=False)
    np.testing.assert_allclose(rows["mine"], probabilities, rtol=0, atol=1e-7)
    alone = load_model(base, "cpu").run(SOUND, RATE, progress=False)
    np.testing.assert_array_equal(rows["label"], alone["label"])
    assert rows.classes["mine"] == CLASSES == model.classes["mine"]
    assert model(SOUND[None, :160_000], "mine")["mine"].shape == (1, 3)


@pytest.mark.parametrize("options", [{"activation": "sigmoid"}, {"activation": "softmax"}, {"namespace": "ebird2021"}])
def test_probabilities_are_left_as_they_are(model: Model, probabilities: Any, options: dict[str, Any]) -> None:
    rows = model.run(
        SOUND,
        RATE,
        outputs=("label", "mine"),
        logit_scale="perch-hoplite",
        classes=["comrav"],
        progress=False,
        **options,
    )
    np.testing.assert_allclose(rows["mine"], probabilities, rtol=0, atol=1e-7)
    assert rows.classes == {"label": ("comrav",), "mine": CLASSES}


def test_probabilities_are_smoothed_pooled_and_scaled_as_scores_are(
    model: Model, probabilities: Any, tmp_path: Path
) -> None:
    def given(**options: Any) -> Any:
        return model.run(SOUND, RATE, outputs="mine", progress=False, **options)["mine"]

    smooth = given(smooth=(1, 1, 1))
    np.testing.assert_allclose(smooth[1], probabilities[:3].mean(axis=0), atol=1e-6)
    scaled = given(file_scale=2)
    np.testing.assert_allclose(scaled, probabilities * np.sort(probabilities, axis=0)[-2:].mean(axis=0), atol=1e-6)
    for options, there in (({}, True), ({"file_scale": 2}, False)):
        model.run(SOUND, RATE, outputs="mine", progress=False, sink=tmp_path / "rows.npz", **options)
        assert ("thresholds" in open_runs([tmp_path / "rows.npz"])[0].about) == there
    halves = given(hop_s=2.5)
    np.testing.assert_allclose(given(hop_s=2.5, pool="max")[1], halves[1:4].max(axis=0), atol=1e-6)
    assert given(shifts=(0, 0.5)).shape == probabilities.shape


def test_a_csv_holds_the_head_alone(model: Model, probabilities: Any, tmp_path: Path) -> None:
    model.run(SOUND, RATE, "night", outputs="mine", sink=tmp_path / "mine.csv", progress=False)
    rows = read(tmp_path / "mine.csv")
    assert list(rows[0]) == ["row_id", *CLASSES]
    np.testing.assert_allclose([float(row["Pipit, tree"]) for row in rows], probabilities[:, 1], atol=1e-7)


def test_each_class_is_detected_from_its_own_threshold_on(model: Model, probabilities: Any, tmp_path: Path) -> None:
    wanted = detected(probabilities)
    assert (5.0, "rain") in wanted and 0 < len(wanted) < 2 * len(probabilities)
    rows = model.run(SOUND, RATE, "b", outputs="mine", sink=tmp_path / "found.csv", detections=AUTO, progress=False)
    assert sorted((float(row["start_s"]), row["class"]) for row in read(tmp_path / "found.csv")) == sorted(wanted)
    assert "thresholds of mine: 2 of 3 classes, not Pipit, tree" in rows.summary()
    model.run(SOUND, RATE, outputs="mine", sink=tmp_path / "top.csv", detections=replace(AUTO, top=1), progress=False)
    assert len(read(tmp_path / "top.csv")) == len({start for start, _ in wanted})


def test_thresholds_serve_events_lists_and_the_tables_of_other_programs(
    model: Model, probabilities: Any, tmp_path: Path
) -> None:
    wanted = detected(probabilities)
    rows = model.run(SOUND, RATE, "b", outputs="mine", progress=False)
    rows.to_detections(tmp_path / "b.selections.txt", AUTO)
    assert len((tmp_path / "b.selections.txt").read_text().splitlines()) == 1 + len(wanted)
    rows.to_detections(tmp_path / "b.txt", AUTO)
    assert len((tmp_path / "b.txt").read_text().splitlines()) == len(wanted)
    (tmp_path / "list.txt").write_text("species\nfrog\n")
    listed = replace(AUTO, species_list=tmp_path / "list.txt")
    rows.to_detections(tmp_path / "frogs.csv", listed)
    assert [float(row["start_s"]) for row in read(tmp_path / "frogs.csv")] == [
        at for at, name in wanted if name == "frog"
    ]
    rows.to_detections(tmp_path / "events.csv", replace(AUTO, merge_gap_s=0))
    assert sum(int(row["windows"]) for row in read(tmp_path / "events.csv")) == len(wanted)


def test_a_merged_archive_has_the_thresholds_of_its_head(mine: Path, folder: Path, tmp_path: Path) -> None:
    run(folder, mine, outputs="mine", sink=tmp_path / "run.csv", detections=AUTO, workers=1)
    assert len(read(tmp_path / "run.csv")) > 2
    both = {"outputs": ("label", "mine"), "activation": "sigmoid"}
    run_archive(folder, mine, tmp_path / "out", **both, workers=1, progress=False)
    assert main(["--merge", str(tmp_path / "out"), "-o", str(tmp_path / "merged.csv"), "--min-score", "auto"]) == 0
    assert (tmp_path / "merged.csv").read_bytes() == (tmp_path / "run.csv").read_bytes()
    with pytest.raises(InputError, match="of one output with classes, not label, mine"):
        merge_archive(tmp_path / "out", tmp_path / "x.csv", detections=Detections(min_score=0.5), progress=False)
    with pytest.raises(InputError, match="or has probabilities that file_scale changed"):
        merge_archive(tmp_path / "out", tmp_path / "x.csv", file_scale=2, detections=AUTO, progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "of label there are none; ask for --outputs mine"),
        ({"outputs": "embedding"}, "of embedding there are none; ask for --outputs mine"),
        ({"outputs": "mine", "file_scale": 2}, "or has probabilities that file_scale changed"),
    ],
)
def test_thresholds_that_outputs_lack_are_refused(
    model: Model, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        model.run(SOUND, RATE, sink=tmp_path / "x.csv", detections=AUTO, progress=False, **options)
    assert not list(tmp_path.iterdir())


def test_a_head_without_thresholds_has_no_detections_by_them(base: Path, tmp_path: Path) -> None:
    none = write_taught(base, tmp_path / "none.onnx", head=trained(base, thresholds=(None,) * 3))
    for path, outputs, head in ((none, "mine", "mine"), (base, "label", "label")):
        with pytest.raises(InputError, match=f"and {head} has none, or"):
            load_model(path, "cpu").run(
                SOUND, RATE, outputs=outputs, sink=tmp_path / "x.csv", detections=AUTO, progress=False
            )


def test_thresholds_are_asked_for_by_one_word(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="min_score is 'automatic', but must be a number"):
        Detections(min_score="automatic")  # type: ignore[arg-type]
    with pytest.raises(SystemExit):
        main(["x", "--model", "m.onnx", "-o", "x.csv", "--min-score", "automatic"])
    assert "'automatic' is no score; write a number, or auto" in capsys.readouterr().err


def test_windows_that_are_normalised_otherwise_are_refused(base: Path, model: Model, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"taught on windows with normalize 'raw'.* 'peak'; give --normalize raw"):
        model.run(SOUND, RATE, outputs=("label", "mine"), normalize="peak", progress=False)
    assert len(model.run(SOUND, RATE, normalize="peak", progress=False)) == 7
    anyhow = write_taught(base, tmp_path / "any.onnx", head=trained(base, normalize=None))
    assert len(load_model(anyhow, "cpu").run(SOUND, RATE, outputs="mine", normalize="peak", progress=False)) == 7


def test_logits_beside_probabilities_are_not_scaled_by_recording(model: Model) -> None:
    with pytest.raises(InputError, match="those of label are logits"):
        model.run(SOUND, RATE, outputs=("label", "mine"), file_scale=2, progress=False)
    model.run(SOUND, RATE, outputs=("label", "mine"), file_scale=2, activation="sigmoid", progress=False)


def test_several_models_have_heads_of_their_own(base: Path, mine: Path, probabilities: Any, tmp_path: Path) -> None:
    both = load_model({"a": mine, "b": base}, "cpu")
    rows = both.run(SOUND, RATE, outputs=("label", "mine"), blend=(1, 1), progress=False)
    assert list(rows.outputs) == ["label", "a.mine"]
    np.testing.assert_allclose(rows["a.mine"], probabilities, rtol=0, atol=1e-7)
    both.run(SOUND, RATE, "b", outputs="a.mine", sink=tmp_path / "found.csv", detections=AUTO, progress=False)
    assert len(read(tmp_path / "found.csv")) == len(detected(probabilities))


def test_an_interrupted_run_goes_on_with_the_same_heads_alone(
    base: Path, mine: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink, outputs = tmp_path / "rows.npz", ("embedding", "mine")
    interrupt(folder, mine, sink, 1, monkeypatch, outputs=outputs, workers=1)
    other = write_taught(base, tmp_path / "other.onnx", head=trained(base, seed=5))
    with pytest.raises(InputError, match="the model's id was"):
        run(folder, other, outputs=outputs, sink=sink, resume=True)
    run(folder, mine, outputs=outputs, sink=sink, resume=True, workers=1)
    with np.load(sink) as rows:
        np.testing.assert_allclose(rows["mine"], trained(base)(rows["embedding"]), rtol=0, atol=1e-7)


def test_rows_of_both_files_are_explored_together(base: Path, mine: Path, folder: Path, tmp_path: Path) -> None:
    loaded = {"a": load_model(base, "cpu"), "b": load_model(mine, "cpu")}
    for name, outputs in (("a", ("embedding", "label")), ("b", ("embedding", "label", "mine"))):
        sink = tmp_path / f"{name}.parquet"
        loaded[name].run(SOUND, RATE, name, outputs=outputs, sink=sink, progress=False)
    first, second = open_runs([tmp_path / "a.parquet", tmp_path / "b.parquet"], "embedding")
    assert first.about["base_sha256"] == second.about["base_sha256"] == read_artifact(base).artifact_sha256
    assert second.classes["mine"] == CLASSES
    assert json.loads(second.about["thresholds"])["mine"][1] is None
    np.testing.assert_allclose(second.output("mine"), trained(base)(first.output("embedding")), rtol=0, atol=1e-7)


def test_the_doctor_shows_each_head(mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two = write_taught(mine, tmp_path / "two.onnx", "frogs", trained(mine, seed=1, normalize="peak"))
    main(["--doctor", "--model", str(two), "--device", "cpu"])
    said = capsys.readouterr().out
    head = read_artifact(mine).heads["mine"]
    assert head.own is not None
    rain, _, frog = head.own.thresholds
    for text in (
        "mine          3, probabilities of classes of your own",
        f"thresholds  rain from {rain:.3g}, frog from {frog:.3g}",
        "without one Pipit, tree",
        "taught from labels 12, recordings 3, normalize raw",
        "frogs         3, probabilities of classes of your own",
        "thresholds  rain from 0.75, frog from 0.25",
        "normalize peak",
    ):
        assert text in said
    assert "problem" not in said


def test_a_profile_serves_the_file_with_and_without_heads(
    mine: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "profile.json"))
    write_profile(read_artifact(base).base_sha256, "cpu", Setup(1, 3, 5), 60.0)
    setups: Sequence[Setup] = [choose_setup(read_artifact(path), "cpu", Request())[0] for path in (base, mine)]
    assert setups == [Setup(1, 3, 5)] * 2
