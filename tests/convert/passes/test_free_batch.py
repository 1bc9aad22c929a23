"""Freeing a graph that was exported for one window."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from convert.passes.batch.free_batch import free_batch
from convert.passes.pipeline import clean, infer_shapes
from tests.support.graphs import graph_of, ints, normal, outputs_of

FIXED = """
g (float[1, 12] x) => (float[1, 5] y) {
  wide = Reshape (x, shape)
  padded = Pad (wide, amounts)
  conv = Conv (padded, kernel)
  turned = Transpose <perm = [0, 3, 1, 2]> (conv)
  flat = Reshape (turned, flat_shape)
  product = MatMul (flat, weights)
  y = Add (product, bias)
}
"""
FIXED_WEIGHTS = {
    "shape": ints(1, 1, 4, 3),
    "amounts": ints(0, 0, 1, 1, 0, 0, 0, 0),
    "kernel": normal(2, 1, 2, 2),
    "flat_shape": ints(1, 24),
    "weights": normal(24, 5),
    "bias": normal(1, 5),
}


def test_batch_is_freed_where_it_can_be_shown() -> None:
    model = infer_shapes(graph_of(FIXED, **FIXED_WEIGHTS))
    x = normal(4, 12)
    singles = np.concatenate([outputs_of(model, x[i : i + 1])[0] for i in range(4)])
    assert free_batch(model.graph)
    clean(model)
    (together,) = outputs_of(infer_shapes(model), x)
    np.testing.assert_allclose(together, singles, atol=1e-5)


@pytest.mark.parametrize(
    "step",
    [
        "turned = Transpose <perm = [1, 0, 2, 3]> (conv) flat = Reshape (turned, flat_shape)",
        "turned = Softmax <axis = 0> (conv) flat = Reshape (turned, flat_shape)",
        "turned = Concat <axis = 0> (conv, conv) half = Slice (turned, start, end) flat = Reshape (half, flat_shape)",
    ],
)
def test_batch_that_may_be_mixed_stays_fixed(step: str) -> None:
    text = FIXED.replace("turned = Transpose <perm = [0, 3, 1, 2]> (conv)\n  flat = Reshape (turned, flat_shape)", step)
    model = infer_shapes(graph_of(text, start=ints(0), end=ints(1), **FIXED_WEIGHTS))
    before = str(ir.to_proto(model))
    assert not free_batch(model.graph)
    assert str(ir.to_proto(model)) == before


@pytest.mark.parametrize(
    "step",
    [
        "wide = Add (x, c) y = ReduceSum <keepdims = 0> (wide, one)",  # [1, 5] + [1, 1, 5]
        "wide = Reshape (x, cube) both = Mul (x, wide) y = ReduceSum <keepdims = 0> (both, one)",
        "y = ReduceSum <keepdims = 1> (x, none)",
    ],
)
def test_batch_that_moves_stays_fixed(step: str) -> None:
    text = f"g (float[1, 5] x) => (float[a, b] y) {{ {step} }}"
    model = graph_of(text, c=normal(1, 1, 5), one=ints(1), cube=ints(1, 1, 5), none=ints())
    assert not free_batch(infer_shapes(model).graph)


@pytest.mark.parametrize(
    ("step", "free"),
    [
        ('y = Resize <mode = "nearest"> (x, , wider)', True),
        ('y = Resize <mode = "nearest"> (x, , more)', False),
        ("y = MatMul (matrices, x)", True),
        ("y = MatMul (matrices_by_window, x)", False),
    ],
)
def test_windows_apart_under_matrices_and_resizing(step: str, free: bool) -> None:
    text = "g (float[1, 2, 3, 4] x) => (float[a, b, c, d] y) { " + step + " }"
    weights = {
        "wider": np.array([1, 1, 2, 2], np.float32),
        "more": np.array([2, 1, 1, 1], np.float32),
        "matrices": normal(2, 5, 3),
        "matrices_by_window": normal(1, 2, 5, 3),
    }
    assert free_batch(infer_shapes(graph_of(text, **weights)).graph) is free
