"""A linear probe: classifiers on embeddings, tested on recordings that they have not seen.

Each species has a logistic regression (scikit-learn's). The labelled recordings are split into folds; the windows of a
fold are scored by classifiers that learnt from the other folds, so no recording is on both sides. New windows get the
mean of the folds' scores.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from runtime.console.progress import progress_bar
from runtime.cores import usable_cores
from runtime.explore.metrics import class_average_precision

FOLDS = 5
STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Candidates for C, the inverse of the regularisation strength."""
USUAL_STRENGTH = 1e-2
"""C if there are too few recordings to choose it."""
MOST = 5_000
"""Most windows with a species, and most without it, that one classifier learns from; larger sets are thinned evenly."""

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Probe:
    """Classifiers of species.

    scores: of the labelled windows, by classifiers that did not learn from their recordings; log odds, not calibrated,
        float32 `[labelled rows, species]`.
    weights, bias: the mean of the folds' classifiers, float32 `[embedding, species]` and `[species]`.
    strengths: the C of each fold.
    """

    scores: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    strengths: tuple[float, ...]


def deal_folds(recordings: NDArray[np.int64], truth: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The fold of each labelled row, int64 `[rows]`.

    A fold holds whole recordings. They are spread so that each species' presence and absence occur in as many folds as
    possible. `recordings` are numbers from 0. There are never more folds than recordings.
    """
    columns = np.concatenate([truth, ~truth], axis=1)
    windows = np.stack([np.bincount(recordings, weights=column) for column in columns.T], axis=1)
    shares = windows / np.maximum(windows.sum(axis=0), 1)
    totals = np.zeros((min(FOLDS, len(windows)), windows.shape[1]))
    sizes = np.zeros(len(totals))
    folds = np.empty(len(windows), np.int64)
    # Recordings with the largest share of a species first; each goes to the fold that has least of its species.
    for recording in np.argsort(-shares.max(axis=1), kind="stable"):
        burden = totals @ shares[recording]
        fold = np.lexsort((sizes, burden))[0]
        folds[recording] = fold
        totals[fold] += shares[recording]
        sizes[fold] += 1
    return folds[recordings]


def learnable(truth: NDArray[np.bool_], folds: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which species can be learnt whichever fold is held out: the others have windows with and without it."""
    others = [truth[folds != fold] for fold in np.unique(folds)]
    if len(others) < 2:
        return np.zeros(truth.shape[1], np.bool_)
    return np.logical_and.reduce([rows.any(axis=0) & ~rows.all(axis=0) for rows in others])


def cross_validate(embeddings: NDArray[np.float32], truth: NDArray[np.bool_], folds: NDArray[np.int64]) -> Probe:
    """Learns species, all of them `learnable`, from float32 `[rows, embedding]` and bool `[rows, species]`."""
    count = int(folds.max()) + 1
    scores = np.empty(truth.shape, np.float32)
    weights = np.zeros((embeddings.shape[1], truth.shape[1]), np.float64)
    bias = np.zeros(truth.shape[1])
    strengths = []
    with progress_bar(count * truth.shape[1] * 2, desc="species") as bar:
        for fold in range(count):
            held_out, learnt = folds == fold, embeddings[folds != fold]
            mean, scale = learnt.mean(axis=0), learnt.std(axis=0)
            scale[scale == 0] = 1
            learnt -= mean
            learnt /= scale
            others = folds[~held_out]
            # Among the remaining folds, the next one validates the strength of regularisation.
            strength = (
                _choose(learnt, truth[~held_out], others != (fold + 1) % count, bar) if count > 2 else USUAL_STRENGTH
            )
            fitted = _parallel(((learnt, column, (strength,)) for column in truth[~held_out].T), bar)
            coefficients = np.array([line[-1] for line in fitted], np.float64)
            slopes = coefficients[:, :-1].T / scale[:, None]
            offset = coefficients[:, -1] - mean @ slopes
            scores[held_out] = embeddings[held_out] @ slopes + offset
            weights += slopes / count
            bias += offset / count
            strengths.append(strength)
    return Probe(scores, weights.astype(np.float32), bias.astype(np.float32), tuple(strengths))


def _choose(x: NDArray[np.float32], truth: NDArray[np.bool_], learn: NDArray[np.bool_], bar: Any) -> float:
    """The C whose classifiers rank the rows that are not in `learn` best: by average precision, a mean over species.

    The log loss would choose a far smaller C, as it punishes scores that are too sure; but scores are calibrated later,
    and a small C costs ranks. Of equal ones the greatest counts.
    """
    both = [part.any(axis=0) & ~part.all(axis=0) for part in (truth[learn], truth[~learn])]
    usable = truth[:, both[0] & both[1]]
    if not usable.size:
        return USUAL_STRENGTH
    learnt, validated = x[learn], x[~learn]
    fitted = _parallel(((learnt, column, STRENGTHS) for column in usable[learn].T), bar)
    precisions = np.zeros(len(STRENGTHS))
    for column, lines in zip(usable[~learn].T, fitted, strict=True):
        scores = validated @ lines[:, :-1].T + lines[:, -1]
        precisions += class_average_precision(scores, np.repeat(column[:, None], len(STRENGTHS), axis=1))
    return STRENGTHS[int(np.flatnonzero(precisions >= precisions.max() - 1e-9)[-1])]


def _parallel(jobs: Iterable[tuple[Any, ...]], bar: Any) -> list[Floats]:
    fits = []
    # One thread for each fit: all cores are busy anyway, and sums do not depend on the number of threads.
    with threadpool_limits(1), warnings.catch_warnings(), ThreadPoolExecutor(usable_cores()) as threads:
        warnings.simplefilter("ignore", ConvergenceWarning)  # after so many steps it no longer changes ranks
        for lines in threads.map(lambda job: _fit(*job), jobs):
            fits.append(lines)
            bar.update()
    return fits


def _fit(x: NDArray[np.float32], y: NDArray[np.bool_], strengths: Sequence[float]) -> Floats:
    """The weights and bias (last) of one species at each C, `[strengths, embedding + 1]`."""
    sides = [np.flatnonzero(y), np.flatnonzero(~y)]
    if max(map(len, sides)) > MOST:
        rows = np.sort(np.concatenate([side[:: -(-len(side) // MOST)] for side in sides]))
        x, y = x[rows], y[rows]
    model = LogisticRegression(class_weight="balanced", tol=1e-3, max_iter=300, warm_start=True)
    lines = []
    for strength in strengths:
        model.set_params(C=strength).fit(x, y)
        lines.append(np.append(model.coef_[0], model.intercept_))
    return np.stack(lines)
