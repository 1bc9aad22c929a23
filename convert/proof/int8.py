"""Whether a head of prototypes that multiplies in int8 still tells the same birds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.errors import ParityError
from convert.proof import parity
from runtime.model.session import Session

WINDOWS = 100
"""How many windows are compared with float32."""
ERROR_WINDOWS = 12
"""The first of these, whose greatest difference is the error that says where the top class must agree."""
BATCH = 4
MIN_CORRELATION, MIN_AGREEMENT = 0.9995, 0.99


@dataclass(frozen=True)
class Agreement:
    """An int8 head compared with the float32 one over `windows` windows.

    `error` is the greatest difference of a logit in the first of them, `correlation` that of all logits. `top1_equal`
    counts the windows with the same top class, `top1_agrees` also those in which float32's first class leads its second
    by no more than twice the error.
    """

    windows: int
    error: float
    correlation: float
    top1_equal: int
    top1_agrees: int

    def failures(self) -> list[str]:
        """What is out of tolerance, in words; empty if nothing is."""
        found = []
        if not self.correlation >= MIN_CORRELATION:  # also true for NaN
            found.append(f"correlation {self.correlation:.5f} with float32, not {MIN_CORRELATION}")
        if (share := self.top1_agrees / self.windows) < MIN_AGREEMENT:
            found.append(f"top class as in float32 in {share:.1%} of {self.windows} windows, not {MIN_AGREEMENT:.0%}")
        return found


def compare(whole: Session, int8: Session, windows: NDArray[np.float32]) -> dict[str, Agreement]:
    """How each class head of the int8 file agrees with the float32 file's on windows `float32 [n, samples]`."""
    names = [head.name for head in whole.artifact.heads.values() if head.classes]
    # The rest of both graphs is the same: where heads take what was gathered, the second needs no second backbone.
    source = (
        whole.deferred_from
        if int8.deferred_from == whole.deferred_from and set(names) <= set(int8.deferrable_heads)
        else ""
    )
    expected: list[list[NDArray[np.float32]]] = []
    actual: list[list[NDArray[np.float32]]] = []
    for start in range(0, len(windows), BATCH):
        batch = windows[start : start + BATCH]
        found = whole(batch, [*names, source] if source else names)
        actual.append(int8(batch[:1], names, found.pop(), 0) if source else int8(batch, names))
        expected.append(found)
    joined = zip(*(map(np.concatenate, zip(*parts, strict=True)) for parts in (expected, actual)), strict=True)
    return {name: agreement(*pair) for name, pair in zip(names, joined, strict=True)}


def agreement(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> Agreement:
    """Compares one head's values `[windows, classes]`: of float32 and of int8."""
    a, b = expected.astype(np.float64), actual.astype(np.float64)
    error = float(np.abs(a - b)[:ERROR_WINDOWS].max())
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = float(np.corrcoef(a.reshape(-1), b.reshape(-1))[0, 1]) if (a != b).any() else 1.0
    equal = a.argmax(axis=1) == b.argmax(axis=1)
    first_two = np.sort(a, axis=1)[:, -2:]
    undecided = first_two[:, -1] - first_two[:, 0] <= 2 * error
    return Agreement(len(a), error, correlation, int(equal.sum()), int((equal | undecided).sum()))


def judge(measured: Mapping[str, parity.HeadParity], agreed: Mapping[str, Agreement], model: str | Path) -> None:
    """Refuses an int8 head that is out of its tolerance, or that names other classes.

    `measured` compares with TensorFlow; it is empty where that cannot run the model.

    Raises:
        ParityError: with what was measured.
    """
    broken = []
    for name in dict.fromkeys([*measured, *agreed]):
        found = agreed[name].failures() if name in agreed else []
        if name in measured and not found:
            found = measured[name].failures(parity.INT8 if name in agreed else parity.tolerance(name, native=True))
        if found:
            broken.append(f"{name}: {', '.join(found)}")
    if broken:
        raise ParityError(
            f"{model} loses too much with its head in int8 ({'; '.join(broken)}); convert it without --head int8"
        )
