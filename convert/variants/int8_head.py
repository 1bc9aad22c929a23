"""float32 with a class head that multiplies in int8, for CPUs; judged by TensorFlow and by float32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from convert.errors import ParityError
from convert.passes import pipeline
from convert.passes.heads.int8 import quantise_prototypes
from convert.proof import parity
from convert.proof.audio import ProofAudio
from convert.proof.expected import Expected, measure
from convert.proof.parity import HeadParity
from convert.variants.float32 import Float32
from convert.variants.variant import Proof, Variant
from runtime.model.artifact import Artifact
from runtime.model.session import Session
from runtime.model.tolerance import INT8

WINDOWS = 100
"""How many windows are compared with float32."""
ERROR_WINDOWS = 12
"""The first of them, whose greatest difference is the error within which the top class may differ."""
BATCH = 4
MIN_CORRELATION, MIN_AGREEMENT = 0.9995, 0.99


class Int8Head(Variant):
    """The model with heads of prototypes in int8.

    Raises:
        ConversionError: it has no such head.
    """

    head = "int8"

    def __init__(self, graph: ir.Model, artifact: Artifact, path: Path) -> None:
        self._float32 = Float32(graph, artifact, path)
        super().__init__(pipeline.rewritten(graph, quantise_prototypes), artifact, path)

    def judge(self, expected: Expected, audio: ProofAudio) -> Proof:
        float32 = self._float32.judge(expected, audio)
        measured = measure(self.session, expected)
        agreements = compare(self._float32.session, self.session, audio.at_most(WINDOWS))
        check(measured, agreements, expected.source.path)
        entry = {name: asdict(agreement) for name, agreement in agreements.items()}
        return Proof(measured, {**float32.metadata, "float32_head": entry})


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
        """The tolerances that are exceeded, in words; empty if none is."""
        failures = []
        if not self.correlation >= MIN_CORRELATION:  # also true for NaN
            failures.append(f"correlation {self.correlation:.5f} with float32, not {MIN_CORRELATION}")
        if (share := self.top1_agrees / self.windows) < MIN_AGREEMENT:
            failures.append(
                f"top class as in float32 in {share:.1%} of {self.windows} windows, not {MIN_AGREEMENT:.0%}"
            )
        return failures


def compare(float32: Session, int8: Session, windows: NDArray[np.float32]) -> dict[str, Agreement]:
    """How each class head of the int8 file agrees with the float32 file's on windows `float32 [n, samples]`."""
    names = [head.name for head in float32.artifact.heads.values() if head.classes]
    # The graphs differ only in the heads: where these take gathered embeddings, the backbone need not run twice.
    gathers = int8.deferred_from == float32.deferred_from and set(names) <= set(int8.deferrable_heads)
    source = float32.deferred_from if gathers else ""
    expected: list[list[NDArray[np.float32]]] = []
    actual: list[list[NDArray[np.float32]]] = []
    for start in range(0, len(windows), BATCH):
        batch = windows[start : start + BATCH]
        values = float32(batch, [*names, source] if source else names)
        actual.append(int8(batch[:1], names, values.pop(), 0) if source else int8(batch, names))
        expected.append(values)
    joined = zip(*(map(np.concatenate, zip(*parts, strict=True)) for parts in (expected, actual)), strict=True)
    return {name: agreement(*pair) for name, pair in zip(names, joined, strict=True)}


def agreement(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> Agreement:
    """Compares the values `[windows, classes]` of one head: of float32 and of int8."""
    a, b = expected.astype(np.float64), actual.astype(np.float64)
    error = float(np.abs(a - b)[:ERROR_WINDOWS].max())
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = float(np.corrcoef(a.reshape(-1), b.reshape(-1))[0, 1]) if (a != b).any() else 1.0
    equal = a.argmax(axis=1) == b.argmax(axis=1)
    best_two = np.sort(a, axis=1)[:, -2:]
    undecided = best_two[:, -1] - best_two[:, 0] <= 2 * error
    return Agreement(len(a), error, correlation, int(equal.sum()), int((equal | undecided).sum()))


def check(measured: Mapping[str, HeadParity], agreements: Mapping[str, Agreement], model: str | Path) -> None:
    """Refuses an int8 head that exceeds its tolerance, or whose top class is too often another one.

    `measured` compares with TensorFlow; it is empty where TensorFlow cannot run the model.

    Raises:
        ParityError: it does; with the measurements.
    """
    problems = []
    for name in dict.fromkeys([*measured, *agreements]):
        failures = agreements[name].failures() if name in agreements else []
        if name in measured and not failures:
            tolerance = INT8 if name in agreements else parity.tolerance(name, native=True)
            failures = measured[name].failures(tolerance)
        if failures:
            problems.append(f"{name}: {', '.join(failures)}")
    if problems:
        raise ParityError(
            f"{model} loses too much with its head in int8 ({'; '.join(problems)}); convert it without --head int8"
        )
