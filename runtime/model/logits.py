"""What is made of the model's scores, where they are not left as they are."""

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
"""What perch-hoplite makes of Perch v2's logits."""
FAMILY = "perch_v2"


def check_logit_scale(scale: LogitScale, outputs: Sequence[str], family: str) -> None:
    """Whether a scale can be applied.

    Raises:
        InputError: it is not for this model or these outputs.
    """
    if "label" not in outputs:
        raise InputError(f"logit_scale concerns the output 'label', which is not among {', '.join(outputs)}")
    if family != FAMILY:
        raise InputError(f"logit_scale '{scale}' is made for {FAMILY}, and this model is {family}; leave it out")


def scaled(logits: Scores, scale: LogitScale | None) -> Scores:
    """Scores on that scale; `float32`, of the same shape."""
    return logits if scale is None else logits * np.float32(FACTOR) + np.float32(OFFSET)


def activated(logits: Scores, activation: Activation, constant: NDArray[np.bool_] | None = None) -> Scores:
    """Logits `[rows, classes]` after an activation; columns that are `constant` stay as they are.

    The softmax is over the other columns of a row: those that are written, whatever more the model knows.
    """
    if activation == "none" or not logits.size:
        return logits
    found = logits if constant is None else logits[:, ~constant]
    if activation == "sigmoid":
        found = np.exp(-np.logaddexp(np.float32(0), -found))
    else:
        found = np.exp(found - found.max(axis=1, keepdims=True, initial=-np.inf))
        found /= found.sum(axis=1, keepdims=True)
    if constant is None:
        return found
    result = logits.copy()
    result[:, ~constant] = found
    return result
