"""How far apart the values of one head are in two computations of it, and how far they may be.

Error: the greatest absolute difference, divided by the head's range. Cosine: per window, over all values of the head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_NORM = 1e-6
"""Where the norm of the expected values is below this, only the error counts."""


@dataclass(frozen=True)
class Tolerance:
    """The greatest error, mean error and `1 - cosine` with which two heads count as equal."""

    error: float
    cosine_distance: float
    mean_error: float | None = None


FLOAT32 = Tolerance(error=1e-3, cosine_distance=1e-6)
NATIVE = Tolerance(error=2e-3, cosine_distance=1e-6)
SPATIAL = Tolerance(error=2e-3, cosine_distance=2e-6)
"""For models exported as StableHLO: their EfficientNet-B3 has half as many layers again, and each amplifies differences
in rounding; these do not average out in an embedding of each position."""
FLOAT16 = Tolerance(error=2e-2, cosine_distance=1e-4)
"""float16 rounds each value and weight by up to 5e-4 of itself, and some hundred layers add that up to about 1e-2; an
output that differs by 1.4e-2 of its norm has a `1 - cosine` of 1e-4. A small model reaches a quarter of this."""
INT8 = Tolerance(error=5e-2, cosine_distance=1e-3)
"""An untrained Perch v2 differs by 5e-3 and 3e-5, but a selection of its classes may have a smaller range.
`convert.variants.int8_head` also compares the head with the float32 one, and more strictly."""


def cosine_distances(expected: NDArray[np.float64], actual: NDArray[np.float64]) -> NDArray[np.float64]:
    """`1 - cosine` of each row of `[windows, values]`; 0 where the norm of `expected` is below 1e-6."""
    norms = np.linalg.norm(expected, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = (expected * actual).sum(axis=1) / (norms * np.linalg.norm(actual, axis=1))
    return np.where(norms < MIN_NORM, 0.0, 1 - cosines)


def relative(difference: float, spread: float) -> float:
    """A difference divided by the range. If the range is 0, no difference is 0 and any other is infinite."""
    return difference / spread if spread > 0 else (0.0 if difference == 0 else float("inf"))
