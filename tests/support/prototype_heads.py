"""A small prototype head as the translator writes it, and its label by NumPy."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from convert.passes.heads.normalisation import normalise_features_last
from convert.passes.pipeline import clean, infer_shapes
from tests.support.graphs import RNG, Array, graph_of, ints, normal

FEATURES, PLACES, CLASSES, EACH = 24, (4, 3), 10, 4
PER_PROTOTYPE = 12 * 4
"""Bytes of the products of one prototype with a window."""
HEAD = """
g (float[batch, 24, 4, 3] x) => (
  float[batch, 10] label, float[batch, 4, 3, 24] spatial_embedding, float[batch, 24] embedding
) {
  maps = Sigmoid (x)
  pooled = GlobalAveragePool (maps) embedding = Flatten (pooled)
  squares = Mul (maps, maps) total = ReduceSum <keepdims = 0> (squares, first)
  totals = Reshape (total, places_1) root = Sqrt (totals) length = Add (root, epsilon)
  lengths = Reshape (length, one_places) unit = Div (maps, lengths) turned = Transpose <perm = [0, 2, 3, 1]> (unit)
  product = MatMul (turned, prototypes) products = Reshape (product, laid_out)
  greatest = ReduceMax <axes = [1, 2], keepdims = 0> (products)
  weighted = Mul (greatest, weights) sum = ReduceSum <keepdims = 0> (weighted, last) label = Add (sum, bias)
  spatial_embedding = Transpose <perm = [0, 2, 3, 1]> (maps)
}
"""
SHAPES = {
    "first": ints(1), "last": ints(2), "places_1": ints(0, 4, 3, 1), "one_places": ints(0, 1, 4, 3),
    "laid_out": ints(0, 4, 3, 10, 4),
}  # fmt: skip


def weights() -> dict[str, Array]:
    """Prototypes of unit length, weights of which some are 0, and biases."""
    prototypes = normal(FEATURES, CLASSES * EACH)
    return {
        "prototypes": prototypes / np.linalg.norm(prototypes, axis=0),
        "weights": np.maximum(RNG.uniform(-0.2, 2, (1, CLASSES, EACH)), 0).astype(np.float32),
        "bias": normal(1, CLASSES),
        "epsilon": np.full((1, 1, 1, 1), 1e-5, np.float32),
    }


def head(text: str = HEAD, prepared: bool = True, **arrays: Array) -> ir.Model:
    """The head with shapes inferred and, if `prepared`, its embedding normalised features-last."""
    model = graph_of(text, **SHAPES, **(arrays or weights()))
    if prepared:
        normalise_features_last(infer_shapes(model).graph)
        clean(model)
    return infer_shapes(model)


def windows(count: int) -> Array:
    return normal(count, FEATURES, *PLACES)


def places_of(x: Array) -> Array:
    """Positions of unit length, float64 `[windows, positions, features]`."""
    maps = 1 / (1 + np.exp(-x.astype(np.float64)))
    places = maps.reshape(len(x), FEATURES, -1).transpose(0, 2, 1)
    return np.asarray(places / (np.linalg.norm(places, axis=-1, keepdims=True) + 1e-5))


def label_of(maximum: Array, arrays: dict[str, Array]) -> Array:
    """Logits, given the maximum product of each prototype, `[windows, prototypes]`."""
    weighted = maximum.reshape(len(maximum), CLASSES, EACH) * arrays["weights"]
    return np.asarray(weighted.sum(axis=-1) + arrays["bias"])
