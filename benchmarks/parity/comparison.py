"""Compares one head of TensorFlow and of ONNX Runtime, a few windows at a time, without keeping its values."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from convert.proof.parity import HeadParity
from runtime.model.tolerance import cosine_distances, relative

TOP = 5
Values = NDArray[np.float64]


@dataclass(frozen=True)
class HeadDifferences:
    """How one head differs over all windows. Errors are relative to `range`, that of TensorFlow's values.

    `window_errors` and `column_errors` are the greatest error of each window and of each column (of the last axis),
    `cosine_distances` is 1 - cosine of each window, 0 if TensorFlow's norm is under 1e-6.

    `bias` is the root mean square, over columns, of the mean difference over windows; `common` is `bias` divided by the
    root mean square of all differences (see `HeadParity`). Windows for which TensorFlow gives the same values count
    once for these two, since their rounding is the same; `distinct` is how many are left.

    The last three are for class heads, else None. `top1_equal` is how many windows have the same top class, `top5` the
    mean share of TensorFlow's five top classes that are among those of ONNX Runtime, `ranks` each window's rank
    correlation over classes (Spearman's).
    """

    range: float
    mean_error: float
    window_errors: Values
    column_errors: Values
    cosine_distances: Values
    distinct: int
    bias: float
    common: float
    top1_equal: int | None
    top5: float | None
    ranks: Values | None

    @property
    def parity(self) -> HeadParity:
        """The same as `convert.proof.parity` measures it."""
        return HeadParity(
            windows=len(self.window_errors),
            range=self.range,
            error=float(self.window_errors.max()),
            mean_error=self.mean_error,
            cosine_distance=float(self.cosine_distances.max()),
            top1_equal=self.top1_equal or 0,
            common=self.common,
        )


class HeadComparison:
    """Adds up the differences of a head; keeps a few numbers of each window and of each column."""

    def __init__(self, classes: bool) -> None:
        self._classes = classes
        self._least, self._most = np.inf, -np.inf
        self._total, self._count = 0.0, 0
        self._columns: Values | float = 0.0
        self._sum: Values | float = 0.0
        self._squares = 0.0
        self._seen: set[bytes] = set()
        self._windows: list[Values] = []
        self._distances: list[Values] = []
        self._top1 = 0
        self._shared: list[Values] = []
        self._ranks: list[Values] = []

    def add(self, expected: NDArray[np.float32], actual: NDArray[np.float32]) -> None:
        """Adds windows: the values of TensorFlow and of ONNX Runtime, both `float32 [n, ...]`."""
        a = expected.reshape(len(expected), -1).astype(np.float64)
        b = actual.reshape(len(actual), -1).astype(np.float64)
        apart = np.abs(a - b)
        self._least, self._most = np.minimum(self._least, a.min()), np.maximum(self._most, a.max())
        self._total, self._count = self._total + apart.sum(), self._count + apart.size
        self._columns = np.maximum(self._columns, apart.reshape(-1, expected.shape[-1]).max(axis=0))
        self._windows.append(apart.max(axis=1))
        self._distances.append(cosine_distances(a, b))
        new = [i for i, row in enumerate(expected) if self._is_new(row)]
        self._sum, self._squares = self._sum + (b - a)[new].sum(axis=0), self._squares + float((apart[new] ** 2).sum())
        if self._classes:
            self._top1 += int((a.argmax(axis=1) == b.argmax(axis=1)).sum())
            self._shared.append(_shared_top(a, b))
            self._ranks.append(_correlations(rankdata(a, axis=1), rankdata(b, axis=1)))

    def _is_new(self, values: NDArray[np.float32]) -> bool:
        """Whether no earlier window had the same values. Silent windows repeat, each time with the same rounding."""
        digest = hashlib.sha256(values.tobytes()).digest()
        new = digest not in self._seen
        self._seen.add(digest)
        return new

    def result(self) -> HeadDifferences:
        """The differences over all windows added so far, at least one."""
        spread = float(self._most - self._least)
        count = len(self._seen)
        bias = float(np.sqrt(np.mean((np.asarray(self._sum) / count) ** 2)))
        overall = float(np.sqrt(self._squares / np.size(self._sum) / count))
        return HeadDifferences(
            range=spread,
            mean_error=relative(float(self._total / self._count), spread),
            window_errors=_relative(np.concatenate(self._windows), spread),
            column_errors=_relative(np.asarray(self._columns), spread),
            cosine_distances=np.concatenate(self._distances),
            distinct=count,
            bias=relative(bias, spread),
            common=bias / overall if overall > 0 else 0.0,
            top1_equal=self._top1 if self._classes else None,
            top5=float(np.concatenate(self._shared).mean()) if self._classes else None,
            ranks=np.concatenate(self._ranks) if self._classes else None,
        )


def top(values: NDArray[np.float32], count: int = TOP) -> NDArray[np.int64]:
    """The columns of the greatest values `[classes]` of one window, greatest first."""
    return np.argsort(-values, kind="stable")[:count]


def _relative(differences: Values, spread: float) -> Values:
    return np.array([relative(float(difference), spread) for difference in differences])


def _shared_top(a: Values, b: Values) -> Values:
    """The share of the top classes in `a` that are top classes in `b` too, for each window."""
    count = min(TOP, a.shape[1])
    first, second = (np.argpartition(-values, count - 1, axis=1)[:, :count] for values in (a, b))
    return (first[:, :, None] == second[:, None, :]).any(axis=2).mean(axis=1)


def _correlations(a: Values, b: Values) -> Values:
    """Pearson's correlation of each row; for constant rows 1 if both are equal, else 0."""
    a, b = (values - values.mean(axis=1, keepdims=True) for values in (a, b))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    same = np.where((a == b).all(axis=1), 1.0, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(norms > 0, (a * b).sum(axis=1) / norms, same)
