"""Whose rounding it is where the spectrograms of TensorFlow and ONNX Runtime differ: each against float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.proof.float64 import Exact, in_float64
from convert.source.saved_model import SavedModel
from runtime.model.session import Session

SPECTROGRAMS = ("frontend", "spectrogram")


@dataclass(frozen=True)
class SpectrogramErrors:
    """A spectrogram's greatest absolute differences, over the range of its float64 values.

    `tensorflow` and `onnx` are how far each is from float64, `between` how far they are from each other.
    """

    head: str
    windows: int
    tensorflow: float
    onnx: float
    between: float


def spectrogram_errors(
    source: SavedModel, session: Session, tensorflow: NDArray[np.float32], windows: NDArray[np.float32]
) -> SpectrogramErrors | None:
    """Compares the spectrogram of `float32 [n, samples]`, of which `tensorflow` are TensorFlow's values.

    None where the SavedModel or the artifact gives no spectrogram.

    Raises:
        ConversionError: the graph holds what has no float64 counterpart.
    """
    named = {output.name for output in source.outputs} & session.artifact.heads.keys()
    head = next((name for name in SPECTROGRAMS if name in named), None)
    if head is None:
        return None
    return errors_against(head, in_float64(source, [head], windows)[head], session, tensorflow, windows)


def errors_against(
    head: str, exact: Exact, session: Session, tensorflow: NDArray[np.float32], windows: NDArray[np.float32]
) -> SpectrogramErrors:
    """The same for several files of one SavedModel, whose float64 values `exact` are computed once."""
    (onnx,) = session(windows, [head])
    span = float(np.ptp(exact)) or 1.0

    def apart(a: NDArray[Any], b: NDArray[Any]) -> float:
        return float(np.abs(a.astype(np.float64) - b).max()) / span

    return SpectrogramErrors(head, len(windows), apart(tensorflow, exact), apart(onnx, exact), apart(onnx, tensorflow))
