"""How well scores rank what is present: the metrics of Perch's evaluation, and the score of BirdCLEF.

The average precision of a ranking is a mean over its positives: for each one, the share of positives among all that
score at least as high. It is scikit-learn's `average_precision_score`, and where no two scores are equal that of Perch
(`average_precision` in chirp/models/metrics.py of google-research/perch). MAP ranks the classes of each row (`map_`
there). cMAP ranks the rows of each class (chirp/models/cmap.py) and leaves out classes with few positives, in cMAP5
those with fewer than 5. Macro ROC-AUC is the score of BirdCLEF.

All functions take `scores`, finite floats `[rows, classes]`, and `truth`, bools of the same shape; undefined results
are NaN. They give what scikit-learn gives (the tests hold them to it), but rank all classes at once: scikit-learn goes
through them one by one, which takes 14 to 140 times as long.
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
"""Rankings that are sorted at once; it bounds memory."""


def mean_average_precision(scores: Scores, truth: Truth) -> float:
    """MAP: the average precision of the classes of a row, averaged over the rows with a label."""
    return mean(row_precision(scores, truth))


def cmap(scores: Scores, truth: Truth, least: int = LEAST) -> float:
    """cMAP: the average precision of the rows of a class, averaged over classes with at least `least` positives."""
    counted = truth.sum(axis=0) >= max(least, 1)
    return mean(_average_precision(scores[:, counted].T, truth[:, counted].T))


def top1_accuracy(scores: Scores, truth: Truth) -> float:
    """The share of rows with a label whose highest score, the first of equal ones, is that of a true class."""
    return mean(row_top1(scores, truth))


def macro_roc_auc(scores: Scores, truth: Truth) -> float:
    """The area under the ROC curve, averaged over the classes with both a positive and a negative."""
    return mean(class_roc_auc(scores, truth))


def class_average_precision(scores: Scores, truth: Truth) -> NDArray[np.float64]:
    """The average precision of each class's rows, `[classes]`; NaN for a class without a positive."""
    return row_precision(scores.T, truth.T)


def class_roc_auc(scores: Scores, truth: Truth) -> NDArray[np.float64]:
    """The area under the ROC curve of each class, `[classes]`; NaN for a class without a positive or a negative.

    It is the share of pairs of a positive and a negative in which the positive scores higher, where pairs of equal
    scores count half (Mann and Whitney's U, from the sum of the positives' ranks).
    """
    areas = np.full(truth.shape[1], np.nan)
    positives = truth.sum(axis=0)
    counted = (positives > 0) & (positives < len(truth))
    if not counted.any():
        return areas
    positives = positives[counted]
    ranks = rankdata(scores[:, counted], axis=0)
    above = (ranks * truth[:, counted]).sum(axis=0) - positives * (positives + 1) / 2
    areas[counted] = above / (positives * (len(truth) - positives))
    return areas


def calibration_error(probabilities: Scores, truth: Truth, bins: int = 10) -> float:
    """The expected calibration error of probabilities and truths, any shape alike.

    It is the difference between the mean probability and the share of true ones in each of `bins` equally wide bins,
    averaged with the number of probabilities in each bin as weights.
    """
    place = np.minimum((probabilities * bins).astype(np.int64), bins - 1).ravel()
    surplus = np.bincount(place, (probabilities - truth).ravel(), bins)
    return float(np.abs(surplus).sum() / probabilities.size) if probabilities.size else float("nan")


def row_precision(scores: Scores, truth: Truth) -> NDArray[np.float64]:
    """The average precision of each row, `[rows]`; NaN for rows without a label."""
    precisions = np.full(len(truth), np.nan)
    labelled = truth.any(axis=1)
    precisions[labelled] = _average_precision(scores[labelled], truth[labelled])
    return precisions


def row_top1(scores: Scores, truth: Truth) -> NDArray[np.float64]:
    """1 for each row whose highest score is that of a true class, else 0, `[rows]`; NaN for rows without a label."""
    if not truth.shape[1]:
        return np.full(len(truth), np.nan)
    hit = truth[np.arange(len(truth)), scores.argmax(axis=1)]
    return np.where(truth.any(axis=1), hit, np.nan)


def mean(values: NDArray[np.float64]) -> float:
    """The mean of the values that are not NaN; NaN if there are none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def _average_precision(scores: Scores, truth: Truth) -> NDArray[np.float64]:
    """The average precision of each row, each of which must have a positive."""
    parts = [_of_block(scores[i : i + BLOCK], truth[i : i + BLOCK]) for i in range(0, len(scores), BLOCK)]
    return np.concatenate(parts) if parts else np.empty(0)


def _of_block(scores: Scores, truth: Truth) -> NDArray[np.float64]:
    order = np.argsort(-scores, axis=1)
    ranked = np.take_along_axis(scores, order, axis=1)
    hits = np.take_along_axis(truth, order, axis=1).cumsum(axis=1)
    # Equal scores share the place of the last of them.
    last = np.ones(scores.shape, np.bool_)
    last[:, :-1] = ranked[:, :-1] != ranked[:, 1:]
    so_far = np.maximum.accumulate(np.where(last, hits, 0), axis=1)
    gained = np.diff(so_far, axis=1, prepend=0)
    precisions: NDArray[np.float64] = (gained * hits / np.arange(1, scores.shape[1] + 1)).sum(axis=1) / hits[:, -1]
    return precisions
