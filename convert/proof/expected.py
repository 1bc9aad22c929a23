"""TensorFlow's outputs for some windows, and how far a converted file's are from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.errors import ParityError
from convert.proof import parity
from convert.proof.parity import HeadParity
from convert.source.reference import Reference
from convert.source.saved_model import SavedModel
from runtime.errors import counted, first_line
from runtime.model.session import Session

Windows = NDArray[np.float32]
Outputs = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Expected:
    """What TensorFlow gives for windows `float32 [n, samples]`: `outputs` by head, a row for each window.

    `reference` is the model that gave them. Where TensorFlow cannot run the SavedModel it is None, and `outputs` empty.
    """

    source: SavedModel
    windows: Windows
    reference: Reference | None
    outputs: Outputs

    @classmethod
    def from_tensorflow(
        cls,
        source: SavedModel,
        windows: Windows,
        heads: Sequence[str] | None = None,
        columns: Mapping[str, NDArray[np.int64]] | None = None,
    ) -> Expected:
        """Runs TensorFlow, if it can run the SavedModel here; `heads` and `columns` are those of `Reference`."""
        if source.cannot_run:
            return cls(source, windows, None, {})
        reference = Reference(source, heads, columns or {})
        return cls(source, windows, reference, reference(windows))


def batch_sizes(session: Session) -> tuple[int, ...]:
    """The batch sizes in which a converted file is tried."""
    return (1, 2, 12) if session.artifact.free_batch else (1,)


def measure(session: Session, expected: Expected) -> dict[str, HeadParity]:
    """How far a converted file's heads are from TensorFlow's, the worst of all batch sizes; empty if these are missing.

    Raises:
        ParityError: ONNX Runtime cannot run the file.
    """
    if not expected.outputs:
        return {}
    windows, heads = expected.windows, list(expected.outputs)
    results: dict[str, list[HeadParity]] = {name: [] for name in heads}
    for size in batch_sizes(session):
        parts = [_run(session, windows[i : i + size], heads) for i in range(0, len(windows), size)]
        for name, values in zip(heads, zip(*parts, strict=True), strict=True):
            results[name].append(parity.compare(expected.outputs[name], np.concatenate(values)))
    if session.deferrable_heads:
        (gathered,) = session(windows[:-1], [session.deferred_from])
        for name, rows in zip(
            session.deferrable_heads, session(windows[-1:], session.deferrable_heads, gathered), strict=True
        ):
            results[name].append(parity.compare(expected.outputs[name], rows))
    return {name: parity.worst(each) for name, each in results.items()}


def check_runs(session: Session, windows: Windows) -> None:
    """All that can be checked without TensorFlow: that ONNX Runtime runs the file, and the outputs are finite.

    Raises:
        ParityError: it does not run, or an output is not finite.
    """
    for size in batch_sizes(session):
        if not all(np.isfinite(values).all() for values in _run(session, windows[:size], list(session.artifact.heads))):
            raise ParityError(f"the converted graph gives values that are not finite for {counted(size, 'window')}")


def _run(session: Session, windows: Windows, heads: Sequence[str]) -> list[NDArray[np.float32]]:
    try:
        return session(windows, heads)
    except Exception as error:  # onnxruntime has a class for each status
        raise ParityError(
            f"the converted graph cannot be run on {counted(len(windows), 'window')}: {first_line(error)}"
        ) from None
