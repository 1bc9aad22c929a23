from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.parity import quality
from benchmarks.parity.quality import compare_quality
from runtime.explore.metrics import cmap, macro_roc_auc, mean_average_precision, top1_accuracy

RNG = np.random.default_rng(0)
TRUTH = RNG.random((60, 12)) < 0.15
SCORES = (RNG.normal(size=TRUTH.shape) + TRUTH).round(1).astype(np.float32)
OTHERS = (SCORES + RNG.normal(0, 0.3, TRUTH.shape)).astype(np.float32)
RECORDINGS = [f"r{i % 7}" for i in range(60)]
METRICS = (mean_average_precision, cmap, top1_accuracy, macro_roc_auc)


@pytest.fixture(autouse=True)
def fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer resamples, which take less time."""
    monkeypatch.setattr(quality, "RESAMPLES", 200)


def test_resamples_have_the_metrics_of_rows_taken_as_often_as_they_were_drawn() -> None:
    measure = quality._measure(SCORES, TRUTH)
    for rows in (RNG.integers(0, 60, 60) for _ in range(40)):
        expected = [metric(SCORES[rows], TRUTH[rows]) for metric in METRICS]
        np.testing.assert_allclose(measure(rows), expected, rtol=1e-12)


def test_difference_and_interval() -> None:
    found = compare_quality(SCORES, OTHERS, TRUTH, RECORDINGS)
    assert [each.metric for each in found] == ["MAP", "cMAP5", "top-1 accuracy", "macro ROC-AUC"]
    for each, metric in zip(found, METRICS, strict=True):
        assert (each.tensorflow, each.onnx) == (metric(SCORES, TRUTH), metric(OTHERS, TRUTH))
        assert each.difference == each.onnx - each.tensorflow
        assert each.interval[0] < each.interval[1]
    assert found == compare_quality(SCORES, OTHERS, TRUTH, RECORDINGS)


def test_equal_scores_do_not_differ() -> None:
    for each in compare_quality(SCORES, SCORES.copy(), TRUTH, RECORDINGS):
        assert (each.difference, each.interval) == (0, (0, 0))


def test_windows_of_one_recording_are_drawn_apart() -> None:
    one = compare_quality(SCORES, OTHERS, TRUTH, ["r"] * 60)
    assert one == compare_quality(SCORES, OTHERS, TRUTH, [str(i) for i in range(10, 70)])
    assert one[0].interval[0] < one[0].interval[1]


def test_what_is_not_defined_is_nan() -> None:
    few = TRUTH.copy()
    few[:, :] = False
    few[0, 0] = few[30, 1] = True
    found = {each.metric: each for each in compare_quality(SCORES, OTHERS, few, RECORDINGS)}
    assert math.isnan(found["cMAP5"].difference)
    assert all(math.isnan(end) for end in found["cMAP5"].interval)
    assert not math.isnan(found["macro ROC-AUC"].interval[0])
    for nothing in (slice(0), slice(3)):
        none = compare_quality(SCORES[nothing], OTHERS[nothing], np.zeros_like(TRUTH[nothing]), RECORDINGS[nothing])
        assert all(math.isnan(each.onnx) and math.isnan(each.interval[0]) for each in none)
