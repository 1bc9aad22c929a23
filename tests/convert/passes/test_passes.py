"""Each pass against the unchanged graph: the same values, and the nodes that were meant to go are gone."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from convert.passes.backbone.activations import recover_relu, recover_sigmoid
from convert.passes.backbone.batch_norm import fold_batch_norm
from convert.passes.backbone.padding import fold_padding
from convert.passes.backbone.pooling import pool_by_sums
from convert.passes.backbone.squeeze_excite import dense_as_convolution, gate_channels_first, pool_channels_first
from convert.passes.batch.shapes import copy_batch, fold_shape_arithmetic
from convert.passes.edit import constant
from convert.passes.pipeline import infer_shapes
from tests.support.graphs import assert_same, graph_of, ints, normal, ops

BLOCK = """
g (float[batch, 3, 9, 8] x) => (float[batch, 4, 9, 8] y) {
  conv = Conv <pads = [1, 1, 1, 1]> (x, kernel)
  centred = Sub (conv, mean)
  scaled = Mul (centred, scale)
  shifted = Add (offset, scaled)
  y = Div (shifted, two)
}
"""


@pytest.mark.parametrize("written_out", [False, True])
def test_batch_norm_goes_into_the_convolution(written_out: bool) -> None:
    statistics = {name: normal(1, 4, 1, 1) for name in ("mean", "scale", "offset")}
    if written_out:  # as a graph for one window can hold them
        statistics = {name: np.broadcast_to(value, (1, 4, 9, 8)).copy() for name, value in statistics.items()}
    model = graph_of(BLOCK, kernel=normal(4, 3, 3, 3), two=np.float32(2), **statistics)
    model = assert_same(model, normal(2, 3, 9, 8), fold_batch_norm)
    assert ops(model) == {"Conv": 1}


def test_a_mean_far_from_zero_is_folded_apart() -> None:
    statistics = {"mean": 1000 + normal(1, 4, 1, 1), "scale": normal(1, 4, 1, 1), "offset": normal(1, 4, 1, 1)}
    kernel = np.abs(normal(4, 3, 3, 3))
    model = graph_of(BLOCK, kernel=kernel, two=np.float32(2), **statistics)
    model = assert_same(model, normal(2, 3, 9, 8) + 30, fold_batch_norm, tolerance=1e-6)
    assert ops(model) == {"Conv": 2}
    first, second = (constant(node.inputs[1]) for node in model.graph)
    assert first is not None and second is not None
    np.testing.assert_array_equal(first, kernel)
    np.testing.assert_allclose(second.reshape(-1), statistics["scale"].reshape(-1) / 2, rtol=1e-6)


def test_batch_norm_that_is_read_twice_stays() -> None:
    text = BLOCK.replace("float[batch, 4, 9, 8] y)", "float[batch, 4, 9, 8] y, float[batch, 4, 9, 8] centred)")
    weights = {name: normal(1, 4, 1, 1) for name in ("mean", "scale", "offset")}
    model = graph_of(text, kernel=normal(4, 3, 3, 3), two=np.float32(2), **weights)
    model = assert_same(model, normal(2, 3, 9, 8), fold_batch_norm)
    assert ops(model) == {"Conv": 1, "Mul": 1, "Add": 1, "Div": 1}  # the Sub is an output, and was folded


def test_constant_for_each_position_is_no_batch_norm() -> None:
    text = """
    g (float[batch, 3, 9, 8] x) => (float[batch, 4, 9, 8] y) {
      c = Conv <pads = [1, 1, 1, 1]> (x, kernel)
      y = Add (c, b)
    }
    """
    model = assert_same(
        graph_of(text, kernel=normal(4, 3, 3, 3), b=normal(1, 1, 9, 8)), normal(1, 3, 9, 8), fold_batch_norm
    )
    assert ops(model) == {"Conv": 1, "Add": 1}


def test_pool_of_what_is_channels_first_already() -> None:
    text = """
    g (float[batch, 6, 9, 8] x) => (float[batch, 6] y) {
      total = ReduceSum <keepdims = 0> (x, axes)
      y = Div (total, pixels)
    }
    """
    for pixels, expected in ((72, {"GlobalAveragePool": 1, "Flatten": 1}), (70, {"ReduceSum": 1, "Div": 1})):
        model = graph_of(text, axes=ints(2, 3), pixels=np.float32(pixels))
        assert ops(assert_same(model, normal(3, 6, 9, 8), pool_channels_first)) == expected


def test_pool_becomes_two_sums() -> None:
    model = graph_of("g (float[batch, 6, 9, 8] x) => (float[batch, 6, 1, 1] y) { y = GlobalAveragePool (x) }")
    assert ops(assert_same(model, normal(3, 6, 9, 8), pool_by_sums)) == {"ReduceSum": 2, "Div": 2, "Unsqueeze": 1}


def test_activations_are_recovered() -> None:
    model = graph_of(
        """
        g (float[n, 5] x) => (float[n, 5] y, float[n, 5] z, float[n, 5] kept) {
          r = Max (zero, x)
          n1 = Neg (r) e1 = Exp (n1) a1 = Add (one, e1) s1 = Reciprocal (a1)
          y = Mul (r, s1)
          n2 = Neg (x) e2 = Exp (n2) a2 = Add (e2, one) z = Div (one, a2)
          a3 = Add (e2, two) kept = Reciprocal (a3)
        }
        """,
        zero=np.zeros((1, 1), np.float32),
        one=np.float32(1),
        two=np.float32(2),
    )
    model = assert_same(model, normal(7, 5), recover_relu, recover_sigmoid)
    assert ops(model) == {"Relu": 1, "Sigmoid": 2, "Mul": 1, "Neg": 1, "Exp": 1, "Add": 1, "Reciprocal": 1}


def test_max_with_something_else_is_no_relu() -> None:
    model = graph_of("g (float[n, 5] x) => (float[n, 5] y) { y = Max (x, c) }", c=np.float32(1e-3))
    assert ops(assert_same(model, normal(7, 5), recover_relu)) == {"Max": 1}


def test_shape_arithmetic_becomes_constant() -> None:
    model = graph_of(
        """
        g (float[batch, 6, 4] x) => (float[p, q, r, s] y, float[t, u, v] z) {
          shape = Shape (x) as32 = Cast <to = 6> (shape)
          size = Slice (as32, start, end)
          target32 = Concat <axis = 0> (size, two, three, four) target = Cast <to = 7> (target32)
          y = Reshape (x, target)
          first = Slice (x, start, end, axis)
          wide32 = Concat <axis = 0> (size, five, four) wide = Cast <to = 7> (wide32)
          z = Expand (first, wide)
        }
        """,
        start=ints(0),
        end=ints(1),
        axis=ints(1),
        **{name: np.array([n], np.int32) for name, n in (("two", 2), ("three", 3), ("four", 4), ("five", 5))},
    )
    model = assert_same(model, normal(3, 6, 4), fold_shape_arithmetic, copy_batch)
    assert ops(model) == {"Reshape": 1, "Slice": 1, "Expand": 1}
    reshape = next(node for node in model.graph if node.op_type == "Reshape")
    assert reshape.inputs[1].const_value.numpy().tolist() == [0, 2, 3, 4]


def test_padding_goes_into_the_convolution() -> None:
    text = """
    g (float[n, 2, 9, 8] x) => (float[n, 4, 6, 5] y) {
      padded = Pad (x, amounts, zero)
      y = Conv <strides = [2, 2], pads = [1, 0, 0, 0]> (padded, kernel)
    }
    """
    amounts = ints(0, 0, 1, 1, 0, 0, 2, 2)
    weights = {"amounts": amounts, "kernel": normal(4, 2, 3, 3)}
    model = assert_same(graph_of(text, zero=np.float32(0), **weights), normal(2, 2, 9, 8), fold_padding)
    assert ops(model) == {"Conv": 1}
    model = assert_same(graph_of(text, zero=np.float32(1), **weights), normal(2, 2, 9, 8), fold_padding)
    assert ops(model) == {"Pad": 1, "Conv": 1}


def squeeze_excite(pixels: int = 72, activation: str = "r = Relu (biased)") -> ir.Model:
    return graph_of(
        """
        g (float[batch, 6, 9, 8] x) => (float[batch, 6, 9, 8] y) {
          last = Transpose <perm = [0, 2, 3, 1]> (x)
          total = ReduceSum <keepdims = 0> (last, axes)
          mean = Mul (total, share)
          flat = Reshape (mean, flat_shape)
          reduced = MatMul (flat, reduce) biased = Add (reduced, reduce_bias) r = Relu (biased)
          excited = Gemm <transB = 1> (r, excite, excite_bias) s = Sigmoid (excited)
          gate = Reshape (s, gate_shape)
          gated = Mul (gate, last)
          y = Transpose <perm = [0, 3, 1, 2]> (gated)
        }
        """.replace("r = Relu (biased)", activation),
        axes=ints(1, 2),
        share=np.float32(1 / pixels),
        flat_shape=ints(-1, 6),
        gate_shape=ints(-1, 1, 1, 6),
        reduce=normal(6, 2),
        reduce_bias=normal(1, 2),
        excite=normal(6, 2),
        excite_bias=normal(6),
    )


def test_squeeze_excite_stays_channels_first() -> None:
    run = (pool_channels_first, gate_channels_first, dense_as_convolution)
    model = assert_same(squeeze_excite(), normal(3, 6, 9, 8), *run)
    assert ops(model) == {"GlobalAveragePool": 1, "Conv": 2, "Add": 1, "Relu": 1, "Sigmoid": 1, "Mul": 1}


def test_squeeze_excite_with_a_swish() -> None:
    run = (pool_channels_first, gate_channels_first, dense_as_convolution)
    swish = squeeze_excite(activation="half = Sigmoid (biased) r = Mul (half, biased)")
    model = assert_same(swish, normal(3, 6, 9, 8), *run)
    assert ops(model) == {"GlobalAveragePool": 1, "Conv": 2, "Add": 1, "Sigmoid": 2, "Mul": 2}
    read_more = squeeze_excite(activation="half = Sigmoid (biased) both = Mul (half, biased) r = Add (both, half)")
    assert "Conv" not in ops(assert_same(read_more, normal(3, 6, 9, 8), *run))


def test_sum_that_is_no_mean_stays() -> None:
    model = assert_same(squeeze_excite(pixels=70), normal(3, 6, 9, 8), pool_channels_first)
    assert ops(model)["ReduceSum"] == 1


def test_expand_of_another_axis_stays() -> None:
    text = """
    g (float[batch, 1, 4] x) => (float[a, b, c] y) {
      shape = Shape (x) n = Slice (shape, zero, one) target = Concat <axis = 0> (one, n, four) y = Expand (x, target)
    }
    """
    model = graph_of(text, zero=ints(0), one=ints(1), four=ints(4))
    assert "Shape" in ops(assert_same(model, normal(3, 1, 4), fold_shape_arithmetic))


def test_reshape_that_mixes_windows_is_no_gate() -> None:
    model = squeeze_excite()
    gate = next(node for node in model.graph if node.outputs[0].name == "gate")
    target = ir.tensor(ints(1, 1, 1, -1), name="gate_shape")
    gate.inputs[1].const_value = target
    before = ops(infer_shapes(model))
    run = (gate_channels_first, dense_as_convolution)
    for step in run:
        model = infer_shapes(model)
        step(model.graph)
    assert ops(model) == before
