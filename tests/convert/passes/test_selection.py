"""Keeping heads, and classes of a head."""

from __future__ import annotations

import numpy as np

from convert.passes.heads.selection import keep_classes, keep_heads
from convert.passes.pipeline import clean, infer_shapes
from tests.support.graphs import graph_of, normal, ops, outputs_of


def test_heads_and_classes_are_kept() -> None:
    text = """
    g (float[batch, 8] x) => (float[batch, 5] label, float[batch, 8] embedding, float[batch, 5] other) {
      embedding = Relu (x)
      product = MatMul (embedding, weights) label = Add (bias, product)
      other = Sqrt (embedded) embedded = Abs (product)
    }
    """.replace("other = Sqrt (embedded) embedded = Abs (product)", "absolute = Abs (label) other = Sqrt (absolute)")
    model = graph_of(text, weights=normal(8, 5), bias=normal(1, 5))
    x = normal(3, 8)
    whole = outputs_of(model, x)[0]
    keep_heads(model.graph, ["embedding", "label"])
    clean(model)
    keep_classes(model.graph, "label", [4, 1])
    clean(model)
    embedding, label = outputs_of(model, x)
    np.testing.assert_array_equal(embedding, np.maximum(x, 0))
    np.testing.assert_allclose(label, whole[:, [4, 1]], atol=1e-6)
    assert ops(model) == {"Relu": 1, "MatMul": 1, "Add": 1}


def test_classes_of_a_head_that_is_not_dense_are_gathered() -> None:
    model = graph_of("g (float[batch, 6] x) => (float[batch, 6] label) { label = Sigmoid (x) }")
    x = normal(2, 6)
    whole = outputs_of(model, x)[0]
    keep_classes(model.graph, "label", [5, 0, 2])
    (label,) = outputs_of(infer_shapes(model), x)
    np.testing.assert_array_equal(label, whole[:, [5, 0, 2]])


def test_head_that_is_read_again_is_kept_whole_for_its_reader() -> None:
    text = """
    g (float[batch, 4] x) => (float[batch, 6] label, float[batch, 6] prob) {
      product = MatMul (x, weights) label = Add (product, bias) prob = Sigmoid (label)
    }
    """
    model = graph_of(text, weights=normal(4, 6), bias=normal(6))
    x = normal(2, 4)
    whole, prob = outputs_of(model, x)
    keep_classes(model.graph, "label", [5, 0])
    clean(model)
    assert [value.name for value in model.graph.outputs] == ["label", "prob"]
    label, prob_after = outputs_of(infer_shapes(model), x)
    np.testing.assert_array_equal(label, whole[:, [5, 0]])
    np.testing.assert_array_equal(prob_after, prob)
