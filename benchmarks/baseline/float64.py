"""Where the spectrograms of TensorFlow and ONNX Runtime differ: how far each is from float64."""

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
    """The greatest absolute differences of a spectrogram, over the range of its float64 values.

    `tensorflow` and `onnx` are the differences from float64, `between` is that of the two.
    """

    head: str
    windows: int
    tensorflow: float
    onnx: float
    between: float


def spectrogram_errors(
    source: SavedModel, session: Session, tensorflow: NDArray[np.float32], windows: NDArray[np.float32]
) -> SpectrogramErrors | None:
    """Compares the spectrograms of `windows` (`float32 [n, samples]`) with float64; `tensorflow` are TensorFlow's.

    None if the SavedModel or the artifact has no spectrogram among its outputs.

    Raises:
        ConversionError: the graph holds an operation without a float64 counterpart.
    """
    named = {output.name for output in source.outputs} & session.artifact.heads.keys()
    head = next((name for name in SPECTROGRAMS if name in named), None)
    if head is None:
        return None
    return errors_against(head, in_float64(source, [head], windows)[head], session, tensorflow, windows)


def errors_against(
    head: str, exact: Exact, session: Session, tensorflow: NDArray[np.float32], windows: NDArray[np.float32]
) -> SpectrogramErrors:
    """The same with float64 values `exact` at hand, which are computed once for several files of one SavedModel."""
    (onnx,) = session(windows, [head])
    span = float(np.ptp(exact)) or 1.0

    def apart(a: NDArray[Any], b: NDArray[Any]) -> float:
        return float(np.abs(a.astype(np.float64) - b).max()) / span

    return SpectrogramErrors(head, len(windows), apart(tensorflow, exact), apart(onnx, exact), apart(onnx, tensorflow))
