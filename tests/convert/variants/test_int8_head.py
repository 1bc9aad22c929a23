"""Prototype heads in int8: what they compute, and when they are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from convert.errors import ConversionError, ParityError
from convert.passes.edit import constant
from convert.passes.heads.int8 import quantise_prototypes
from convert.passes.heads.tiling import TILE_BYTES
from convert.passes.pipeline import clean, infer_shapes, rewritten
from convert.proof import parity
from convert.variants import int8_head
from tests.support.graphs import Array, graph_of, normal, ops, run_graph
from tests.support.prototype_heads import CLASSES, PER_PROTOTYPE, head, label_of, places_of, weights, windows


def in_int8(places: Array, prototypes: Array) -> Array:
    """The greatest products of one window's places `[places, features]`, by the definition of both roundings."""
    least, most = min(places.min(), 0), max(places.max(), 0)
    step = (most - least) / 255
    zero = np.round(-least / step)
    rounded = np.clip(np.round(places / step) + zero, 0, 255)
    scales = np.abs(prototypes).max(axis=0) / 64
    return np.asarray((step * (rounded - zero) @ np.round(prototypes / scales)).max(axis=0) * scales)


@pytest.mark.parametrize("tile_bytes", [TILE_BYTES, PER_PROTOTYPE * 15])
@pytest.mark.parametrize("count", [1, 3, 9])
def test_label_is_that_of_rounded_places_and_prototypes(tile_bytes: int, count: int) -> None:
    arrays = weights()
    model = head(**arrays)
    quantise_prototypes(model.graph, tile_bytes)
    x = windows(count)
    (label,) = run_graph(infer_shapes(model), ["label"], x=x)
    greatest = np.stack([in_int8(places, arrays["prototypes"]) for places in places_of(x)])
    # A value halfway between two steps may go either way.
    np.testing.assert_allclose(label, label_of(greatest, arrays), atol=2e-3)
    clean(model)
    assert ops(model)["MatMul"] == 0 and ops(model)["MatMulInteger"] == (1 if tile_bytes == TILE_BYTES else 3)


def test_products_cannot_overflow_16_bits() -> None:
    model = head()
    quantise_prototypes(model.graph)
    (product,) = [node for node in model.graph if node.op_type == "MatMulInteger"]
    prototypes = constant(product.inputs[1])
    assert prototypes is not None and prototypes.dtype == np.int8
    assert 2 * 255 * int(np.abs(prototypes).max()) < 2**15
    assert infer_shapes(model) and product.inputs[0].dtype == ir.DataType.UINT8


@pytest.mark.parametrize("tile_bytes", [TILE_BYTES, PER_PROTOTYPE * 15])
def test_rows_do_not_depend_on_the_batch(tile_bytes: int) -> None:
    model = head()
    quantise_prototypes(model.graph, tile_bytes)
    infer_shapes(model)
    x = windows(6) * np.linspace(0.1, 5, 6, dtype=np.float32).reshape(-1, 1, 1, 1)
    (whole,) = run_graph(model, ["label"], x=x)
    for i in range(6):
        np.testing.assert_array_equal(run_graph(model, ["label"], x=x[i : i + 1])[0], whole[i : i + 1])


def test_values_that_are_not_finite_stay_so() -> None:
    model = head()
    quantise_prototypes(model.graph)
    x = windows(3)
    x[1] = np.nan
    (label,) = run_graph(infer_shapes(model), ["label"], x=x)
    assert np.isnan(label[1]).all() and np.isfinite(label[[0, 2]]).all()


def test_prototypes_and_places_of_zeros() -> None:
    arrays = weights()
    arrays["prototypes"][:, 4:9] = 0
    model = head(
        """
    g (float[batch, 4, 3, 24] x) => (float[batch, 10] label) {
      product = MatMul (x, prototypes) products = Reshape (product, laid_out)
      greatest = ReduceMax <axes = [1, 2], keepdims = 0> (products)
      weighted = Mul (greatest, weights) sum = ReduceSum <keepdims = 0> (weighted, last) label = Add (sum, bias)
    }
    """,
        **arrays,
    )
    x = normal(2, 4, 3, 24)
    x[0] = 0
    (expected,) = run_graph(model, ["label"], x=x)
    quantise_prototypes(model.graph)
    (label,) = run_graph(infer_shapes(model), ["label"], x=x)
    np.testing.assert_array_equal(label[0], expected[0])
    np.testing.assert_allclose(label[1], expected[1], atol=0.02 * np.ptp(expected))


def test_graph_without_prototypes_is_refused() -> None:
    model = infer_shapes(graph_of("g (float[n, 3] x) => (float[n, 2] y) { y = MatMul (x, w) }", w=normal(3, 2)))
    with pytest.raises(ConversionError, match="no prototype head for --head int8"):
        quantise_prototypes(model.graph)


def test_copy_is_quantised_and_valid() -> None:
    model = head()
    copy = rewritten(model, quantise_prototypes)
    assert ops(copy)["MatMulInteger"] == 1 and ops(model)["MatMul"] == 1
    onnx.checker.check_model(ir.to_proto(copy), full_check=True)
    assert all(node.domain == "" for node in copy.graph.all_nodes())


def logits(count: int = 60) -> Array:
    return normal(count, CLASSES) * 3


def test_agreement_is_measured() -> None:
    expected = logits()
    found = int8_head.agreement(expected, expected + np.float32(0.01) * normal(*expected.shape))
    assert found.windows == 60 and found.top1_agrees == 60 and found.failures() == []
    assert 0.01 < found.error < 0.06 and 0.9999 < found.correlation < 1
    assert int8_head.agreement(expected, expected) == int8_head.Agreement(60, 0.0, 1.0, 60, 60)


def test_top_class_counts_where_the_first_leads_by_more_than_twice_the_error() -> None:
    expected = np.zeros((40, 3), np.float32)
    expected[:, 1], expected[20:, 2] = 1, 0.9
    actual = expected.copy()
    actual[0, 0] = 0.06
    actual[20:, 2] = 1.01  # 0.11 off, but the first leads by 0.1 and the error in the first windows is 0.06
    found = int8_head.agreement(expected, actual)
    assert (found.top1_equal, found.top1_agrees) == (20, 40)
    actual[15] = [2, 0, 0]
    found = int8_head.agreement(expected, actual)
    assert found.top1_agrees == 39
    assert any("97.5% of 40 windows, not 99%" in failure for failure in found.failures())


@pytest.mark.parametrize("broken", ["noise", "nan"])
def test_heads_that_differ_are_refused(broken: str) -> None:
    expected = logits()
    actual = expected + 0.2 * normal(60, CLASSES) if broken == "noise" else np.full_like(expected, np.nan)
    agreed = {"label": int8_head.agreement(expected, actual)}
    measured = {"label": parity.compare(expected, expected), "embedding": parity.compare(expected, expected)}
    message = r"^some/folder loses too much with its head in int8 \(label: correlation \S+ with float32, not 0\.9995"
    for compared in (measured, {}):
        with pytest.raises(ParityError, match=message):
            int8_head.check(compared, agreed, Path("some/folder"))
    int8_head.check(measured, {"label": int8_head.agreement(expected, expected)}, "some/folder")


def test_other_outputs_are_judged_as_in_float32() -> None:
    expected = logits()
    measured = {"embedding": parity.compare(expected, expected + 0.1)}
    with pytest.raises(ParityError, match="embedding: error"):
        int8_head.check(measured, {}, "some/folder")
