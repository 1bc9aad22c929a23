"""The pass that makes PCEN's smoothing a matrix product along time."""

from __future__ import annotations

from functools import partial

import numpy as np
import onnx_ir as ir
import pytest

from convert.passes.frontend.smoothing import smooth_by_matrix
from tests.support.graphs import Array, assert_same, graph_of, ints, normal, ops

FRAMES, CHANNELS, TAPS = 60, 6, 16


def decay(rate: float = 0.3, taps: int = TAPS) -> Array:
    """An exponential average whose last tap stands for all that came before."""
    weights = (1 - rate) ** np.arange(taps - 1, -1, -1) * rate
    weights[0] /= rate
    return weights.astype(np.float32)


def smoother(kernel: Array, history: str = "expand", shape: tuple[int, ...] = (FRAMES, CHANNELS)) -> ir.Model:
    taps = kernel.shape[2]
    prolong = {
        "expand": """
          first = Slice (x, zero, one, one) past = Expand (first, past_shape) all = Concat <axis = 1> (past, x)
          column = Reshape (all, column_shape) turned = Transpose <perm = [0, 3, 1, 2]> (column)
        """,
        "edge": """
          all = Pad <mode = "edge"> (x, amounts)
          column = Reshape (all, column_shape) turned = Transpose <perm = [0, 3, 1, 2]> (column)
        """,
        "channels first": """
          first = Slice (x, zero, one, two) past = Expand (first, past_shape_first) all = Concat <axis = 2> (past, x)
          turned = Unsqueeze (all, three)
        """,
    }[history]
    back = (
        "y = Squeeze (smooth, three)"
        if history == "channels first"
        else "back = Transpose <perm = [0, 2, 3, 1]> (smooth) y = Reshape (back, shape)"
    )
    return graph_of(
        f"""
        g (float[batch, {shape[0]}, {shape[1]}] x) => (float[batch, {shape[0]}, {shape[1]}] y) {{
          {prolong}
          smooth = Conv <group = {len(kernel)}> (turned, kernel)
          {back}
        }}
        """,
        zero=ints(0),
        one=ints(1),
        two=ints(2),
        three=ints(3),
        past_shape=ints(1, taps - 1, CHANNELS),
        past_shape_first=ints(1, CHANNELS, taps - 1),
        amounts=ints(0, taps - 1, 0, 0, 0, 0),
        column_shape=ints(-1, FRAMES + taps - 1, 1, CHANNELS),
        shape=ints(0, FRAMES, CHANNELS),
        kernel=kernel,
    )


def shared(taps: Array) -> Array:
    return np.repeat(taps[None, None, :, None], CHANNELS, axis=0)


@pytest.mark.parametrize("history", ["expand", "edge"])
def test_exponential_average_becomes_products_by_blocks(history: str) -> None:
    model = assert_same(smoother(shared(decay(taps=58)), history), normal(3, FRAMES, CHANNELS), smooth_by_matrix)
    assert ops(model) == {"Transpose": 2, "Reshape": 3, "MatMul": 2, "Mul": 1, "Add": 1}
    widest = max(node.inputs[1].const_value.numpy().shape[1] for node in model.graph if node.op_type == "MatMul")
    assert widest < FRAMES // 2


def test_exponential_average_stays_one_product_where_asked() -> None:
    model = smoother(shared(decay(taps=58)))
    model = assert_same(model, normal(3, FRAMES, CHANNELS), partial(smooth_by_matrix, by_blocks=False))
    assert ops(model) == {"Transpose": 2, "MatMul": 1}


def test_any_other_kernel_becomes_one_product() -> None:
    model = assert_same(smoother(shared(normal(TAPS))), normal(3, FRAMES, CHANNELS), smooth_by_matrix)
    assert ops(model) == {"Transpose": 2, "MatMul": 1}


def test_bands_that_are_channels_first_need_no_transpose() -> None:
    model = smoother(shared(normal(TAPS)), "channels first", (CHANNELS, FRAMES))
    assert ops(assert_same(model, normal(2, CHANNELS, FRAMES), smooth_by_matrix)) == {"MatMul": 1}


def test_channels_with_kernels_of_their_own_are_left_alone() -> None:
    model = smoother(normal(CHANNELS, 1, TAPS, 1))
    before = ops(model)
    assert ops(assert_same(model, normal(2, FRAMES, CHANNELS), smooth_by_matrix)) == before


def test_reshape_that_mixes_channels_and_frames_is_left_alone() -> None:
    model = smoother(shared(decay()))
    shape = next(node for node in model.graph if node.outputs[0].name == "column").inputs[1]
    assert shape is not None
    shape.const_value = ir.tensor(ints(-1, CHANNELS, 1, FRAMES + TAPS - 1), name="column_shape")
    smooth_by_matrix(model.graph)
    assert ops(model)["Conv"] == 1
