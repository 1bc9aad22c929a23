"""The statistics of `perch-bench parity`, against independent ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from benchmarks.parity.comparison import HeadComparison, HeadDifferences
from benchmarks.parity.histogram import histogram
from benchmarks.parity.summary import summarise
from convert.proof.parity import compare

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(-3, 2, (24, 50)).astype(np.float32)
CLOSE = LOGITS + RNG.normal(0, 0.3, LOGITS.shape).astype(np.float32)


def taken_in(expected: np.ndarray, actual: np.ndarray, step: int = 7, classes: bool = True) -> HeadDifferences:  # type: ignore[type-arg]
    comparison = HeadComparison(classes)
    for i in range(0, len(expected), step):
        comparison.add(expected[i : i + step], actual[i : i + step])
    return comparison.result()


@pytest.mark.parametrize("shape", [(24, 50), (24, 5, 2, 5)])
def test_window_by_window_is_what_conversion_measures_at_once(shape: tuple[int, ...]) -> None:
    expected, actual = LOGITS.reshape(shape), CLOSE.reshape(shape)
    found, known = taken_in(expected, actual, classes=False).parity, compare(expected, actual)
    for name in ("windows", "range", "error", "mean_error", "cosine_distance", "common"):
        assert getattr(found, name) == pytest.approx(getattr(known, name)), name


def test_errors_of_windows_and_columns() -> None:
    actual = LOGITS.copy()
    actual[3, 4] += 1
    actual[5, 6] -= 2
    found = taken_in(LOGITS, actual)
    apart = np.abs(LOGITS.astype(np.float64) - actual) / np.ptp(LOGITS.astype(np.float64))
    np.testing.assert_allclose(found.window_errors, apart.max(axis=1))
    np.testing.assert_allclose(found.column_errors, apart.max(axis=0))


def test_classes() -> None:
    found = taken_in(LOGITS, CLOSE)
    assert found.ranks is not None
    known = [spearmanr(a, b).statistic for a, b in zip(LOGITS, CLOSE, strict=True)]
    np.testing.assert_allclose(found.ranks, known)
    assert found.top1_equal == int((LOGITS.argmax(axis=1) == CLOSE.argmax(axis=1)).sum())
    best = [{*np.argsort(-a)[:5].tolist()} for a in LOGITS], [{*np.argsort(-b)[:5].tolist()} for b in CLOSE]
    assert found.top5 == pytest.approx(np.mean([len(a & b) / 5 for a, b in zip(*best, strict=True)]))


def test_few_and_tied_classes() -> None:
    expected = np.array([[1, 1, 1], [1, 2, 3]], np.float32)
    found = taken_in(expected, expected)
    assert found.ranks is not None
    assert (found.top5, found.top1_equal) == (1, 2)
    np.testing.assert_allclose(found.ranks, [1, 1])
    other = taken_in(expected, expected[:, ::-1])
    assert other.ranks is not None
    np.testing.assert_allclose(other.ranks, [1, -1])


def test_equal_values() -> None:
    found = summarise(taken_in(LOGITS, LOGITS))
    assert (found.error, found.mean_error, found.common, found.top1, found.rank_least) == (0, 0, 0, 1, 1)
    assert abs(found.cosine_distance) < 1e-12


def test_values_that_are_not_finite_are_an_error() -> None:
    actual = LOGITS.copy()
    actual[2, 3] = np.nan
    found = taken_in(LOGITS, actual)
    assert math.isnan(found.parity.error)
    assert found.parity.failures()


def test_what_windows_have_in_common() -> None:
    many = np.tile(LOGITS, (20, 1)) + RNG.normal(0, 1e-3, (480, 50)).astype(np.float32)  # none twice the same
    noise = RNG.normal(0, 0.01, many.shape)
    assert taken_in(many, many + noise).common == pytest.approx(480**-0.5, rel=0.3)
    shift = RNG.normal(0, 0.01, 50)
    assert taken_in(many, many + shift).common == pytest.approx(1, abs=1e-3)
    share = float(np.sqrt((shift**2).mean() / ((shift**2).mean() + (noise**2).mean())))
    assert taken_in(many, many + noise + shift).common == pytest.approx(share, rel=0.05)


def test_windows_that_are_the_same_count_once_for_that() -> None:
    expected, actual = np.repeat(LOGITS, 5, axis=0), np.repeat(CLOSE, 5, axis=0)
    found = taken_in(expected, actual)
    assert found.distinct == 24
    assert found.common == pytest.approx(compare(LOGITS, CLOSE).common)


def test_histograms_count_every_window() -> None:
    errors = np.array([0, 1e-6, 2e-6, 1e-4, np.inf, np.nan])
    found = histogram(errors)
    assert sum(found.counts) == len(errors)
    assert found.decades == [-6, -5, -4]
    assert found.counts[0] == 2
    assert sum(histogram(np.zeros(3)).counts) == 3
