"""A file like a converted Perch v2, with a few columns for each head: a graph of matrix products, and its metadata."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from convert.passes.pipeline import infer_shapes
from runtime.model.artifact import Artifact
from runtime.model.heads import NO_CLASS, ClassList, Head

NAMES = ("Anaxyrus americanus", "Bark", "Corvus corax", "Passer domesticus", "Speech", "Turdus merula")
CODES = (NO_CLASS, NO_CLASS, "comrav", "houspa", NO_CLASS, "eurbla")
SPATIAL = (2, 2, 8)
HEADS = (
    Head("label", (6,), NAMES, "inat2024_fsd50k", (), (ClassList("ebird2021", CODES),)),
    Head("embedding", (8,)),
    Head("spatial_embedding", SPATIAL),
    Head("spectrogram", (5, 3)),
)
GRAPH = """
g (float[batch, 160000] inputs) => (
  float[batch, 6] label, float[batch, 8] embedding, float[batch, 2, 2, 8] spatial_embedding,
  float[batch, 5, 3] spectrogram
) {
  few = Slice (inputs, start, end, axis)
  places = MatMul (few, to_places) spatial_embedding = Reshape (places, spatial)
  embedding = ReduceMean <axes = [1, 2], keepdims = 0> (spatial_embedding)
  product = MatMul (spatial_embedding, prototypes) products = Reshape (product, laid_out)
  greatest = ReduceMax <axes = [1, 2], keepdims = 0> (products)
  weighted = Mul (greatest, weights) label = ReduceSum <keepdims = 0> (weighted, last)
  bands = MatMul (few, to_bands) spectrogram = Reshape (bands, spectral)
}
"""


def write_small_v2(
    path: Path,
    family: str = "perch_v2",
    parity: Mapping[str, Any] | None = None,
    run: Sequence[Callable[[ir.Graph], object]] = (),
    seed: int = 0,
) -> Path:
    """Writes the file; `parity` stands for what its conversion measured, `run` are passes over the graph, and `seed`
    makes its weights."""
    rng = np.random.default_rng(seed)
    weights: dict[str, Any] = {
        "start": [20_000], "end": [20_100], "axis": [1], "spatial": [0, *SPATIAL], "spectral": [0, 5, 3],
        "to_places": rng.standard_normal((100, 32)), "to_bands": rng.standard_normal((100, 15)),
        "prototypes": rng.standard_normal((8, 12)), "weights": rng.random((1, 6, 2)), "laid_out": [0, 2, 2, 6, 2],
        "last": [2],
    }  # fmt: skip
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{GRAPH}')
    for name, values in weights.items():
        array = np.array(values)
        kind = np.float32 if array.dtype.kind == "f" else np.int64
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(kind), name))
    for each in run:
        model = infer_shapes(ir.from_proto(proto))
        each(model.graph)
        proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    artifact = Artifact(
        family=family,
        sample_rate=32_000,
        window_samples=160_000,
        free_batch=True,
        heads={head.name: head for head in HEADS},
        saved_model_sha256="a" * 64,
        artifact_sha256=hashlib.sha256(proto.SerializeToString(deterministic=True)).hexdigest(),
        parity=parity or {},
    )
    onnx.helper.set_model_props(proto, artifact.to_metadata())
    onnx.save(proto, path)
    return path
