"""How much rounding changes a SavedModel's outputs, where a converted graph exceeds the stated tolerances.

Two correct programs round differently, and a graph can amplify that: PCEN takes differences of almost equal numbers,
deep layers multiply them. How much is measured on TensorFlow alone: how far its outputs are from its own if each sample
moves to one of the two neighbouring floats, or if windows come in batches of another size. Where a file differs from
TensorFlow by no more than `TIMES` that much, the SavedModel is ill-conditioned and the file as correct as TensorFlow;
but never where it differs by more than `MOST`.

Measured on 12 windows, as multiples of TensorFlow's difference from itself, a correct file differs by 0.9 to 2.3 times
in the mean, 0.8 to 4.8 times in the greatest difference, and 1.0 to 12 times in 1 - cosine, which is a square. (An
untrained Perch v1 as JAX exports it: 1.0, 0.9 and 1.0; a tiny one of plain ops: 2.3, 4.8 and 12; small models whose
errors of 1e-3 to 1e-2 are rounding: 1.9, 2.1 and 4.4.) The mean says most: if the last layers of these models are
scaled by 1.01, they differ by 4.4 to 8.4 times in the mean, but only by 2.1 to 3.8 times in the greatest difference;
layers before the amplifying ones by hundreds.

The price: of 56 weight tensors of a tiny Perch, each scaled by 1.01, the stated tolerances detect 43 and these
multiples all. If TensorFlow differed from itself by 1e-5 of the range in the mean they would detect 53, at 1e-4 43, and
at 1e-3 (an error of about 1e-2) 22, assuming that a changed weight is not amplified as rounding is.
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
from convert.proof.expected import Expected, Outputs
from convert.proof.float64 import in_float64
from convert.proof.parity import HeadParity
from convert.source.reference import Reference
from runtime.model.session import Session
from runtime.model.tolerance import FLOAT16, Tolerance

MEAN_TIMES = 3
TIMES = Tolerance(error=6, mean_error=MEAN_TIMES, cosine_distance=36)
"""How far a file may be from TensorFlow, in multiples of how far TensorFlow is from itself; 1 - cosine is a square."""
MOST = FLOAT16
"""A file that differs by more is wrong, however much rounding changes: as much as float16 is allowed."""
NEAR = 0.5
"""The share of a tolerance from which on rounding is measured."""
SEEDS = (0, 1)
"""The seed of the directions in which samples move."""
FLOAT64_WINDOWS = 4


@dataclass(frozen=True)
class Rounding:
    """How much rounding changes the heads of a SavedModel.

    `own` compares TensorFlow's outputs with TensorFlow's, the worst of all changes tried. `float64` compares those of
    TensorFlow and of ONNX Runtime with float64, on a few windows; it is empty where that was not needed or, for the
    reason `not_exact`, not possible. `ill_conditioned` lists the heads accepted beyond the stated tolerances.
    """

    own: Mapping[str, HeadParity]
    float64: Mapping[str, tuple[HeadParity, HeadParity]]
    ill_conditioned: tuple[str, ...]
    not_exact: str | None = None

    def as_metadata(self) -> dict[str, Any]:
        """The entry for the artifact; empty if nothing was measured."""
        heads = {
            name: {"itself": asdict(own), **self._float64_entry(name)}
            for name, own in self.own.items()
            if math.isfinite(own.error + own.cosine_distance)
        }
        if not heads:
            return {}
        entry = {"times": asdict(TIMES), "heads": heads, "ill_conditioned": list(self.ill_conditioned)}
        return {"rounding": entry | ({"not_in_float64": self.not_exact} if self.not_exact else {})}

    def _float64_entry(self, name: str) -> dict[str, Any]:
        if name not in self.float64:
            return {}
        tensorflow, onnx = self.float64[name]
        return {"float64": {"tensorflow": asdict(tensorflow), "onnx": asdict(onnx)}}


NOT_MEASURED = Rounding({}, {}, ())


def widened(bound: Tolerance, error: float, mean_error: float, cosine_distance: float, many: float = 1.0) -> Tolerance:
    """The tolerance of a head in which TensorFlow differs from itself by this much: `bound`, or `TIMES` as much.

    The more windows are compared, the greater is their greatest 1 - cosine. If they are more than those on which
    TensorFlow was compared with itself, 1 - cosine may be `many` times as great, and the error `sqrt(many)` times.
    """
    return Tolerance(
        error=max(bound.error, many**0.5 * min(TIMES.error * error, MOST.error)),
        cosine_distance=max(
            bound.cosine_distance, many * min(TIMES.cosine_distance * cosine_distance, MOST.cosine_distance)
        ),
        mean_error=MEAN_TIMES * mean_error,
    )


def moved(windows: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Windows in which each sample is the next float, up or down at random; silence stays."""
    up = np.random.default_rng(seed).random(windows.shape) < 0.5
    neighbours = np.nextafter(windows, np.where(up, np.inf, -np.inf).astype(np.float32))
    return np.where(windows == 0, windows, neighbours)


def difference_from_itself(
    reference: Reference, windows: NDArray[np.float32], expected: Outputs, free_batch: bool
) -> dict[str, HeadParity]:
    """How far rounding moves TensorFlow's outputs from its own, the worst of all changes tried."""
    others = [reference(moved(windows, seed)) for seed in SEEDS]
    if free_batch:
        others.append(reference(windows, batch_size=1))
    return {name: parity.worst([parity.compare(expected[name], other[name]) for other in others]) for name in expected}


def judge(measured: Mapping[str, HeadParity], expected: Expected, session: Session) -> Rounding:
    """Refuses a graph that differs from TensorFlow by more than its tolerances and more than rounding explains.

    `measured` is how far the file in `session` is from `expected`. Rounding is measured if a head uses up much of its
    tolerance.

    Raises:
        ParityError: how far each head is off, and why rounding does not explain it.
    """
    source = expected.source
    bounds = {name: parity.tolerance(name, source.stablehlo is not None) for name in measured}
    near = [name for name, result in measured.items() if not result.share(bounds[name]) <= NEAR]  # also for NaN
    if not near:
        return NOT_MEASURED
    assert expected.reference is not None, "without TensorFlow nothing is measured"
    outputs = {name: expected.outputs[name] for name in near}
    own = difference_from_itself(expected.reference, expected.windows, outputs, source.free_batch)
    exceeded = {name: failures for name in near if (failures := measured[name].failures(bounds[name]))}
    wrong = [
        f"{name}: {', '.join(failures)}; that is {_why(measured[name], own[name])}"
        for name, failures in exceeded.items()
        if measured[name].failures(_allowed(bounds[name], own[name]))
    ]
    if wrong:
        raise ParityError(f"{source.path} converted to a graph that differs from TensorFlow's: {'; '.join(wrong)}")
    if not exceeded:
        return Rounding(own, {}, ())
    try:
        return Rounding(own, _in_float64(expected, session, list(exceeded)), tuple(exceeded))
    except ConversionError as error:
        return Rounding(own, {}, tuple(exceeded), str(error))


def _allowed(bound: Tolerance, own: HeadParity) -> Tolerance:
    return widened(bound, own.error, own.mean_error, own.cosine_distance)


def _in_float64(expected: Expected, session: Session, heads: list[str]) -> dict[str, tuple[HeadParity, HeadParity]]:
    """TensorFlow's and ONNX Runtime's heads, each compared with float64.

    Raises:
        ConversionError: they cannot be computed in float64.
    """
    assert expected.reference is not None
    windows = expected.windows[:FLOAT64_WINDOWS]
    actual = session.run(windows, heads, len(windows) if session.artifact.free_batch else 1)
    compared = {}
    for name, values in in_float64(expected.source, heads, windows).items():
        exact = expected.reference.select_columns(name, values)
        tensorflow = parity.compare(exact, expected.outputs[name][: len(windows)])
        compared[name] = (tensorflow, parity.compare(exact, actual[name]))
    return compared


def _why(result: HeadParity, own: HeadParity) -> str:
    """Why rounding does not explain that a head exceeds its tolerance."""
    if result.failures(MOST):
        return f"more than rounding can excuse, which is {MOST.error:.0e} and 1 - cosine {MOST.cosine_distance:.0e}"
    return (
        f"more than rounding explains, by which TensorFlow differs from itself: mean error {own.mean_error:.1e} (the "
        f"file has {result.mean_error:.1e}, allowed is {MEAN_TIMES} times), error {own.error:.1e} (allowed is "
        f"{TIMES.error:.0f} times), 1 - cosine {own.cosine_distance:.1e} (allowed is {TIMES.cosine_distance:.0f} times)"
    )
