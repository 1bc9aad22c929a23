"""float32: judged by how far it is from TensorFlow, rounding taken into account."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir

from convert.passes import pipeline
from convert.proof import rounding
from convert.proof.audio import ProofAudio
from convert.proof.expected import Expected, measure
from convert.variants.variant import Proof, Variant
from runtime.model.artifact import Artifact


class Float32(Variant):
    """The model as precise as TensorFlow's."""

    def __init__(self, graph: ir.Model, artifact: Artifact, path: Path) -> None:
        super().__init__(with_prototype_heads(graph, artifact), artifact, path)

    def judge(self, expected: Expected, audio: ProofAudio) -> Proof:
        measured = measure(self.session, expected)
        return Proof(measured, rounding.judge(measured, expected, self.session).as_metadata())


def with_prototype_heads(graph: ir.Model, artifact: Artifact) -> ir.Model:
    """A copy whose prototype heads are computed as suits its device; the graph itself if its batch is fixed."""
    form = pipeline.FORMS[artifact.options["device"]]
    return pipeline.rewritten(graph, form.prototype_heads) if artifact.free_batch else graph
