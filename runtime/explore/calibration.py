"""From a classifier's scores to probabilities, and from which probability on to believe them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

LEAST = 10
"""Windows with a species, and without it, that a calibration of its own takes."""

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Calibration:
    """Per species the slope and offset of a sigmoid (Platt's), float64 `[species]`."""

    slopes: NDArray[np.float64]
    offsets: NDArray[np.float64]

    def __call__(self, scores: Floats) -> NDArray[np.float64]:
        """Probabilities, float64 `[rows, species]`, of scores of that shape."""
        return np.asarray(expit(scores * self.slopes + self.offsets))


def calibrate(scores: Floats, truth: NDArray[np.bool_]) -> Calibration:
    """Fits probabilities to scores of windows that were not learnt from, `[rows, species]` both.

    A species with fewer than `LEAST` windows on either side shares the slope of all species together, and how far its
    offset follows from how rare it is. No probability falls where the score rises.
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
    """Probabilities of each fold's windows by a calibration on the other folds, float64 `[rows, species]`."""
    found = np.empty(truth.shape)
    for fold in np.unique(folds):
        held = folds == fold
        found[held] = calibrate(scores[~held], truth[~held])(scores[held])
    return found


def thresholds(probabilities: Floats, truth: NDArray[np.bool_], precision: float) -> NDArray[np.float64]:
    """Per species the lowest probability from which on at least this share of the windows holds it, float64
    `[species]`; infinite where there is none.

    The share is counted as (right + 1) / (all + 2), so that a few lucky windows prove nothing: 0.9 takes 8 right of 8.
    The mean of the probabilities has to reach it, too: the luckiest of many thresholds is not enough. It is at least a
    half (or the share, if that is less), lest sure windows carry others that are surely wrong.
    """
    order = np.argsort(-probabilities, axis=0, kind="stable")
    ranked = np.take_along_axis(probabilities, order, axis=0)
    right = np.take_along_axis(truth, order, axis=0).cumsum(axis=0)
    count = np.arange(1, len(truth) + 1)[:, None]
    good = ((right + 1) / (count + 2) >= precision) & (ranked.cumsum(axis=0) / count >= precision)
    good &= ranked >= min(0.5, precision)
    # Of equal probabilities all or none are taken.
    good[:-1] &= ranked[:-1] != ranked[1:]
    return np.where(good, ranked, np.inf).min(axis=0)


def give_across(
    probabilities: Floats, truth: NDArray[np.bool_], folds: NDArray[np.int64], precision: float
) -> NDArray[np.bool_]:
    """Which species each fold's windows would be given by the thresholds of the other folds, bool `[rows, species]`."""
    found = np.empty(truth.shape, np.bool_)
    for fold in np.unique(folds):
        held = folds == fold
        found[held] = probabilities[held] >= thresholds(probabilities[~held], truth[~held], precision)
    return found


def _sigmoid(features: Floats, truth: NDArray[np.bool_]) -> tuple[float, ...]:
    """Weights of the features and, last, the offset. Targets are a little inside 0 and 1, as Platt has them."""
    positives = int(truth.sum())
    target = np.where(truth, (positives + 1) / (positives + 2), 1 / (len(truth) - positives + 2))
    model = LogisticRegression(C=1e3, max_iter=1000)
    features = np.asarray(features, np.float64)
    both = np.concatenate([np.ones(len(truth), np.bool_), np.zeros(len(truth), np.bool_)])
    model.fit(np.concatenate([features, features]), both, sample_weight=np.concatenate([target, 1 - target]))
    return (*map(float, model.coef_[0]), float(model.intercept_[0]))
