"""Whether ONNX gives what TensorFlow gives, by numbers that mean the same for every head.

Range of a head: maximum minus minimum of TensorFlow's values over the windows compared. Error: greatest absolute
difference divided by that range. Cosine: per window, over all values of the head; if TensorFlow's norm is below 1e-6
only the error counts. The top class is counted but not judged: the tolerance of the error already implies that it
agrees wherever TensorFlow's first class leads its second by more than twice the greatest difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.model.tolerance import FLOAT32, NATIVE, SPATIAL, Tolerance, cosine_distances, relative


@dataclass(frozen=True)
class HeadParity:
    """One head compared over `windows` windows, the worst of all batch sizes tried.

    `error` and `mean_error`, the mean of all absolute differences, are relative to `range`; `cosine_distance` is the
    greatest `1 - cosine` of a window; `top1_equal` counts the windows whose greatest value is in the same column (for
    class heads: the top class). `common` is the share of the differences that windows have in common: the root mean
    square of their mean over windows, divided by that of all differences. Rounding differs from window to window, which
    leaves about 1 / sqrt(windows); it is 1 if all windows differ in the same way.
    """

    windows: int
    range: float
    error: float
    mean_error: float
    cosine_distance: float
    top1_equal: int
    common: float

    def share(self, tolerance: Tolerance) -> float:
        """The part of a tolerance that it uses up; NaN if a measure is NaN."""
        return float(np.max([self.error / tolerance.error, self.cosine_distance / tolerance.cosine_distance]))

    def failures(self, tolerance: Tolerance = FLOAT32) -> list[str]:
        """The tolerances that are exceeded, in words; empty if none is."""
        failures = []
        if not self.error <= tolerance.error:  # also true for NaN
            failures.append(f"error {self.error:.1e} of the range exceeds {tolerance.error:.0e}")
        if not self.cosine_distance <= tolerance.cosine_distance:
            failures.append(f"1 - cosine {self.cosine_distance:.1e} exceeds {tolerance.cosine_distance:.0e}")
        if tolerance.mean_error is not None and not self.mean_error <= tolerance.mean_error:
            failures.append(f"mean error {self.mean_error:.1e} exceeds {tolerance.mean_error:.0e}")
        return failures


def tolerance(head: str, native: bool) -> Tolerance:
    """The tolerance of an output in float32; `native` says whether the SavedModel holds StableHLO."""
    if not native:
        return FLOAT32
    return SPATIAL if head == "spatial_embedding" else NATIVE


def compare(expected: NDArray[np.floating], actual: NDArray[np.float32]) -> HeadParity:
    """Compares the values `[windows, ...]` of one head: TensorFlow's (or float64's) and ONNX Runtime's."""
    if expected.shape != actual.shape:
        raise ValueError(f"shapes differ: {expected.shape} and {actual.shape}")
    a = expected.reshape(len(expected), -1).astype(np.float64)
    b = actual.reshape(len(actual), -1).astype(np.float64)
    spread = float(np.ptp(a))
    difference = b - a
    absolute = np.abs(difference)
    distance = float(cosine_distances(a, b).max())
    top1_equal = int((a.argmax(axis=1) == b.argmax(axis=1)).sum())
    error, mean = (relative(float(value), spread) for value in (absolute.max(), absolute.mean()))
    overall = float(np.sqrt(np.mean(difference**2)))
    common = float(np.sqrt(np.mean(difference.mean(axis=0) ** 2))) / overall if overall > 0 else 0.0
    return HeadParity(len(a), spread, error, mean, distance, top1_equal, common)


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
    """The entry for the artifact: the audio compared on, the batch sizes, and the result of each head."""
    heads = {name: asdict(result) for name, result in results.items()}
    return {"audio": audio, "batch_sizes": list(batch_sizes), "heads": heads}
