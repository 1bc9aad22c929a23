"""The pass that spreads gates over their maps."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from convert.passes.backbone.gates import gate_by_map
from convert.passes.pipeline import infer_shapes
from tests.support.graphs import Array, assert_same, graph_of, normal, ops

GATED = """
g (float[batch, 3, 9, 8] x) => (float[batch, 4, 9, 8] y) {
  d = Conv (x, kernel) data = Relu (d)
  mean = GlobalAveragePool (data) s = Conv (mean, excite, bias) gate = Sigmoid (s)
  gated = Mul (data, gate)
  y = Conv (gated, project)
}
"""


def weights() -> dict[str, Array]:
    return {
        "kernel": normal(4, 3, 1, 1),
        "excite": normal(4, 4, 1, 1),
        "bias": normal(4),
        "project": normal(4, 4, 1, 1),
    }


@pytest.mark.parametrize("operands", ["data, gate", "gate, data"])
@pytest.mark.parametrize("activation", ["data = Relu (d)", "half = Sigmoid (d) data = Mul (half, d)"])
def test_gate_is_spread_over_its_map(operands: str, activation: str) -> None:
    text = GATED.replace("data, gate", operands).replace("data = Relu (d)", activation)
    model = assert_same(graph_of(text, **weights()), normal(3, 3, 9, 8), gate_by_map)
    assert ops(model)["Resize"] == 1
    product = [node for node in infer_shapes(model).graph if node.op_type == "Mul"][-1]
    assert all(value is not None and value.shape == ir.Shape(["batch", 4, 9, 8]) for value in product.inputs)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("y = Conv (gated, project)", "y = Identity (gated)"),
        ("gated = Mul (data, gate)", "gated = Add (data, gate)"),
        ("d = Conv (x, kernel) data = Relu (d)", "data = Pad (x, amounts)"),
        ("gate = Sigmoid (s)", "gate = Tanh (s)"),
    ],
)
def test_product_outside_a_blocked_chain_stays(old: str, new: str) -> None:
    amounts = {"amounts": np.array([0, 0, 0, 0, 0, 1, 0, 0], np.int64)} if "Pad" in new else {}
    model = graph_of(GATED.replace(old, new), **weights(), **amounts)
    assert "Resize" not in ops(assert_same(model, normal(3, 3, 9, 8), gate_by_map))
