"""Optional transformations of the model's logits: another scale, and activations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError

Scores = NDArray[np.float32]
LogitScale = Literal["perch-hoplite"]
Activation = Literal["none", "sigmoid", "softmax"]
FACTOR, OFFSET = 0.97, -10.0
"""perch-hoplite's scale of Perch v2's logits: 0.97 x - 10."""
FAMILY = "perch_v2"


def check_logit_scale(scale: LogitScale, outputs: Sequence[str], families: Sequence[str]) -> None:
    """Checks that a scale can be applied to the outputs `label` of models of these families.

    Raises:
        InputError: it is not for such a model, or there is no such output.
    """
    if not families:
        raise InputError(f"logit_scale concerns the output 'label', which is not among {', '.join(outputs)}")
    for family in families:
        if family != FAMILY:
            which = "this model" if len(families) == 1 else "one of the models"
            raise InputError(f"logit_scale '{scale}' is made for {FAMILY}, and {which} is {family}; leave it out")


def scaled(logits: Scores, scale: LogitScale | None) -> Scores:
    """Logits on that scale, `float32`, of the same shape; unchanged if it is None."""
    return logits if scale is None else logits * np.float32(FACTOR) + np.float32(OFFSET)


def activated(logits: Scores, activation: Activation, constant: NDArray[np.bool_] | None = None) -> Scores:
    """Logits `[rows, classes]` after an activation; columns that are `constant` stay as they are.

    The softmax of a row covers the other columns of `logits`, not all classes of the model.
    """
    if activation == "none" or not logits.size:
        return logits
    values = logits if constant is None else logits[:, ~constant]
    with np.errstate(invalid="ignore"):  # NaN, of a window that failed, is no fault of a caller who turns warnings on
        if activation == "sigmoid":
            values = np.exp(-np.logaddexp(np.float32(0), -values))
        else:
            values = np.exp(values - values.max(axis=1, keepdims=True, initial=-np.inf))
            values /= values.sum(axis=1, keepdims=True)
    if constant is None:
        return values
    result = logits.copy()
    result[:, ~constant] = values
    return result
