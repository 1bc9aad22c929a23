"""How well a converted model finds the species, beside TensorFlow, and how certain the difference is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.explore.metrics import Scores, Truth, cmap, macro_roc_auc, mean, row_precision, row_top1

RESAMPLES = 2_000
"""Resamples of the bootstrap."""
INTERVAL = (2.5, 97.5)
METRICS = ("MAP", "cMAP5", "top-1 accuracy", "macro ROC-AUC")


@dataclass(frozen=True)
class Quality:
    """A metric of both models; `difference` is ONNX's minus TensorFlow's, `interval` its 95% confidence interval."""

    metric: str
    tensorflow: float
    onnx: float
    difference: float
    interval: tuple[float, float]


def compare_quality(tensorflow: Scores, onnx: Scores, truth: Truth, recordings: Sequence[str]) -> list[Quality]:
    """The metrics of both models' scores `[rows, classes]`; NaN where a metric is not defined.

    The interval is a percentile bootstrap of 2,000 resamples, paired over both models and the same in every call.
    Whole recordings are drawn (`recordings[i]` is that of row i), since windows of one recording are not independent.
    With a single recording its windows are drawn, and the interval is narrower than it should be. Resamples in which a
    metric is not defined are left out of its interval.
    """
    if not truth.any():
        nan = float("nan")
        return [Quality(name, nan, nan, nan, (nan, nan)) for name in METRICS]
    names, groups = np.unique(np.asarray(recordings), return_inverse=True)
    if len(names) == 1:
        groups = np.arange(len(groups))
    count, every = int(groups.max()) + 1, np.arange(len(truth))
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    measures = [_measure(scores, truth) for scores in (tensorflow, onnx)]
    before, after = (measure(every).tolist() for measure in measures)
    resamples = (np.repeat(every, draw[groups]) for draw in draws)
    differences = np.array([measures[1](rows) - measures[0](rows) for rows in resamples])
    qualities = []
    for name, one, other, resampled in zip(METRICS, before, after, differences.T, strict=True):
        defined = resampled[~np.isnan(resampled + other)]
        low, high = np.percentile(defined, INTERVAL).tolist() if defined.size else (float("nan"), float("nan"))
        qualities.append(Quality(name, one, other, other - one, (low, high)))
    return qualities


def _measure(scores: Scores, truth: Truth) -> Callable[[NDArray[np.int64]], NDArray[np.float64]]:
    """A function that gives the `METRICS` of some of the rows, each of which may be there several times."""
    precision, top1 = row_precision(scores, truth), row_top1(scores, truth)
    used = truth.any(axis=0)  # metrics of classes leave out those without a positive
    scores, truth = scores[:, used], truth[:, used]

    def measure(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        by_class = cmap(scores[rows], truth[rows]), macro_roc_auc(scores[rows], truth[rows])
        return np.array([mean(precision[rows]), by_class[0], mean(top1[rows]), by_class[1]])

    return measure
