"""Each pass against the unchanged graph: the same values, and the nodes that were meant to go are gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from convert.complex_pairs import dft_matrices
from convert.passes import clean, infer_shapes
from convert.passes.activations import recover_relu, recover_sigmoid
from convert.passes.batch_norm import fold_batch_norm
from convert.passes.free_batch import free_batch
from convert.passes.heads import keep_classes, keep_heads
from convert.passes.padding import fold_padding
from convert.passes.shapes import copy_batch, fold_shape_arithmetic
from convert.passes.spectrogram import fuse_spectrogram
from convert.passes.squeeze_excite import dense_as_convolution, gate_channels_first, pool_channels_first

Array = NDArray[np.float32]
RNG = np.random.default_rng(0)


def normal(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def graph_of(text: str, **weights: NDArray[np.generic]) -> ir.Model:
    """A model from ONNX's own text format, with weights by name."""
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{text}')
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in weights.items())
    return ir.from_proto(proto)


def outputs_of(model: ir.Model, x: Array) -> list[Array]:
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return list(ort.InferenceSession(proto.SerializeToString(), options).run(None, {"x": x}))


def ops(model: ir.Model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph)


def assert_same(model: ir.Model, x: Array, *passes: Callable[[ir.Graph], object], tolerance: float = 1e-5) -> ir.Model:
    """Runs passes, and compares outputs before and after relative to their range."""
    before = outputs_of(model, x)
    for run in passes:
        model = infer_shapes(model)
        run(model.graph)
        clean(model)
    for old, new in zip(before, outputs_of(model, x), strict=True):
        assert old.shape == new.shape
        assert np.abs(old - new).max() <= tolerance * max(np.ptp(old), 1e-3)
    return model


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


def squeeze_excite(pixels: int = 72) -> ir.Model:
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
        """,
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


def test_sum_that_is_no_mean_stays() -> None:
    model = assert_same(squeeze_excite(pixels=70), normal(3, 6, 9, 8), pool_channels_first)
    assert ops(model)["ReduceSum"] == 1


SAMPLES, FRAME, STRIDE, NFFT, BANDS = 800, 64, 32, 128, 5


def spectrogram(tail: str, window: Array, **weights: NDArray[np.generic]) -> ir.Model:
    cosines, sines = dft_matrices(NFFT, NFFT)
    mel = np.abs(normal(NFFT // 2 + 1, BANDS))
    mel[:3] = mel[40:] = 0
    return graph_of(
        f"""
        g (float[batch, {SAMPLES}] x) => (float[batch, t, {BANDS}] y) {{
          column = Reshape (x, column_shape)
          cut = Conv <strides = [{STRIDE}, 1], pads = [16, 0, 16, 0]> (column, cutter)
          turned = Transpose <perm = [0, 2, 3, 1]> (cut)
          frames = Reshape (turned, frames_shape)
          windowed = Mul (window, frames)
          padded = Pad (windowed, amounts)
          re = MatMul (padded, cosines) im = MatMul (padded, sines)
          {tail}
          y = MatMul (magnitude, mel)
        }}
        """,
        column_shape=ints(-1, 1, SAMPLES, 1),
        cutter=np.eye(FRAME, dtype=np.float32).reshape(FRAME, 1, FRAME, 1),
        frames_shape=ints(-1, 25, FRAME),
        window=window,
        amounts=ints(0, 0, 0, 0, 0, NFFT - FRAME),
        cosines=cosines,
        sines=sines,
        mel=mel,
        **weights,
    )


MAGNITUDE = "re2 = Mul (re, re) im2 = Mul (im, im) power = Add (re2, im2) magnitude = Sqrt (power)"
SCALED = """
  res = Mul (re, half) ims = Mul (im, half)
  rec = Slice (res, zero, last, one) imc = Slice (ims, zero, last, one)
  re2 = Mul (rec, rec) im2 = Mul (imc, imc) power = Add (re2, im2) magnitude = Sqrt (power)
"""


def test_spectrogram_becomes_one_convolution_over_the_bins_in_use() -> None:
    model = spectrogram(MAGNITUDE, np.hanning(FRAME).astype(np.float32)[None, None])
    model = assert_same(model, normal(3, SAMPLES), fuse_spectrogram)
    assert ops(model)["Conv"] == ops(model)["MatMul"] == 1
    assert "Pad" not in ops(model)
    kernels = next(node for node in model.graph if node.op_type == "Conv").inputs[1].const_value.numpy()
    assert kernels.shape == (2 * 37, 1, FRAME, 1)


def test_spectrogram_that_drops_a_frame() -> None:
    weights = {"half": np.float32(0.5), "zero": ints(0), "last": ints(-1), "one": ints(1)}
    model = spectrogram(SCALED, np.hanning(FRAME).astype(np.float32)[None, None], **weights)
    model = assert_same(model, normal(2, SAMPLES), fuse_spectrogram)
    assert ops(model)["Conv"] == ops(model)["MatMul"] == 1


def test_frames_that_are_mixed_are_left_alone() -> None:
    """A window over time instead of samples is no part of a DFT."""
    model = spectrogram(MAGNITUDE, np.hanning(25).astype(np.float32)[None, :, None])
    before = ops(model)
    assert ops(assert_same(model, normal(2, SAMPLES), fuse_spectrogram)) == before


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


def test_scalar_on_the_frames_is_part_of_the_map() -> None:
    model = spectrogram(MAGNITUDE, np.array(0.25, np.float32))
    model = assert_same(model, normal(2, SAMPLES), fuse_spectrogram)
    assert ops(model)["Conv"] == ops(model)["MatMul"] == 1


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
