"""A graph becomes a file that describes itself."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import onnx_ir as ir

from convert.errors import ConversionError
from runtime.model.artifact import Artifact
from runtime.model.session import Session

OPSET = 17
IR_VERSION = 8
"""The version that opset 17 was released with. Older notebooks refuse newer ones, which onnx writes by default."""


@dataclass(frozen=True)
class ConvertedModel:
    """A finished graph, and the description that its file holds."""

    proto: onnx.ModelProto
    artifact: Artifact

    def write(self, path: Path) -> None:
        """Writes the file, description included.

        Raises:
            OSError: it cannot be written.
        """
        onnx.helper.set_model_props(self.proto, self.artifact.to_metadata())
        path.write_bytes(self.proto.SerializeToString(deterministic=True))

    def load(self, path: Path) -> Session:
        """Writes the file and loads it in ONNX Runtime, on the CPU."""
        self.write(path)
        return Session(path)


def finish(graph: ir.Model, artifact: Artifact) -> ConvertedModel:
    """Sets versions and checks that the graph holds nothing but plain ONNX; the artifact gets its id.

    Raises:
        ConversionError: a node is outside ONNX's domain, computes a Fourier transform, or breaks ONNX's rules.
    """
    proto = ir.to_proto(graph)
    proto.ir_version = IR_VERSION
    proto.producer_name, proto.producer_version = "perch-onnx", artifact.tools["perch-onnx"]
    del proto.metadata_props[:]
    proto.doc_string = proto.graph.doc_string = ""
    for node in proto.graph.node:
        node.doc_string = ""
        if node.domain not in ("", "ai.onnx") or node.op_type in ("DFT", "STFT"):
            raise ConversionError(
                f"the converted graph holds {node.domain or 'ai.onnx'}.{node.op_type} ('{node.name}')"
            )
    if [imported.version for imported in proto.opset_import if imported.domain == ""] != [OPSET]:
        raise ConversionError(f"the converted graph is not of opset {OPSET}")
    del proto.opset_import[:]  # it may list domains of which there is no node
    proto.opset_import.add(domain="", version=OPSET)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ConversionError(f"onnx's checker refuses the converted graph: {error}") from None
    identity = hashlib.sha256(proto.SerializeToString(deterministic=True)).hexdigest()
    return ConvertedModel(proto, replace(artifact, artifact_sha256=identity))
