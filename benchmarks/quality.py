"""Whether a converted model finds the species as well as TensorFlow does, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics import (
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

RESAMPLES = 10_000
"""Of the bootstrap: 1,000 rows of 234 classes take some seconds, the part that is independent of them included."""
BLOCK = 500
"""Positives of a class that are compared at a time, to bound memory."""
INTERVAL = (2.5, 97.5)
METRICS = {
    "MAP": mean_average_precision,
    "cMAP5": cmap,
    "top-1 accuracy": top1_accuracy,
    "macro ROC-AUC": macro_roc_auc,
}
Samples = NDArray[np.float64]
"""A metric of each resample, `[resamples]`."""


@dataclass(frozen=True)
class Quality:
    """One metric of both; `difference` is ONNX's minus TensorFlow's, `interval` holds it with 95% confidence."""

    metric: str
    tensorflow: float
    onnx: float
    difference: float
    interval: tuple[float, float]


def compare_quality(tensorflow: Scores, onnx: Scores, truth: Truth, recordings: Sequence[str]) -> list[Quality]:
    """The metrics of both models' scores `[rows, classes]`, NaN where they are not defined.

    The interval is a percentile bootstrap of 10,000 resamples, the same each time, on both models at once. Recordings
    (`recordings[i]` is that of row i) are drawn, with all their rows, since windows of one recording are not
    independent of each other; of a single recording its windows are drawn, and the interval is narrower than it
    should be. Resamples in which a metric is not defined are left out of its interval.
    """
    names, groups = np.unique(np.asarray(recordings), return_inverse=True)
    if len(names) == 1:
        groups = np.arange(len(groups))
    draws = _draws(int(groups.max(initial=-1)) + 1)
    sampled = [_sampled(scores, truth, groups, draws) for scores in (tensorflow, onnx)]
    found = []
    for name, metric in METRICS.items():
        values = [metric(scores, truth) for scores in (tensorflow, onnx)]
        difference = sampled[1][name] - sampled[0][name]
        defined = difference[~np.isnan(difference)]
        low, high = np.percentile(defined, INTERVAL).tolist() if defined.size else (float("nan"), float("nan"))
        found.append(Quality(name, values[0], values[1], values[1] - values[0], (low, high)))
    return found


def _draws(groups: int) -> NDArray[np.float32]:
    """How often each group is drawn, `[groups, resamples]`."""
    rng = np.random.default_rng(0)
    return rng.multinomial(groups, np.full(groups, 1 / max(groups, 1)), RESAMPLES).T.astype(np.float32)


def _sampled(
    scores: Scores, truth: Truth, groups: NDArray[np.int64], draws: NDArray[np.float32]
) -> dict[str, Samples]:
    """The metrics of each resample."""
    precision, area = _means_of_classes(scores, truth, groups, draws)
    return {
        "MAP": _mean_of_rows(row_precision(scores, truth), groups, draws),
        "cMAP5": precision,
        "top-1 accuracy": _mean_of_rows(row_top1(scores, truth), groups, draws),
        "macro ROC-AUC": area,
    }


def _mean_of_rows(values: NDArray[np.float64], groups: NDArray[np.int64], draws: NDArray[np.float32]) -> Samples:
    """The mean of what is defined of a row, each row counting as often as it was drawn."""
    defined = ~np.isnan(values)
    sums, counts = (
        np.bincount(groups[defined], weights, len(draws)) @ draws for weights in (values[defined], None)
    )
    return _over(sums, counts)


def _means_of_classes(
    scores: Scores, truth: Truth, groups: NDArray[np.int64], draws: NDArray[np.float32]
) -> tuple[Samples, Samples]:
    """cMAP5 and macro ROC-AUC."""
    order = np.argsort(groups, kind="stable")
    scores, truth = scores[order], truth[order]
    starts = np.searchsorted(groups[order], np.arange(len(draws)))
    totals = np.zeros((4, draws.shape[1]))
    for c in np.flatnonzero(truth.any(axis=0)):
        found = _class_sums(scores[:, c], truth[:, c], starts, groups[order], draws)
        enough, both = found.positives >= LEAST, (found.positives > 0) & (found.negatives > 0)
        totals[0] += np.where(enough, _over(found.precision, found.positives), 0)
        totals[1] += enough
        totals[2] += np.where(both, _over(found.above, found.positives * found.negatives), 0)
        totals[3] += both
    return _over(totals[0], totals[1]), _over(totals[2], totals[3])


class _ClassSums(NamedTuple):
    """Of one class, in each resample: its positives, negatives, the sum of the positives' precisions, and the pairs
    in which a positive scores above a negative.
    """

    positives: Samples
    negatives: Samples
    precision: Samples
    above: Samples


def _class_sums(
    scores: Scores, truth: Truth, starts: NDArray[np.int64], groups: NDArray[np.int64], draws: NDArray[np.float32]
) -> _ClassSums:
    """How many rows score at least as high as a positive is counted by group, so that it is a product with the draws."""

    def counted(chosen: NDArray[np.bool_]) -> NDArray[np.float32]:
        by_group = np.add.reduceat(chosen, starts, axis=-1, dtype=np.float32)
        product: NDArray[np.float32] = by_group @ draws
        return product

    precision, above = np.zeros(draws.shape[1]), np.zeros(draws.shape[1])
    for rows in np.split(np.flatnonzero(truth), range(BLOCK, int(truth.sum()), BLOCK)):
        times = draws[groups[rows]]
        positive = scores[rows, None]
        at_least = scores >= positive
        true = counted(at_least & truth)
        precision += (times * true / np.maximum(counted(at_least), 1)).sum(axis=0)
        higher, same = counted((scores < positive) & ~truth), counted((scores == positive) & ~truth)
        above += (times * (higher + same / 2)).sum(axis=0)
    return _ClassSums(counted(truth).astype(np.float64), counted(~truth).astype(np.float64), precision, above)


def _over(sums: Samples, counts: Samples) -> Samples:
    """The quotient; NaN where there is nothing to count."""
    return np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
