"""A graph becomes a file that describes itself."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import onnx

from convert.errors import ConversionError
from runtime.model.artifact import Artifact

OPSET = 17
IR_VERSION = 8
"""What opset 17 was released with. Older notebooks refuse newer ones, and onnx writes its newest unless told."""


def finish(proto: onnx.ModelProto, artifact: Artifact) -> tuple[onnx.ModelProto, Artifact]:
    """Sets versions and metadata, and checks that nothing but plain ONNX is in the graph.

    Returns the model and the artifact with its own id.

    Raises:
        ConversionError: a node is outside ONNX's domain, computes a Fourier transform, or breaks ONNX's rules.
    """
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
    del proto.opset_import[:]  # with it those of domains that no node is of
    proto.opset_import.add(domain="", version=OPSET)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ConversionError(f"onnx's checker refuses the converted graph: {error}") from None
    identity = hashlib.sha256(proto.SerializeToString(deterministic=True)).hexdigest()
    return proto, replace(artifact, artifact_sha256=identity)


def serialize(proto: onnx.ModelProto, artifact: Artifact) -> bytes:
    """The file's bytes, its description included."""
    onnx.helper.set_model_props(proto, artifact.to_metadata())
    return bytes(proto.SerializeToString(deterministic=True))
