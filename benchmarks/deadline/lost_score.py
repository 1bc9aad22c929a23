"""How much of a submission's score a deadline cost: its macro ROC-AUC, by which the competition judges.

That needs labels, which synthetic soundscapes do not have and an untrained model would not find. So a full run is taken
for the truth: a class counts as present in the 5% of rows in which it scores highest, which is about as rare as most
species are. The full run then has a ROC-AUC of 1 by definition, and what a run lacks to 1 was lost to the deadline.
Classes whose scores are constant, such as those that the model does not know, are left out.

A few soundscapes that stand out hold many of those rows, and whether they are reached is chance. So the ROC-AUC is also
computed for other orders of the soundscapes, and averaged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks import SOUNDSCAPE_WINDOWS as WINDOWS
from benchmarks.baseline.notebook import TERMINATED
from runtime.explore.metrics import macro_roc_auc

PRESENT = 0.05
"""Share of the rows in which a class counts as present."""
MOST_CLASSES = 300
"""How many classes the average over orders uses, evenly spaced: few enough to take seconds."""


def highest_rows(scores: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether a row is among the 5% in which a class scores highest: `bool [rows, classes]`.

    There are fewer of them where scores are equal, and none for a class whose scores are constant.
    """
    count = min(max(1, round(PRESENT * len(scores))), len(scores) - 1)
    return np.asarray(scores > np.partition(scores, -count - 1, axis=0)[-count - 1])


def after_deadline(full: NDArray[np.float32], status: NDArray[np.str_]) -> NDArray[np.float32]:
    """The rows of a run that ends with this `status [rows]`, from the rows of a full run: `float32 [rows, classes]`.

    Filled rows hold -1000. Interpolated ones hold the mean of the nearest scored rows before and after, in the same
    soundscape.
    """
    rows = full.copy()
    rows[status == "filled"] = TERMINATED
    for row in np.flatnonzero(status == "interpolated"):
        first = row // WINDOWS * WINDOWS
        scored = first + np.flatnonzero(status[first : first + WINDOWS] == "scored")
        rows[row] = full[[*scored[scored < row][-1:], *scored[scored > row][:1]]].mean(axis=0)
    return rows


def average_roc_auc(full: NDArray[np.float32], status: NDArray[np.str_]) -> float:
    """Macro ROC-AUC against the full run, averaged over all rotations of the order of soundscapes."""
    scores = full[:, :: -(-full.shape[1] // MOST_CLASSES)]
    truth, by_soundscape = highest_rows(scores), status.reshape(-1, WINDOWS)
    rotated = (np.roll(by_soundscape, shift, axis=0).reshape(-1) for shift in range(len(by_soundscape)))
    return float(np.mean([macro_roc_auc(after_deadline(scores, one), truth) for one in rotated]))
