"""The scale of `label`'s scores, where it is not the model's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError

LogitScale = Literal["perch-hoplite"]
FACTOR, OFFSET = 0.97, -10.0
"""What perch-hoplite makes of Perch v2's logits."""
FAMILY = "perch_v2"


def check_logit_scale(scale: str | None, outputs: Sequence[str], family: str) -> LogitScale | None:
    """The scale, if there is such a one and it can be applied.

    Raises:
        InputError: there is none of this name; or it is not for this model or these outputs.
    """
    if scale is None:
        return None
    (known,) = get_args(LogitScale)
    if scale != known:
        raise InputError(f"logit_scale is {scale!r}, but must be None or '{known}'")
    if "label" not in outputs:
        raise InputError(f"logit_scale concerns the output 'label', which is not among {', '.join(outputs)}")
    if family != FAMILY:
        raise InputError(f"logit_scale '{known}' is made for {FAMILY}, and this model is {family}; leave it out")
    return known


def scaled(logits: NDArray[np.float32], scale: LogitScale | None) -> NDArray[np.float32]:
    """Scores on that scale; `float32`, of the same shape."""
    return logits if scale is None else logits * np.float32(FACTOR) + np.float32(OFFSET)
