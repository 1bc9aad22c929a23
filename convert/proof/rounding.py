"""What rounding does to a SavedModel, where a converted graph is further off than the stated bounds.

Two right programs round differently, and a graph can magnify that: PCEN takes differences of almost equal numbers, deep
layers multiply them. How much it does is measured on TensorFlow alone: how far it is off itself where each sample moves
to one of the two floats next to it, or where windows come in batches of another size. Where a file is off TensorFlow by
no more than `TIMES` that, the SavedModel is ill-conditioned and the file as right as TensorFlow is; but not where it
comes to more than `MOST`.

Measured on 12 windows as multiples of what TensorFlow is off itself, a right file is off by 0.9 to 2.3 times in the
mean, 0.8 to 4.8 times in the greatest difference and 1.0 to 12 times in 1 - cosine, a square (an untrained Perch v1 as
JAX exports it: 1.0, 0.9 and 1.0; a tiny one of plain ops: 2.3, 4.8 and 12; small models whose errors of 1e-3 to 1e-2
are rounding: 1.9, 2.1 and 4.4). The mean tells most: last layers of these scaled by 1.01 are off by 4.4 to 8.4 times of
it, though only by 2.1 to 3.8 times of the greatest; layers before what magnifies by hundreds.

What it costs: of 56 weight tensors of a tiny Perch, each scaled by 1.01, the stated bounds catch 43 and these multiples
all. Were TensorFlow off itself by 1e-5 of the range in the mean they would catch 53, at 1e-4 43, at 1e-3 (an error of
about 1e-2) 22, if what is changed were not magnified with the rounding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.errors import ConversionError, ParityError
from convert.proof import parity
from convert.proof.float64 import in_float64
from convert.proof.parity import FLOAT16, HeadParity, Tolerance
from convert.source.saved_model import Reference, SavedModel
from runtime.model.session import Session

MEAN_TIMES = 3
TIMES = Tolerance(error=6, mean_error=MEAN_TIMES, cosine_distance=36)
"""What a file may be off TensorFlow, as multiples of what TensorFlow is off itself; 1 - cosine is a square."""
MOST = FLOAT16
"""No file is right that is off by more, whatever rounding does: as much as float16 is granted."""
NEAR = 0.5
"""The share of a stated bound from which on rounding is measured."""
SEEDS = (0, 1)
"""Of the directions in which samples move."""
FLOAT64_WINDOWS = 4
Outputs = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Rounding:
    """What rounding does to a SavedModel's heads.

    `own` are TensorFlow's outputs compared with TensorFlow's, the worst of all moves; `float64` are TensorFlow's and
    ONNX Runtime's compared with float64, on a few windows; empty where that was not needed, or, as `not_exact` says,
    cannot be had. `ill_conditioned` are the heads that are further off than the stated bounds and taken for equal.
    """

    own: Mapping[str, HeadParity]
    float64: Mapping[str, tuple[HeadParity, HeadParity]]
    ill_conditioned: tuple[str, ...]
    not_exact: str | None = None

    def as_metadata(self) -> dict[str, Any]:
        """For the artifact; nothing where nothing was measured."""
        heads = {
            name: {
                "itself": asdict(own),
                **(
                    {"float64": dict(zip(("tensorflow", "onnx"), map(asdict, self.float64[name]), strict=True))}
                    if name in self.float64
                    else {}
                ),
            }
            for name, own in self.own.items()
            if math.isfinite(own.error + own.cosine_distance)
        }
        found = {"times": asdict(TIMES), "heads": heads, "ill_conditioned": list(self.ill_conditioned)}
        return {"rounding": found | ({"not_in_float64": self.not_exact} if self.not_exact else {})} if heads else {}


NOTHING = Rounding({}, {}, ())


def widened(bound: Tolerance, error: float, mean_error: float, cosine_distance: float, many: float = 1.0) -> Tolerance:
    """The bound of a head whose TensorFlow is off itself by so much: that, or `TIMES` as much.

    `many` times as great a 1 - cosine is granted where more windows are compared than TensorFlow's own, and the root of
    that for the error: the greatest of more is greater.
    """
    return Tolerance(
        error=max(bound.error, many**0.5 * min(TIMES.error * error, MOST.error)),
        cosine_distance=max(
            bound.cosine_distance, many * min(TIMES.cosine_distance * cosine_distance, MOST.cosine_distance)
        ),
        mean_error=MEAN_TIMES * mean_error,
    )


def _granted(bound: Tolerance, own: HeadParity) -> Tolerance:
    return widened(bound, own.error, own.mean_error, own.cosine_distance)


def moved(windows: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Windows each of whose samples moved to the next float, up or down by chance; silence stays."""
    up = np.random.default_rng(seed).random(windows.shape) < 0.5
    away = np.nextafter(windows, np.where(up, np.inf, -np.inf).astype(np.float32))
    return np.where(windows == 0, windows, away)


def off_itself(
    reference: Reference, windows: NDArray[np.float32], expected: Outputs, free_batch: bool
) -> dict[str, HeadParity]:
    """How far TensorFlow's outputs are off themselves by rounding, the worst of all that was tried."""
    others = [reference(moved(windows, seed)) for seed in SEEDS]
    if free_batch:
        others.append(reference(windows, batch_size=1))
    return {name: parity.worst([parity.compare(expected[name], other[name]) for other in others]) for name in expected}


def judge(
    source: SavedModel,
    measured: Mapping[str, HeadParity],
    reference: Reference,
    windows: NDArray[np.float32],
    expected: Outputs,
    session: Session,
) -> Rounding:
    """Refuses a graph that is further off TensorFlow than its bounds and than rounding explains.

    Returns what rounding comes to, measured where a head comes near its bound.

    Raises:
        ParityError: with what each head is off by, and why rounding does not excuse it.
    """
    bounds = {name: parity.tolerance(name, source.stablehlo is not None) for name in measured}
    near = [name for name, found in measured.items() if not found.share(bounds[name]) <= NEAR]
    if not near:
        return NOTHING
    own = off_itself(reference, windows, {name: expected[name] for name in near}, source.free_batch)
    ill, broken = [], []
    for name in near:
        if found := measured[name].failures(bounds[name]):
            if measured[name].failures(_granted(bounds[name], own[name])):
                broken.append(f"{name}: {', '.join(found)}; that is {_why(measured[name], own[name])}")
            ill.append(name)
    if broken:
        raise ParityError(f"{source.path} converted to a graph that differs from TensorFlow's: {'; '.join(broken)}")
    if not ill:
        return Rounding(own, {}, ())
    few = windows[:FLOAT64_WINDOWS]
    actual = session.run(few, ill, len(few) if session.artifact.free_batch else 1)
    try:
        exact = {name: reference.kept(name, values) for name, values in in_float64(source, ill, few).items()}
    except ConversionError as error:
        return Rounding(own, {}, tuple(ill), str(error))
    compared = {
        name: (parity.compare(exact[name], expected[name][: len(few)]), parity.compare(exact[name], actual[name]))
        for name in ill
    }
    return Rounding(own, compared, tuple(ill))


def _why(found: HeadParity, own: HeadParity) -> str:
    """What keeps a head that is out of its bound from being excused."""
    if found.failures(MOST):
        return f"more than rounding excuses, which is {MOST.error:.0e} and 1 - cosine {MOST.cosine_distance:.0e}"
    return (
        f"more than what TensorFlow is off itself by rounding explains: mean error {own.mean_error:.1e}, of which the "
        f"file has {found.mean_error:.1e} and {MEAN_TIMES} times is granted, error {own.error:.1e} ({TIMES.error:.0f} "
        f"times), 1 - cosine {own.cosine_distance:.1e} ({TIMES.cosine_distance:.0f} times)"
    )
