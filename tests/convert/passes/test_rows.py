"""Row-wise nodes: each against its own outputs for one row at a time."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from convert.passes.pipeline import infer_shapes
from convert.passes.rows import is_row_wise
from tests.support.graphs import graph_of, ints, normal, outputs_of

CONSTANTS = {
    "row": normal(4), "one_row": normal(1, 3, 4), "wide": normal(1, 1, 3, 4), "per_row": normal(2, 3, 4),
    "matrix": normal(4, 5), "left": normal(6, 3), "matrices": normal(1, 4, 5), "kernel": normal(2, 3, 1),
    "weights": normal(12, 3), "bias": normal(1, 3), "places": ints(2, 0), "first": ints(0), "second": ints(1),
    "last": ints(-1), "front": ints(-3), "four": ints(4), "none": ints(), "one": ints(1), "two": ints(2),
    "flat": ints(-1, 12), "copied": ints(0, 4, 3), "merged": ints(-1, 4), "fixed": ints(2, 12),
    "target": ints(1, 3, 4), "longer": ints(2, 3, 4), "within": ints(0, 1, 0, 0, 1, 2),
    "beside": ints(1, 0, 0, 0, 0, 0),
    "same_rows": np.array([1, 2, 1], np.float32), "more_rows": np.array([2, 1, 1], np.float32),
    "zero": np.zeros((), np.float32),
}  # fmt: skip
ROW_WISE = [
    "y = Relu (x)",
    "y = Add (x, row)",
    "y = Sub (one_row, x)",
    "a = Relu (x) y = Mul (a, x)",
    "y = Max (x, zero)",
    "y = MatMul (x, matrix)",
    "y = MatMul (left, x)",
    "y = Conv (x, kernel)",
    "y = GlobalAveragePool (x)",
    "a = Flatten (x) y = Gemm (a, weights, bias)",
    "y = Flatten (x)",
    "y = Gather <axis = 1> (x, places)",
    "y = Concat <axis = 2> (x, x)",
    "y, z = Split <axis = 2> (x)",
    "y = ReduceSum <keepdims = 0> (x, last)",
    "y = ReduceMax <axes = [1, 2]> (x)",
    "a = Unsqueeze (x, second) y = Squeeze (a, second)",
    "y = Slice (x, one, two, second)",
    "y = Transpose <perm = [0, 2, 1]> (x)",
    "y = Reshape (x, flat)",
    "y = Reshape (x, copied)",
    "y = Expand (x, target)",
    "y = Pad (x, within)",
    'y = Resize <mode = "nearest"> (x, , same_rows)',
]
OTHERS = [
    "y = Add (x, wide)",
    "y = Add (x, per_row)",
    "a = Relu (x) b = ReduceSum <keepdims = 0> (x, first) y = Mul (a, b)",
    "y = MatMul (x, matrices)",
    "y = Softmax <axis = 0> (x)",
    "y = Flatten <axis = 0> (x)",
    "y = Gather <axis = 0> (x, first)",
    "y = Concat <axis = 0> (x, x)",
    "y = ReduceSum (x, front)",
    "y = ReduceSum (x, none)",
    "y = Unsqueeze (x, first)",
    "y = Slice (x, first, one, first)",
    "y = Transpose <perm = [1, 0, 2]> (x)",
    "y = Transpose (x)",
    "y = Reshape (x, merged)",
    "y = Reshape (x, fixed)",
    "y = Expand (x, longer)",
    "y = Pad (x, beside)",
    'y = Resize <mode = "nearest"> (x, , more_rows)',
    "s = Shape (x) y = Cast <to = 1> (s)",
]


def model_of(body: str) -> tuple[ir.Model, bool]:
    """A graph of windows `[batch, 3, 4]`, and whether all of its nodes are row-wise."""
    text = f"g (float[batch, 3, 4] x) => (float[] y) {{ {body} }}"
    model = infer_shapes(graph_of(text, **{name: array for name, array in CONSTANTS.items() if name in text}))
    rows = {model.graph.inputs[0], *(value for node in model.graph for value in node.outputs)}
    return model, all(is_row_wise(node, rows) for node in model.graph)


@pytest.mark.parametrize("body", ROW_WISE)
def test_row_wise_nodes_give_the_same_for_each_row_alone(body: str) -> None:
    model, row_wise = model_of(body)
    assert row_wise
    x = normal(2, 3, 4)
    alone = [outputs_of(model, x[i : i + 1])[0] for i in range(2)]
    np.testing.assert_allclose(outputs_of(model, x)[0], np.concatenate(alone), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("body", OTHERS)
def test_nodes_that_may_mix_or_count_rows(body: str) -> None:
    assert not model_of(body)[1]
