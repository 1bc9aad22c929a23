"""What a submission is worth that a deadline cut short: its macro ROC-AUC, which the competition is judged by.

It needs labels, which soundscapes made on the spot do not have and an untrained model would not find. So a full run is
the truth: a class is said to be there in the rows in which it scores highest, one of twenty, about as rarely as most
species are heard. The full run then has 1 by construction, and what is missing to 1 was lost to the deadline and to
nothing else. Classes whose scores are constant, as of those that the model does not know, are left out.

A few soundscapes that stand out hold many of those rows, and whether these were reached is chance. So the same is also
computed as if the soundscapes had come in other orders, and averaged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks import SOUNDSCAPE_WINDOWS as WINDOWS
from benchmarks.baseline.notebook import TERMINATED
from runtime.explore.metrics import macro_roc_auc

PRESENT = 0.05
"""Share of the rows in which a class is said to be there."""
MOST_CLASSES = 300
"""Of which the average over orders is taken, evenly spaced, so that it takes seconds."""


def highest_rows(scores: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The rows in which each class scores highest, one of twenty: `bool [rows, classes]`.

    Fewer where scores are equal, and none of a class whose scores are constant.
    """
    count = min(max(1, round(PRESENT * len(scores))), len(scores) - 1)
    return np.asarray(scores > np.partition(scores, -count - 1, axis=0)[-count - 1])


def after_deadline(full: NDArray[np.float32], status: NDArray[np.str_]) -> NDArray[np.float32]:
    """What a run gives, of which `full` is the whole, if its rows had this status: `float32 [rows, classes]`.

    Filled rows hold -1000, interpolated ones the mean of the nearest scored rows of their soundscape, before and after.
    """
    rows = full.copy()
    rows[status == "filled"] = TERMINATED
    for row in np.flatnonzero(status == "interpolated"):
        first = row // WINDOWS * WINDOWS
        scored = first + np.flatnonzero(status[first : first + WINDOWS] == "scored")
        rows[row] = full[[*scored[scored < row][-1:], *scored[scored > row][:1]]].mean(axis=0)
    return rows


def average_roc_auc(full: NDArray[np.float32], status: NDArray[np.str_]) -> float:
    """Macro ROC-AUC against the full run, the mean over which soundscape of a ring comes first."""
    scores = full[:, :: -(-full.shape[1] // MOST_CLASSES)]
    truth, by_soundscape = highest_rows(scores), status.reshape(-1, WINDOWS)
    turned = (np.roll(by_soundscape, shift, axis=0).reshape(-1) for shift in range(len(by_soundscape)))
    return float(np.mean([macro_roc_auc(after_deadline(scores, one), truth) for one in turned]))
