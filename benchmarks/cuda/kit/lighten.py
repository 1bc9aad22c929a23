"""Makes the weights of a converted file random, so that a light file (see `seeded`) can stand for it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.cuda.kit.seeded import Weight, write_light
from benchmarks.throughput.backbone import spectrogram
from convert.write import ConvertedModel
from runtime.errors import InputError
from runtime.model.golden import fingerprint, windows_to_store
from runtime.model.identity import read_true_artifact
from runtime.model.session import Session

DTYPES = {onnx.TensorProto.FLOAT: "<f4", onnx.TensorProto.FLOAT16: "<f2"}
LEAST_VALUES, LEAST_A_CHANNEL = 4096, 16
"""Values of a weight, and of a channel of it, from which on they are left out."""
WHY = "its weights are random, to be timed"


def lighten(path: Path, whole: Path, light: Path) -> Session:
    """Writes a file like `path` with random weights to `whole`, and the light file that stands for it to `light`.

    The whole file is a valid one, with an id and a golden window of its own. Returns its session on the CPU.

    Raises:
        ArtifactError: `path` is damaged, or no converted file.
        InputError: its spectrogram cannot be found.
    """
    artifact = read_true_artifact(path)
    proto = onnx.load(path)
    start = spectrogram(proto.graph, artifact.heads)
    if start is None:
        raise InputError(f"the spectrogram of {path} cannot be found: it feeds no convolution over time and frequency")
    found: list[Weight] = []
    means: list[NDArray[np.float32]] = []
    deviations: list[NDArray[np.float32]] = []
    tensors = list(_large_weights(proto.graph, start))
    for seed, (tensor, axis) in enumerate(tensors):
        before = onnx.numpy_helper.to_array(tensor).astype(np.float64)
        others = tuple(each for each in range(before.ndim) if each != axis % before.ndim)
        weight = Weight(0, before.shape, DTYPES[tensor.data_type], axis % before.ndim, seed)
        found.append(weight)
        means.append(before.mean(axis=others).astype(np.float32))
        deviations.append(before.std(axis=others).astype(np.float32))
        tensor.raw_data = weight.values(means[-1], deviations[-1]).tobytes()
    del proto.metadata_props[:]
    identity = hashlib.sha256(proto.SerializeToString(deterministic=True)).hexdigest()
    parity = {"measured": False, "reason": WHY}
    described = replace(artifact, artifact_sha256=identity, converted_sha256=None, parity=parity, golden={})
    session = ConvertedModel(proto, described).load(whole)
    outputs = session.run(windows_to_store(artifact.window_samples), tuple(artifact.heads), 1)
    golden = {name: fingerprint(values) for name, values in outputs.items()}
    ConvertedModel(proto, replace(described, golden=golden)).write(whole)
    data, end, placed = whole.read_bytes(), 0, []
    for weight, (tensor, _) in zip(found, tensors, strict=True):
        placed.append(replace(weight, offset=data.index(tensor.raw_data, end)))
        end = placed[-1].offset + len(tensor.raw_data)
    write_light(light, data, placed, means, deviations)
    return Session(whole)


def _large_weights(graph: onnx.GraphProto, start: str) -> Iterator[tuple[onnx.TensorProto, int]]:
    """The large weights that are read after the value `start`, and only there; and the axis of their output channels:
    the first of a convolution's kernel, the last of a matrix."""
    after, before = {start}, set()
    for node in graph.node:  # in topological order
        read = set(_read(node))
        if read & after:
            after.update(read, node.output)
        else:
            before |= read
    for tensor in graph.initializer:
        axis = 0 if len(tensor.dims) == 4 else -1
        size = math.prod(tensor.dims)
        if tensor.data_type not in DTYPES or not tensor.raw_data or tensor.name not in after - before:
            continue
        if len(tensor.dims) > 1 and size >= max(LEAST_VALUES, LEAST_A_CHANNEL * tensor.dims[axis]):
            yield tensor, axis


def _read(node: onnx.NodeProto) -> Iterator[str]:
    """The values that a node reads, in the graphs that it holds, too."""
    yield from node.input
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            for inner in attribute.g.node:
                yield from _read(inner)
