"""Where the spectrograms of TensorFlow and ONNX Runtime differ: how far each is from float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.proof.float64 import Exact
from runtime.model.session import Session

SPECTROGRAMS = ("frontend", "spectrogram")


@dataclass(frozen=True)
class SpectrogramErrors:
    """The greatest absolute differences of a spectrogram, over the range of its float64 values.

    `tensorflow` and `onnx` are the differences from float64, `between` is that of the two.
    """

    head: str
    windows: int
    tensorflow: float
    onnx: float
    between: float


def errors_against(
    head: str, exact: Exact, session: Session, tensorflow: NDArray[np.float32], windows: NDArray[np.float32]
) -> SpectrogramErrors:
    """Compares a spectrogram of `windows` (`float32 [n, samples]`) with its float64 values `exact`.

    `tensorflow` are TensorFlow's values, `session` gives the file's.
    """
    (onnx,) = session(windows, [head])
    span = float(np.ptp(exact)) or 1.0

    def apart(a: NDArray[Any], b: NDArray[Any]) -> float:
        return float(np.abs(a.astype(np.float64) - b).max()) / span

    return SpectrogramErrors(head, len(windows), apart(tensorflow, exact), apart(onnx, exact), apart(onnx, tensorflow))
