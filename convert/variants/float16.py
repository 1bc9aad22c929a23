"""float16 for GPUs, except in the spectrogram and in unsplit poolings; judged by TensorFlow and by float32."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from convert.errors import ParityError
from convert.passes import pipeline
from convert.passes.float16 import emulate_float16, to_float16
from convert.proof import parity
from convert.proof.audio import ProofAudio
from convert.proof.expected import Expected, measure
from convert.proof.parity import HeadParity
from convert.variants.float32 import Float32, with_prototype_heads
from convert.variants.variant import Proof, Variant, finish_graph
from runtime.model.artifact import Artifact
from runtime.model.session import Session
from runtime.model.tolerance import FLOAT16

WINDOWS = 400
"""How many windows are compared with float32."""
MIN_AGREEMENT = 0.995
"""The share of them that must have the same top class: all but two."""
BATCH = 4


class Float16(Variant):
    """The model in half precision, and a float32 graph that rounds on a CPU as the first does on a GPU.

    Raises:
        ConversionError: the end of the spectrogram cannot be found in the graph.
    """

    precision = "float16"

    def __init__(self, graph: ir.Model, artifact: Artifact, path: Path) -> None:
        self._float32 = Float32(graph, artifact, path)
        half, rounding = halved(graph)
        self._rounding = finish_graph(rounding, artifact).load(path)
        super().__init__(with_prototype_heads(half, artifact), artifact, path)

    def judge(self, expected: Expected, audio: ProofAudio) -> Proof:
        float32 = self._float32.judge(expected, audio)
        both = [measure(session, expected) for session in (self.session, self._rounding)]
        measured = {name: parity.worst([each[name] for each in both]) for name in expected.outputs}
        windows = audio.at_most(WINDOWS)
        shares = top1_agreement(self._float32.session, self._rounding, windows)
        check(measured, shares, len(windows), expected.source.path)
        return Proof(measured, {**float32.metadata, "float32": {"windows": len(windows), "top1_agreement": shares}})


def halved(graph: ir.Model) -> tuple[ir.Model, ir.Model]:
    """The graph in float16, and a float32 graph that rounds on a CPU as the first does on a GPU.

    Raises:
        ConversionError: the end of the spectrogram cannot be found in the graph.
    """
    half = pipeline.rewritten(graph, to_float16)
    pipeline.name_by_place(half.graph)  # a tiled head keeps names that it takes from these
    return half, pipeline.rewritten(half, emulate_float16)


def top1_agreement(float32: Session, float16: Session, windows: NDArray[np.float32]) -> dict[str, float]:
    """The share of windows in which the top class is the same in both, for each class head."""
    names = [head.name for head in float32.artifact.heads.values() if head.classes]
    equal = dict.fromkeys(names, 0)
    for start in range(0, len(windows) if names else 0, BATCH):
        batch = windows[start : start + BATCH]
        for name, expected, actual in zip(names, float32(batch, names), float16(batch, names), strict=True):
            equal[name] += int((expected.argmax(axis=1) == actual.argmax(axis=1)).sum())
    return {name: count / len(windows) for name, count in equal.items()}


def check(measured: Mapping[str, HeadParity], agreement: Mapping[str, float], windows: int, model: Path) -> None:
    """Refuses a float16 model that exceeds its tolerance, or whose top class is too often another one.

    Raises:
        ParityError: it does; with the measurements.
    """
    problems = []
    for name, result in measured.items():
        share = agreement.get(name, 1.0)
        if share < MIN_AGREEMENT:  # then the size of the error adds nothing
            problems.append(
                f"{name}: top class as in float32 in {share:.1%} of {windows} windows, not {MIN_AGREEMENT:.1%}"
            )
        elif failures := result.failures(FLOAT16):
            problems.append(f"{name}: {', '.join(failures)}")
    if problems:
        raise ParityError(
            f"{model} loses too much in float16 ({'; '.join(problems)}); convert it with --precision fp32"
        )
