"""`perch-bench deadline`: everything is measured, projected and reported correctly; how fast it is does not matter."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from benchmarks import cli
from benchmarks.baseline import notebook
from benchmarks.deadline import measurement, short_deadline
from benchmarks.deadline.contestants import ONNX, PUBLISHED, WITHOUT_XLA, PerchOnnx
from benchmarks.deadline.lost_score import after_deadline, average_roc_auc, highest_rows
from benchmarks.deadline.measurement import Budget
from benchmarks.deadline.projection import TimeProjection
from convert.proof.synthetic import write_soundscape
from runtime import Soundscapes, run_soundscapes
from runtime.explore.metrics import macro_roc_auc

SOUNDSCAPES = 5
BUDGET = Budget(total_s=100, rounds=2, onnx_s=0.1, tensorflow_s=0.1, tensorflow_files=1, short_deadline=3)
UNKNOWN = "1139490"


@pytest.fixture(scope="module")
def soundscapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("soundscapes")
    for i in range(SOUNDSCAPES):
        write_soundscape(folder / f"{i}.ogg", i)
    return folder


@pytest.fixture(scope="module")
def sample(saved_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample_submission.csv"
    path.write_text(f"row_id,{','.join([*class_names(saved_model)[:20], UNKNOWN])}\n")
    return path


def instant(saved_model: Path) -> notebook.Infer:
    """A model with the same classes that takes no time."""
    classes = class_names(saved_model)

    def infer(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        return windows[:, : len(classes)]

    return infer


def class_names(saved_model: Path) -> list[str]:
    return (saved_model / "assets" / "label.csv").read_text().split()[1:]


@pytest.fixture(scope="module")
def measured(
    saved_model: Path, label_model: Path, soundscapes: Path, sample: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], str]:
    """The figures and the printed text. The compiled model, slow to start, is tested in test_notebook.py."""
    target = tmp_path_factory.mktemp("bench") / "figures.json"
    arguments = [saved_model, label_model, "--soundscapes", soundscapes, "--classes", sample, "--json", target]
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notebook, "as_published", instant)
        patch.setattr(measurement, "QUICK", BUDGET)
        # How far a run gets in half the time depends on speed.
        patch.setattr(short_deadline, "half_time_s", lambda *_: 3600.0)
        patch.setattr("builtins.print", lambda *parts, **_: lines.append(" ".join(map(str, parts))))
        assert cli.main(["deadline", *map(str, arguments), "--deadline", "1m", "--quick"]) == 0
    return json.loads(target.read_text()), "\n".join(lines)


def test_every_side_is_measured_and_projected(measured: tuple[dict[str, Any], str]) -> None:
    figures, _ = measured
    assert (figures["command"], figures["classes"], figures["unmapped"]) == ("deadline", 21, 1)
    assert (figures["recordings"], figures["deadline_s"], figures["tensorflow"]) == (SOUNDSCAPES, 60, "runs")
    assert list(figures["ways"]) == [ONNX, PUBLISHED, WITHOUT_XLA]
    for way in figures["ways"].values():
        rounds = way["seconds_a_soundscape"]["values"]
        assert len(rounds) == BUDGET.rounds
        assert min(rounds) > 0
        assert way["kind"] in ("projected", "not projected")
        assert math.isclose(way["total_minutes"] * 60, way["start_up_s"] + 700 * np.mean(rounds))
        assert way["interval_minutes"][0] <= way["total_minutes"] <= way["interval_minutes"][1]
        assert math.isclose(way["margin_minutes"], 1 - way["total_minutes"])
    assert len(figures["ways"][ONNX]["start_ups_s"]) == 1 + BUDGET.rounds + 3  # a pilot, and 3 for the short deadline
    for name in (PUBLISHED, WITHOUT_XLA):
        way = figures["ways"][name]
        assert way["start_up_s"] == way["load_s"] + way["first_call_s"]
        assert way["files_a_round"] == 1
    assert figures["noise"]["worst_spread"] >= figures["noise"]["spread"] >= 1
    assert {"page_cache", "took_s", "environment"} <= set(figures)


def test_submissions_under_a_deadline_are_complete(measured: tuple[dict[str, Any], str]) -> None:
    figures = measured[0]["scaled"]
    assert figures["soundscapes"] == BUDGET.short_deadline
    outcomes = figures["outcomes"]
    assert list(outcomes) == [f"{ONNX}, fill", f"{ONNX}, interpolate", f"{PUBLISHED}, TERMINATE_TIME"]
    for name, outcome in outcomes.items():
        assert outcome["complete"], name
        assert outcome["scored"] == 1  # there was time for all
        assert outcome["late_s"] == max(0, outcome["elapsed_s"] - outcome["deadline_s"])
        if name.startswith(ONNX):
            assert outcome["error"] < 1e-5
            assert outcome["average_roc_auc"] == 1
    assert outcomes[f"{PUBLISHED}, TERMINATE_TIME"]["error"] > 0.01  # the instant model gives other scores


def test_rows_that_were_not_reached_cost_roc_auc(
    label_model: Path, soundscapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    perch, paths = PerchOnnx(label_model, None, tmp_path), sorted(soundscapes.iterdir())[:3]
    short = short_deadline.ShortDeadline(perch, paths)

    def too_late(paths: object, *, deadline_s: float, on_deadline: str, sink: None) -> Soundscapes:
        result = run_soundscapes(soundscapes, label_model, progress=False)
        result._blocks = result._blocks[: 3 if on_deadline == "fill" else 2]
        result._blocks[1].status[:] = "filled"
        result._blocks[1].outputs["label"][:] = np.nan
        return result

    monkeypatch.setattr(perch, "run", too_late)
    outcome = short.run("fill")
    assert outcome.complete
    assert (outcome.scored, outcome.interpolated, outcome.filled) == (2 / 3, 0, 1 / 3)
    assert outcome.error < 1e-5
    assert 0 < outcome.roc_auc < 1
    assert 0.5 < outcome.average_roc_auc < 1
    assert not short.run("interpolate").complete  # a soundscape is missing


def test_verdicts_come_first(measured: tuple[dict[str, Any], str]) -> None:
    figures, printed = measured
    for name, way in figures["ways"].items():
        assert f"{name}: {way['verdict']}" in printed
    for text in ("is the deadline", "times as fast", "complete", "Student's t", "page cache"):
        assert text in printed
    assert printed.index("700 soundscapes") < printed.index("is the deadline") < printed.index("ROC-AUC")


def test_all_are_measured_where_there_is_time(
    saved_model: Path,
    label_model: Path,
    soundscapes: Path,
    sample: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notebook, "as_published", instant)
    monkeypatch.setattr(notebook, "without_xla", lambda _: None)
    monkeypatch.setattr(measurement, "SOUNDSCAPES", SOUNDSCAPES)
    monkeypatch.setattr(measurement, "DEFAULT", Budget(1000, 2, 0.1, 0.1, 1, 0))
    target = tmp_path / "figures.json"
    arguments = [saved_model, label_model, "--soundscapes", soundscapes, "--json", target]
    assert cli.main(["deadline", *map(str, arguments)]) == 0
    ways = json.loads(target.read_text())["ways"]
    assert list(ways) == [ONNX, PUBLISHED]
    for way in ways.values():
        assert way["kind"] == "measured"
        assert way["interval_minutes"] == [way["total_minutes"]] * 2


def test_projection_is_the_mean_with_students_interval() -> None:
    rounds = [1.0, 1.2, 1.1, 1.5]
    projection = TimeProjection(20.0, rounds)
    assert math.isclose(projection.total_s, 20 + 700 * 1.2)
    expected = stats.t.interval(0.95, 3, loc=1.2, scale=stats.sem(rounds))
    np.testing.assert_allclose(projection.interval_s, [20 + 700 * end for end in expected])
    assert TimeProjection(20.0, [1.2]).interval_s == (20.0, math.inf)
    assert TimeProjection(20.0, [1.0, 9.0]).interval_s[0] == 20.0
    measured = TimeProjection(20.0, rounds, 900.0)
    assert (measured.total_s, measured.interval_s) == (900.0, (900.0, 900.0))


@pytest.mark.parametrize(
    ("projection", "verdict"),
    [
        (
            TimeProjection(60.0, [1.0], 162.0),
            "2.7 of 90 minutes (measured): 87.3 minutes to spare; needs 1 core like these",
        ),
        (TimeProjection(0.0, [8.9, 8.8, 8.8]), "misses it by 13.1 minutes; needs 3 cores like these"),
        (TimeProjection(0.0, [7.0, 7.8, 8.6]), "too close to call"),
        (TimeProjection(6000.0, [1.0, 1.1]), "more than any number of cores"),
        (
            TimeProjection(20.0, [5.0, 9.0, 12.5]),
            "5 to 12.5 s a soundscape in 3 rounds, which say too little to project 700 of them",
        ),
        (TimeProjection(20.0, [5.0]), "5 s a soundscape in 1 round, which say too little"),
    ],
)
def test_verdict(projection: TimeProjection, verdict: str) -> None:
    assert verdict in projection.verdict(2, 5400.0)


def test_cores_that_just_do_meet_the_deadline() -> None:
    projection = TimeProjection(60.0, [10.0, 10.0])
    cores = projection.cores(2, 5400.0)
    assert math.isclose(60 + 7000 * 2 / cores, 5400)


def test_a_class_is_there_where_it_scores_highest() -> None:
    scores = np.random.default_rng(0).standard_normal((240, 7)).astype(np.float32)
    scores[:, 3] = 0
    truth = highest_rows(scores)
    assert truth.sum(axis=0).tolist() == [12, 12, 12, 0, 12, 12, 12]
    assert macro_roc_auc(scores, truth) == 1


def test_rows_after_a_deadline() -> None:
    full = np.arange(48, dtype=np.float32).reshape(24, 2) ** 2
    status = np.array(["scored", "interpolated", "scored", *["interpolated"] * 9, *["filled"] * 12])
    rows = after_deadline(full, status)
    np.testing.assert_array_equal(rows[[0, 2]], full[[0, 2]])
    np.testing.assert_array_equal(rows[1], (full[0] + full[2]) / 2)
    np.testing.assert_array_equal(rows[3:12], np.repeat(full[2:3], 9, axis=0))
    assert (rows[12:] == -1000).all()


def test_average_over_orders_does_not_depend_on_the_order() -> None:
    full = np.random.default_rng(1).standard_normal((48, 5)).astype(np.float32)
    half = np.repeat(["scored", "filled"], 24)
    average = average_roc_auc(full, half)
    assert math.isclose(average, average_roc_auc(full, np.roll(half, 12)))
    assert 0.5 < average < 1
    assert average_roc_auc(full, np.repeat("scored", 48)) == 1


def test_wrong_use_is_one_line(
    saved_model: Path, v2: Path, model: Path, soundscapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "short").mkdir()
    write_soundscape(tmp_path / "short" / "a.ogg", 0, 10.0)
    (tmp_path / "unknown.csv").write_text("row_id,nobody,knows\n")
    for arguments, message in (
        ([saved_model, tmp_path / "none.onnx"], "there is no model at"),
        ([tmp_path / "none", model], "there is no folder"),
        ([v2, model], "was not made from"),
        ([saved_model, model, "--soundscapes", tmp_path / "empty"], "no recordings in"),
        ([saved_model, model, "--soundscapes", tmp_path / "short"], "exactly 60 s at 32000 Hz"),
        ([saved_model, model, "--classes", tmp_path / "unknown.csv"], "none of the names in"),
        ([saved_model, model, "--json", tmp_path / "none" / "figures.json"], "cannot write"),
        ([saved_model, model, "--deadline", "0"], "--deadline is 0"),
    ):
        assert cli.main(["deadline", *map(str, arguments)]) == 2, arguments
        errors = capsys.readouterr().err
        assert errors.startswith("perch-bench: ")
        assert message in errors
        assert len(errors.splitlines()) == 1
