"""The passes that keep a backbone in ONNX Runtime's blocked layout."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from convert.passes import blocked, infer_shapes
from convert.passes.blocked import gate_by_map, split_wide_expansions
from tests.graphs import Array, assert_same, graph_of, normal, ops

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
def test_gate_is_spread_over_its_map(operands: str) -> None:
    text = GATED.replace("data, gate", operands)
    model = assert_same(graph_of(text, **weights()), normal(3, 3, 9, 8), gate_by_map)
    assert ops(model)["Resize"] == 1
    product = next(node for node in infer_shapes(model).graph if node.op_type == "Mul")
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


EXPANSION = """
g (float[batch, 4, 9, 8] x) => (float[batch, 32, 5, 4] y) {
  e = Conv (x, expand, bias) r = Relu (e)
  d = Conv <group = 32, strides = [2, 2], pads = [1, 1, 1, 1]> (r, kernel)
  y = Relu (d)
}
"""


def expansion(text: str = EXPANSION) -> ir.Model:
    return graph_of(text, expand=normal(32, 4, 1, 1), bias=normal(32), kernel=normal(32, 1, 3, 3))


def test_wide_expansion_goes_by_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked, "WIDE", 1200)
    model = assert_same(expansion(), normal(2, 4, 9, 8), split_wide_expansions, tolerance=0)
    assert ops(model) == {"Conv": 4, "Relu": 4, "Concat": 1}
    onnx.checker.check_model(ir.to_proto(model), full_check=True)


@pytest.mark.parametrize(("wide", "text"), [
    (10_000, EXPANSION),
    (800, EXPANSION),  # into three parts, which are no whole blocks
    (1200, EXPANSION.replace("float[batch, 32, 5, 4] y)", "float[batch, 32, 5, 4] y, float[batch, 32, 9, 8] r)")),
    (1200, EXPANSION.replace("y = Relu", "y = Sigmoid")),
])  # fmt: skip
def test_other_expansions_stay(monkeypatch: pytest.MonkeyPatch, wide: int, text: str) -> None:
    monkeypatch.setattr(blocked, "WIDE", wide)
    model = assert_same(expansion(text), normal(2, 4, 9, 8), split_wide_expansions)
    assert ops(model)["Conv"] == 2
