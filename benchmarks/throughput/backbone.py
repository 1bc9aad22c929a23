"""Cuts the backbone out of a model: the part from the frontend's spectrogram to the embedding.

Its time is the floor that other times are divided by. The ratio of a whole file to its own backbone shows the cost of
the frontend. With the backbone of a reference file as the floor, a faster backbone shows too.
"""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

import onnx
import onnx.utils

from runtime.errors import InputError
from runtime.model.artifact import read_artifact

SPECTROGRAMS, EMBEDDING = ("frontend", "spectrogram"), "embedding"
"""The name of the spectrogram in Perch v1 and v2."""


def cut_backbone(path: str | Path) -> bytes:
    """The backbone of a converted file, as a serialised ONNX model from one spectrogram to one embedding.

    The spectrogram is the head `frontend` or `spectrogram` or, in a file without that head, the input of the first
    convolution whose kernel spans both time and frequency.

    Raises:
        ArtifactError: the file was not made by `perch-convert`.
        InputError: the file has no embedding, or its spectrogram cannot be found.
    """
    heads = read_artifact(path).heads
    if EMBEDDING not in heads:
        raise InputError(f"{path} has no output '{EMBEDDING}' for its backbone to end in")
    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)), data_prop=True)
    start, extractor = spectrogram(model.graph, heads), onnx.utils.Extractor(model)
    if start is None or start not in extractor.value_infos:
        raise InputError(f"the spectrogram of {path} cannot be found: it feeds no convolution over time and frequency")
    cut = extractor.extract_model([start], [EMBEDDING])
    if any(source.name in node.input for node in cut.graph.node for source in model.graph.input):
        raise InputError(f"the backbone of {path} reads more than its spectrogram '{start}'")
    onnx.checker.check_model(cut)
    return bytes(cut.SerializeToString())


def spectrogram(graph: onnx.GraphProto, heads: Container[str]) -> str | None:
    """The value from which the backbone starts; None if it cannot be found."""
    start = next((name for name in SPECTROGRAMS if name in heads), None) or _before_convolutions(graph)
    copied = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Identity"}
    return copied.get(start, start)  # where the head is a copy of what the backbone reads


def _before_convolutions(graph: onnx.GraphProto) -> str | None:
    weights = {weight.name: weight.dims for weight in graph.initializer}
    shaped = {node.output[0]: node.input[0] for node in graph.node if node.op_type in ("Reshape", "Unsqueeze")}
    for node in graph.node:  # in topological order
        kernel = weights.get(node.input[1], ()) if node.op_type == "Conv" else ()
        if len(kernel) == 4 and min(kernel[2:]) > 1:
            return shaped.get(node.input[0], node.input[0])
    return None
