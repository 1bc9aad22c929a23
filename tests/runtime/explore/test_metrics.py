"""The metrics against scikit-learn's, on scores with ties, gaps and constants and on truths of every kind."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, label_ranking_average_precision_score, roc_auc_score

from runtime.explore.metrics import cmap, macro_roc_auc, mean_average_precision, top1_accuracy

NUMBERS = st.one_of(
    st.sampled_from([-1000.0, 0.0, -0.0, 1.0, 1e38, -1e38, 1e-40]), st.floats(-5, 5, width=32, allow_nan=False)
)


@st.composite
def tables(draw: Any) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    rows, classes = draw(st.integers(1, 14)), draw(st.integers(1, 6))
    numbers = draw(st.sampled_from([NUMBERS, st.just(-1000.0), st.sampled_from([0.0, 1.0])]))
    truths = draw(st.sampled_from([st.booleans(), st.just(True), st.just(False)]))
    scores = draw(st.lists(numbers, min_size=rows * classes, max_size=rows * classes))
    truth = draw(st.lists(truths, min_size=rows * classes, max_size=rows * classes))
    return np.array(scores, np.float32).reshape(rows, classes), np.array(truth, np.bool_).reshape(rows, classes)


def expected(metric: Callable[..., float], scores: Any, truth: Any, least: int, most: int) -> float:
    """scikit-learn's metric by class, averaged over those with so many positives."""
    used = [c for c in range(truth.shape[1]) if least <= truth[:, c].sum() <= most]
    return float(np.mean([metric(truth[:, c], scores[:, c]) for c in used])) if used else math.nan


@settings(max_examples=40, deadline=None)
@given(tables())
def test_precisions_are_those_of_scikit_learn(table: tuple[NDArray[np.float32], NDArray[np.bool_]]) -> None:
    scores, truth = table
    rows = expected(average_precision_score, scores.T, truth.T, 1, scores.shape[1])
    np.testing.assert_allclose(mean_average_precision(scores, truth), rows, rtol=1e-9)
    labelled = truth.any(axis=1)
    if labelled.any():
        wide = scores[labelled].astype(float)  # with NumPy 2.5, scikit-learn computes in the type of the scores
        ranking = label_ranking_average_precision_score(truth[labelled], wide)
        np.testing.assert_allclose(mean_average_precision(scores, truth), ranking, rtol=1e-9)
    for least in (1, 5):
        by_class = expected(average_precision_score, scores, truth, least, len(truth))
        np.testing.assert_allclose(cmap(scores, truth, least=least), by_class, rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(tables())
def test_area_is_that_of_scikit_learn(table: tuple[NDArray[np.float32], NDArray[np.bool_]]) -> None:
    scores, truth = table
    area = expected(roc_auc_score, scores, truth, 1, len(truth) - 1)
    np.testing.assert_allclose(macro_roc_auc(scores, truth), area, rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(tables())
def test_top1_is_the_share_of_rows_led_by_a_label(table: tuple[NDArray[np.float32], NDArray[np.bool_]]) -> None:
    scores, truth = table
    hits = [bool(t[s.argmax()]) for s, t in zip(scores, truth, strict=True) if t.any()]
    np.testing.assert_allclose(top1_accuracy(scores, truth), np.mean(hits) if hits else math.nan)


def test_many_rows_are_ranked_in_blocks() -> None:
    rng = np.random.default_rng(0)
    scores, truth = rng.integers(0, 9, (150, 40)).astype(np.float32), rng.random((150, 40)) < 0.1
    rows = expected(average_precision_score, scores.T, truth.T, 1, 40)
    assert mean_average_precision(scores, truth) == pytest.approx(rows, rel=1e-9)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3, 2)])
@pytest.mark.parametrize("metric", [mean_average_precision, cmap, top1_accuracy, macro_roc_auc])
def test_what_is_not_defined_is_nan(metric: Callable[..., float], shape: tuple[int, int]) -> None:
    assert math.isnan(metric(np.zeros(shape, np.float32), np.zeros(shape, np.bool_)))
