"""A classifier's scores as probabilities, and the thresholds from which to trust them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

LEAST = 10
"""Fewest windows with a species, and without it, for a calibration of its own."""

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Calibration:
    """Slope and offset of each species' sigmoid (Platt scaling), float64 `[species]`."""

    slopes: NDArray[np.float64]
    offsets: NDArray[np.float64]

    def __call__(self, scores: Floats) -> NDArray[np.float64]:
        """Probabilities from scores, float64 `[rows, species]` both."""
        return np.asarray(expit(scores * self.slopes + self.offsets))


def calibrate(scores: Floats, truth: NDArray[np.bool_]) -> Calibration:
    """Fits sigmoids to scores of windows that the classifiers did not learn from, `[rows, species]` both.

    A species with fewer than `LEAST` windows with or without it shares one slope with all others like it, and its
    offset is a linear function of its log rarity. Probabilities never fall as scores rise.
    """
    positives, negatives = truth.sum(axis=0), (~truth).sum(axis=0)
    rarity = np.log((positives + 0.5) / (negatives + 0.5))
    slopes, offsets = np.zeros(truth.shape[1]), rarity.copy()
    enough = np.minimum(positives, negatives) >= LEAST
    for i in np.flatnonzero(enough):
        slope, offset = _sigmoid(scores[:, i : i + 1], truth[:, i])
        if slope > 0:
            slopes[i], offsets[i] = slope, offset
    if not enough.all() and truth.any() and not truth.all():
        pairs = np.stack([scores.ravel(), np.tile(rarity, len(scores))], axis=1)
        slope, per_rarity, offset = _sigmoid(pairs, truth.ravel())
        if slope > 0:
            slopes[~enough] = slope
            offsets[~enough] = per_rarity * rarity[~enough] + offset
    return Calibration(slopes, offsets)


def calibrate_across(scores: Floats, truth: NDArray[np.bool_], folds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probabilities of each fold's windows, calibrated on the other folds, float64 `[rows, species]`."""
    probabilities = np.empty(truth.shape)
    for fold in np.unique(folds):
        held_out = folds == fold
        probabilities[held_out] = calibrate(scores[~held_out], truth[~held_out])(scores[held_out])
    return probabilities


def thresholds(probabilities: Floats, truth: NDArray[np.bool_], precision: float) -> NDArray[np.float64]:
    """Each species' threshold, float64 `[species]`: the lowest probability from which on at least the share `precision`
    of the windows hold it; infinite if there is none.

    The share is counted as (correct + 1) / (all + 2), so that a few lucky windows are no evidence: 0.9 takes 8 correct
    of 8. The mean of those probabilities must reach it as well, since the best of many thresholds may be luck. A
    threshold is at least 0.5 (or `precision`, if that is lower), or certain windows would outweigh wrong ones.
    """
    order = np.argsort(-probabilities, axis=0, kind="stable")
    ranked = np.take_along_axis(probabilities, order, axis=0)
    correct = np.take_along_axis(truth, order, axis=0).cumsum(axis=0)
    count = np.arange(1, len(truth) + 1)[:, None]
    good = ((correct + 1) / (count + 2) >= precision) & (ranked.cumsum(axis=0) / count >= precision)
    good &= ranked >= min(0.5, precision)
    # Windows of equal probability are taken together.
    good[:-1] &= ranked[:-1] != ranked[1:]
    return np.where(good, ranked, np.inf).min(axis=0)


def give_across(
    probabilities: Floats, truth: NDArray[np.bool_], folds: NDArray[np.int64], precision: float
) -> NDArray[np.bool_]:
    """Which species the other folds' thresholds give each fold's windows, bool `[rows, species]`."""
    given = np.empty(truth.shape, np.bool_)
    for fold in np.unique(folds):
        held_out = folds == fold
        given[held_out] = probabilities[held_out] >= thresholds(probabilities[~held_out], truth[~held_out], precision)
    return given


def _sigmoid(features: Floats, truth: NDArray[np.bool_]) -> tuple[float, ...]:
    """Weights of the features and (last) the offset. Targets lie slightly inside 0 and 1, as Platt proposed."""
    positives = int(truth.sum())
    target = np.where(truth, (positives + 1) / (positives + 2), 1 / (len(truth) - positives + 2))
    model = LogisticRegression(C=1e3, max_iter=1000)
    features = np.asarray(features, np.float64)
    both = np.concatenate([np.ones(len(truth), np.bool_), np.zeros(len(truth), np.bool_)])
    model.fit(np.concatenate([features, features]), both, sample_weight=np.concatenate([target, 1 - target]))
    return (*map(float, model.coef_[0]), float(model.intercept_[0]))
