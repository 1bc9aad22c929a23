"""How well a converted model finds the species, beside TensorFlow, and how certain the difference is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.explore.metrics import (
    LEAST,
    Scores,
    Truth,
    cmap,
    macro_roc_auc,
    mean_average_precision,
    row_precision,
    row_top1,
    top1_accuracy,
)

RESAMPLES = 2_000
"""Resamples of the bootstrap."""
BLOCK = 512
"""Pairs of a window and a species in it that are ranked at a time, which bounds memory."""
INTERVAL = (2.5, 97.5)
METRICS = {
    "MAP": mean_average_precision,
    "cMAP5": cmap,
    "top-1 accuracy": top1_accuracy,
    "macro ROC-AUC": macro_roc_auc,
}
Samples = NDArray[np.float64]
"""A metric in each resample, `[resamples]`."""


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
    draws = _draws(int(groups.max()) + 1)
    sampled = [_sampled(scores, truth, groups, draws) for scores in (tensorflow, onnx)]
    qualities = []
    for name, metric in METRICS.items():
        before, after = (metric(scores, truth) for scores in (tensorflow, onnx))
        resampled = sampled[1][name] - sampled[0][name]
        defined = resampled[~np.isnan(resampled + after)]
        low, high = np.percentile(defined, INTERVAL).tolist() if defined.size else (float("nan"), float("nan"))
        qualities.append(Quality(name, before, after, after - before, (low, high)))
    return qualities


def _draws(groups: int) -> NDArray[np.float32]:
    """How often each group is drawn, `[groups, resamples]`."""
    drawn = np.random.default_rng(0).multinomial(groups, np.full(groups, 1 / groups), RESAMPLES)
    return np.ascontiguousarray(drawn.T, np.float32)


def _sampled(scores: Scores, truth: Truth, groups: NDArray[np.int64], draws: NDArray[np.float32]) -> dict[str, Samples]:
    """Each metric in each resample."""
    precision, area = _means_of_classes(scores, truth, groups, draws)
    return {
        "MAP": _mean_of_rows(row_precision(scores, truth), groups, draws),
        "cMAP5": precision,
        "top-1 accuracy": _mean_of_rows(row_top1(scores, truth), groups, draws),
        "macro ROC-AUC": area,
    }


def _mean_of_rows(values: NDArray[np.float64], groups: NDArray[np.int64], draws: NDArray[np.float32]) -> Samples:
    """The mean over rows, each counted as often as it was drawn; rows that are NaN do not count."""
    defined = ~np.isnan(values)
    sums = np.bincount(groups[defined], values[defined], len(draws))
    counts = np.bincount(groups[defined], minlength=len(draws))
    return _over(sums @ draws, counts @ draws)


def _means_of_classes(
    scores: Scores, truth: Truth, groups: NDArray[np.int64], draws: NDArray[np.float32]
) -> tuple[Samples, Samples]:
    """cMAP5 and macro ROC-AUC in each resample.

    For every positive, the rows that score at least as high are counted by group. The product of these counts with the
    draws is how many such rows a resample has.
    """
    order, used = np.argsort(groups, kind="stable"), np.flatnonzero(truth.any(axis=0))
    groups = groups[order]
    columns, true = scores[order][:, used].T.copy(), truth[order][:, used].T.copy()
    starts = np.searchsorted(groups, np.arange(len(draws)))

    def counted(chosen: NDArray[np.bool_]) -> NDArray[np.float32]:
        by_group = np.add.reduceat(chosen, starts, axis=1, dtype=np.float32)
        product: NDArray[np.float32] = by_group @ draws
        return product

    positives, negatives = counted(true), counted(~true)
    precision, above = np.zeros(positives.shape), np.zeros(positives.shape)
    pairs = np.argwhere(true)
    for i in range(0, len(pairs), BLOCK):
        c, row = pairs[i : i + BLOCK].T
        times, own = draws[groups[row]], columns[c, row, None]
        high = columns[c] >= own
        ranked, hits = counted(high), counted(high & true[c])
        ties = counted((columns[c] == own) & ~true[c])
        firsts = np.flatnonzero(np.diff(c, prepend=-1))
        shares = np.divide(times * hits, np.maximum(ranked, 1), dtype=np.float64)
        precision[c[firsts]] += np.add.reduceat(shares, firsts)
        lower = times * (negatives[c] - ranked + hits + ties / 2)
        above[c[firsts]] += np.add.reduceat(lower, firsts, dtype=np.float64)
    enough, both = positives >= LEAST, (positives > 0) & (negatives > 0)
    return (
        _over(np.where(enough, _over(precision, positives), 0).sum(axis=0), enough.sum(axis=0)),
        _over(np.where(both, _over(above, positives * negatives), 0).sum(axis=0), both.sum(axis=0)),
    )


def _over(sums: NDArray[np.floating[Any]], counts: NDArray[np.floating[Any] | np.integer[Any]]) -> Samples:
    """The quotient; NaN where the count is 0."""
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
