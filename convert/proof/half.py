"""The float16 graph of a float32 one, and whether it still tells the same birds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from convert.errors import ParityError
from convert.passes import pipeline
from convert.passes.float16 import halve, round_as_half
from convert.proof import parity
from runtime.model.session import Session

WINDOWS = 400
"""How many windows are compared with float32: 99.5% of them lets two differ."""
BATCH = 4


def halved(model: ir.Model) -> tuple[ir.Model, ir.Model]:
    """The graph in float16, and a float32 graph that rounds on a CPU as the first does on a GPU.

    Raises:
        ConversionError: it cannot be told where the spectrogram ends.
    """
    half = pipeline.rewritten(model, halve)
    return half, pipeline.rewritten(half, round_as_half)


def top1_agreement(whole: Session, half: Session, windows: NDArray[np.float32]) -> dict[str, float]:
    """For each class head the share of windows whose top class is the same in both."""
    names = [head.name for head in whole.artifact.heads.values() if head.classes]
    equal = dict.fromkeys(names, 0)
    for start in range(0, len(windows) if names else 0, BATCH):
        batch = windows[start : start + BATCH]
        for name, expected, actual in zip(names, whole(batch, names), half(batch, names), strict=True):
            equal[name] += int((expected.argmax(axis=1) == actual.argmax(axis=1)).sum())
    return {name: count / len(windows) for name, count in equal.items()}


def judge(
    measured: Mapping[str, parity.HeadParity], agreement: Mapping[str, float], windows: int, model: str | Path
) -> None:
    """Refuses a float16 graph that is out of its tolerance, or that names other classes.

    Raises:
        ParityError: with what was measured.
    """
    least = parity.MIN_AGREEMENT
    broken = []
    for name, result in measured.items():
        share = agreement.get(name, 1.0)
        if share < least:  # then what is off by how much says no more
            broken.append(f"{name}: top class as in float32 in {share:.1%} of {windows} windows, not {least:.1%}")
        elif found := result.failures(parity.FLOAT16):
            broken.append(f"{name}: {', '.join(found)}")
    if broken:
        raise ParityError(f"{model} loses too much in float16 ({'; '.join(broken)}); convert it with --precision fp32")
