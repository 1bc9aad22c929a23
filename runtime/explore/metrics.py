"""How well scores rank what is there: the metrics of Perch's evaluation, and BirdCLEF's score.

The average precision of a ranking is the mean, over what is true in it, of the share that is true among all scored as
high or higher; equal scores share a place. This is scikit-learn's `average_precision_score`, which Perch's own
(`average_precision`, chirp/models/metrics.py in google-research/perch) equals where no two scores are the same. Ranking
the classes of each row gives MAP (`map_` there). Ranking the rows of each class gives cMAP (chirp/models/cmap.py, whose
threshold leaves out classes with few positives: fewer than 5 in cMAP5). Macro ROC-AUC is BirdCLEF's score.

All take `scores`, float `[rows, classes]`, of finite numbers, and `truth`, bool of the same shape; what is not defined
is NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Scores = NDArray[np.floating[Any]]
Truth = NDArray[np.bool_]
LEAST = 5
"""Positives that a class needs to count in cMAP5."""
BLOCK = 64
"""Rankings that are sorted at a time, to bound memory."""


def mean_average_precision(scores: Scores, truth: Truth) -> float:
    """MAP: mean over the rows that have a label of the average precision of their classes."""
    return mean(row_precision(scores, truth))


def cmap(scores: Scores, truth: Truth, least: int = LEAST) -> float:
    """cMAP: mean over the classes with at least so many positives of the average precision of their rows."""
    counted = truth.sum(axis=0) >= max(least, 1)
    return mean(_average_precision(scores[:, counted].T, truth[:, counted].T))


def top1_accuracy(scores: Scores, truth: Truth) -> float:
    """Share of the rows with a label whose highest score (the first, of equal ones) is that of a true class."""
    return mean(row_top1(scores, truth))


def macro_roc_auc(scores: Scores, truth: Truth) -> float:
    """Mean, over the classes with a positive and a negative, of the area under the ROC curve."""
    return mean(class_roc_auc(scores, truth))


def class_roc_auc(scores: Scores, truth: Truth) -> NDArray[np.float64]:
    """Each class's area under the ROC curve, `[classes]`; NaN for classes without a positive or without a negative.

    That is the share of its pairs of a positive and a negative in which the positive scores higher, pairs that score
    the same counting a half (Mann and Whitney's U, from the sum of the positives' ranks).
    """
    found = np.full(truth.shape[1], np.nan)
    positives = truth.sum(axis=0)
    counted = (positives > 0) & (positives < len(truth))
    if not counted.any():
        return found
    positives = positives[counted]
    ranks = rankdata(scores[:, counted], axis=0)
    above = (ranks * truth[:, counted]).sum(axis=0) - positives * (positives + 1) / 2
    found[counted] = above / (positives * (len(truth) - positives))
    return found


def calibration_error(probabilities: Scores, truth: Truth, bins: int = 10) -> float:
    """Expected calibration error of any number of probabilities, both of the same shape.

    Mean over equally wide bins, weighted by how many fall into each, of the difference between the mean probability
    and the share that is true.
    """
    place = np.minimum((probabilities * bins).astype(np.int64), bins - 1).ravel()
    surplus = np.bincount(place, (probabilities - truth).ravel(), bins)
    return float(np.abs(surplus).sum() / probabilities.size) if probabilities.size else float("nan")


def row_precision(scores: Scores, truth: Truth) -> NDArray[np.float64]:
    """Each row's average precision, `[rows]`; NaN for rows without a label."""
    found = np.full(len(truth), np.nan)
    labelled = truth.any(axis=1)
    found[labelled] = _average_precision(scores[labelled], truth[labelled])
    return found


def row_top1(scores: Scores, truth: Truth) -> NDArray[np.float64]:
    """Whether each row's highest score is that of a true class, 1 or 0, `[rows]`; NaN for rows without a label."""
    if not truth.shape[1]:
        return np.full(len(truth), np.nan)
    hit = truth[np.arange(len(truth)), scores.argmax(axis=1)]
    return np.where(truth.any(axis=1), hit, np.nan)


def mean(values: NDArray[np.float64]) -> float:
    """The mean of those that are not NaN; NaN if there are none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def _average_precision(scores: Scores, truth: Truth) -> NDArray[np.float64]:
    """Of each row, which must hold a positive."""
    parts = [_of_block(scores[i : i + BLOCK], truth[i : i + BLOCK]) for i in range(0, len(scores), BLOCK)]
    return np.concatenate(parts) if parts else np.empty(0)


def _of_block(scores: Scores, truth: Truth) -> NDArray[np.float64]:
    order = np.argsort(-scores, axis=1)
    ranked = np.take_along_axis(scores, order, axis=1)
    hits = np.take_along_axis(truth, order, axis=1).cumsum(axis=1)
    # Equal scores are taken together, where the last of them stands.
    last = np.ones(scores.shape, np.bool_)
    last[:, :-1] = ranked[:, :-1] != ranked[:, 1:]
    so_far = np.maximum.accumulate(np.where(last, hits, 0), axis=1)
    gained = np.diff(so_far, axis=1, prepend=0)
    found: NDArray[np.float64] = (gained * hits / np.arange(1, scores.shape[1] + 1)).sum(axis=1) / hits[:, -1]
    return found
