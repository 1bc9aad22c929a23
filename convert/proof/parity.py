"""Whether ONNX gives what TensorFlow gives, by numbers that mean the same for every head.

Range of a head: maximum minus minimum of TensorFlow's values over the windows compared. Error: greatest absolute
difference over that range. Cosine: per window, over all of the head's values; where TensorFlow's norm is under 1e-6
only the error counts. Top-1 is counted, not judged: the bound on the error already implies that it agrees wherever
TensorFlow's first class leads its second by more than twice the greatest difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_NORM = 1e-6
MIN_AGREEMENT = 0.995
"""The share of windows in which a float16 graph must give the top class of the float32 one."""


@dataclass(frozen=True)
class Tolerance:
    """The greatest error and mean error over the range and the greatest `1 - cosine` that are taken for equal."""

    error: float
    cosine_distance: float
    mean_error: float | None = None


FLOAT32 = Tolerance(error=1e-3, cosine_distance=1e-6)
NATIVE = Tolerance(error=2e-3, cosine_distance=1e-6)
SPATIAL = Tolerance(error=2e-3, cosine_distance=2e-6)
"""For models exported as StableHLO, whose B3 has half as many layers again, each of which magnifies what rounding
differs by; and for an embedding of each place, in which it does not average out."""
FLOAT16 = Tolerance(error=2e-2, cosine_distance=1e-4)
"""float16 rounds each value and weight by up to 5e-4 of itself, which some hundred layers add up to about 1e-2; an
output off by 1.4e-2 of its norm has a `1 - cosine` of 1e-4. A small model is four times inside these bounds."""
INT8 = Tolerance(error=5e-2, cosine_distance=1e-3)
"""An untrained Perch v2 is off by 5e-3 and 3e-5, but a few of its classes have a smaller range. An int8 head is held to
more than that by `convert.proof.int8`, which compares it with the float32 head."""


@dataclass(frozen=True)
class HeadParity:
    """One head compared over `windows` windows, the worst of all batch sizes tried.

    `error` and `mean_error`, the mean of all absolute differences, are relative to `range`; `cosine_distance` is the
    greatest `1 - cosine` of a window; `top1_equal` counts the windows whose first value is the same (for class heads:
    the top class). `common` is what the windows' differences have in common: the root mean square of their mean over
    windows, over that of all differences. Rounding differs from window to window and leaves about 1 / sqrt(windows);
    it is 1 where all windows are off by the same.
    """

    windows: int
    range: float
    error: float
    mean_error: float
    cosine_distance: float
    top1_equal: int
    common: float

    def share(self, tolerance: Tolerance) -> float:
        """How much of a tolerance it uses up; not a number where it is none."""
        return float(np.max([self.error / tolerance.error, self.cosine_distance / tolerance.cosine_distance]))

    def failures(self, tolerance: Tolerance = FLOAT32) -> list[str]:
        """What is out of tolerance, in words; empty if nothing is."""
        found = []
        if not self.error <= tolerance.error:  # also true for NaN
            found.append(f"error {self.error:.1e} of the range exceeds {tolerance.error:.0e}")
        if not self.cosine_distance <= tolerance.cosine_distance:
            found.append(f"1 - cosine {self.cosine_distance:.1e} exceeds {tolerance.cosine_distance:.0e}")
        if tolerance.mean_error is not None and not self.mean_error <= tolerance.mean_error:
            found.append(f"mean error {self.mean_error:.1e} exceeds {tolerance.mean_error:.0e}")
        return found


def tolerance(head: str, native: bool) -> Tolerance:
    """What an output of a float32 graph is judged by; `native` says whether the SavedModel holds StableHLO."""
    if not native:
        return FLOAT32
    return SPATIAL if head == "spatial_embedding" else NATIVE


def compare(expected: NDArray[np.floating], actual: NDArray[np.float32]) -> HeadParity:
    """Compares one head's values `[windows, ...]`: TensorFlow's (or float64's) and ONNX Runtime's."""
    if expected.shape != actual.shape:
        raise ValueError(f"shapes differ: {expected.shape} and {actual.shape}")
    a = expected.reshape(len(expected), -1).astype(np.float64)
    b = actual.reshape(len(actual), -1).astype(np.float64)
    spread = float(np.ptp(a))
    difference = b - a
    apart = np.abs(difference)
    distance = float(cosine_distances(a, b).max())
    top1_equal = int((a.argmax(axis=1) == b.argmax(axis=1)).sum())
    error, mean = (relative(float(value), spread) for value in (apart.max(), apart.mean()))
    overall = float(np.sqrt(np.mean(difference**2)))
    common = float(np.sqrt(np.mean(difference.mean(axis=0) ** 2))) / overall if overall > 0 else 0.0
    return HeadParity(len(a), spread, error, mean, distance, top1_equal, common)


def cosine_distances(expected: NDArray[np.float64], actual: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 - cosine of each row of two arrays `[windows, values]`; 0 where the norm of `expected` is under 1e-6."""
    norms = np.linalg.norm(expected, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = (expected * actual).sum(axis=1) / (norms * np.linalg.norm(actual, axis=1))
    return np.where(norms < MIN_NORM, 0.0, 1 - cosine)


def relative(difference: float, spread: float) -> float:
    """A difference over the range; where all of TensorFlow's values are one, none is 0 and any other infinite."""
    return difference / spread if spread > 0 else (0.0 if difference == 0 else float("inf"))


def worst(results: Sequence[HeadParity]) -> HeadParity:
    """The worst of each measure."""
    return HeadParity(
        windows=results[0].windows,
        range=results[0].range,
        error=float(np.max([r.error for r in results])),
        mean_error=float(np.max([r.mean_error for r in results])),
        cosine_distance=float(np.max([r.cosine_distance for r in results])),
        top1_equal=min(r.top1_equal for r in results),
        common=float(np.max([r.common for r in results])),
    )


def as_metadata(results: Mapping[str, HeadParity], audio: str, batch_sizes: Sequence[int]) -> dict[str, Any]:
    """For the artifact: what was compared, at which batch sizes, and how each head came out."""
    heads = {name: asdict(result) for name, result in results.items()}
    return {"audio": audio, "batch_sizes": list(batch_sizes), "heads": heads}
