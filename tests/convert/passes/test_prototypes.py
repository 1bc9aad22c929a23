"""Prototype heads: found, sliced, normalised features-last, computed tile by tile, deferred."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import onnx_ir as ir
import pytest

from convert.passes.edit import constant
from convert.passes.heads.deferral import defer_heads
from convert.passes.heads.groups import group_positions
from convert.passes.heads.normalisation import normalise_features_last
from convert.passes.heads.prototypes import find_prototypes
from convert.passes.heads.selection import keep_classes, keep_heads
from convert.passes.heads.sums import keep_summed_axes
from convert.passes.heads.tiling import TILE_BYTES, tile_prototypes
from convert.passes.pipeline import clean, infer_shapes, name_by_place
from tests.support.graphs import graph_of, ints, normal, ops, outputs_of, run_graph
from tests.support.prototype_heads import (
    CLASSES,
    EACH,
    FEATURES,
    HEAD,
    PER_PROTOTYPE,
    head,
    label_of,
    places_of,
    weights,
    windows,
)


@pytest.mark.parametrize("tile_bytes", [TILE_BYTES, PER_PROTOTYPE * 15, PER_PROTOTYPE])
@pytest.mark.parametrize("count", [1, 2, 12])
def test_label_is_that_of_the_formula(tile_bytes: int, count: int) -> None:
    arrays = weights()
    model = head(**arrays)
    tile_prototypes(model.graph, tile_bytes)
    x = windows(count)
    (label,) = run_graph(infer_shapes(model), ["label"], x=x)
    expected = label_of((places_of(x) @ arrays["prototypes"]).max(axis=1), arrays)
    np.testing.assert_allclose(label, expected, atol=2e-6)


def test_no_more_than_a_tile_is_multiplied_at_once() -> None:
    model = head()
    tile_prototypes(model.graph, PER_PROTOTYPE * 15)
    clean(model)
    tiles = [constant(node.inputs[1]) for node in model.graph if node.op_type == "MatMul"]
    assert [array.shape for array in tiles if array is not None] == [(FEATURES, n) for n in (14, 13, 13)]


def test_rows_do_not_depend_on_the_batch() -> None:
    model = head()
    tile_prototypes(model.graph, PER_PROTOTYPE * 15)
    infer_shapes(model)
    x = windows(6)
    (whole,) = run_graph(model, ["label"], x=x)
    for i in range(6):
        np.testing.assert_array_equal(run_graph(model, ["label"], x=x[i:])[0], whole[i:])


@pytest.mark.parametrize("count", [1, 2, 12])
@pytest.mark.parametrize("classes", [CLASSES, 7])
def test_grouped_label_is_that_of_the_formula(count: int, classes: int) -> None:
    """Seven classes have 28 prototypes, which are not a multiple of the alignment."""
    arrays = weights()
    model = head(**arrays)
    keep_classes(model.graph, "label", range(classes))
    infer_shapes(model)
    group_positions(model.graph)
    clean(model)
    assert "ReduceMax" not in ops(model) and ops(model)["MatMul"] == 1
    x = windows(count)
    (label,) = run_graph(infer_shapes(model), ["label"], x=x)
    expected = label_of((places_of(x) @ arrays["prototypes"]).max(axis=1), arrays)
    np.testing.assert_allclose(label, expected[:, :classes], atol=2e-6)


@pytest.mark.parametrize(
    ("high", "wide", "groups"), [(4, 3, [6, 2]), (1, 13, [13]), (8, 8, [8, 8]), (16, 4, [8, 8]), (1, 1, [])]
)
def test_grouped_maximum_equals_that_of_tiles(high: int, wide: int, groups: list[int]) -> None:
    text = f"""
    g (float[batch, {high}, {wide}, 24] x) => (float[batch, 10, 4] y) {{
      product = MatMul (x, prototypes) products = Reshape (product, laid_out)
      y = ReduceMax <axes = [1, 2], keepdims = 0> (products)
    }}
    """
    arrays = {"prototypes": weights()["prototypes"], "laid_out": ints(0, high, wide, CLASSES, EACH)}
    grouped, tiled = (infer_shapes(graph_of(text, **arrays)) for _ in range(2))
    group_positions(grouped.graph)
    tile_prototypes(tiled.graph, high * wide * 4 * 15)
    x = normal(3, high, wide, FEATURES)
    (expected,) = run_graph(infer_shapes(tiled), ["y"], x=x)
    (actual,) = run_graph(infer_shapes(grouped), ["y"], x=x)
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    assert [len(node.inputs) for node in grouped.graph if node.op_type == "Max"] == groups


def test_a_head_that_fits_is_left_alone() -> None:
    model = head()
    before = [node.op_type for node in model.graph]
    tile_prototypes(model.graph, PER_PROTOTYPE * CLASSES * EACH)
    assert [node.op_type for node in model.graph] == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ReduceMax <axes = [1, 2]", "ReduceMax <axes = [1, 3]"),
        ("<axes = [1, 2], keepdims = 0>", "<axes = [1, 2], keepdims = 1>"),
        ("ReduceMax <", "ReduceMin <"),
        ("MatMul (turned, prototypes)", "MatMul (turned, computed)"),
        ("label = Add (sum, bias)", "most = ReduceMax <keepdims = 0> (products) label = Add (sum, most)"),
    ],
)
def test_other_heads_are_left_alone(old: str, new: str) -> None:
    text = HEAD.replace(old, new).replace("product =", "computed = Abs (prototypes) product =")
    assert text.count(new) == 1
    model = head(text)
    before = [node.op_type for node in model.graph]
    assert find_prototypes(model.graph) == []
    tile_prototypes(model.graph, 1)
    assert [node.op_type for node in model.graph] == before


def test_embedding_is_normalised_as_the_output_has_it() -> None:
    arrays = weights()
    x = windows(3)
    plain = head(prepared=False, **arrays)
    expected = outputs_of(plain, x)
    model = head(**arrays)
    for old, new in zip(expected, outputs_of(model, x), strict=True):
        np.testing.assert_allclose(new, old, atol=1e-6)
    assert ops(model)["Transpose"] == 1
    spatial = next(value for value in model.graph.outputs if value.name == "spatial_embedding")
    assert {consumer.op_type for consumer, _ in spatial.uses()} == {"Mul", "Div"}


@pytest.mark.parametrize(
    ("old", "new", "moved"),
    [
        ("squares = Mul (maps, maps)", "squares = Mul (maps, maps)", True),
        ("squares = Mul (maps, maps)", "squares = Mul (maps, x)", False),
        ("(squares, first)", "(squares, last)", False),
        ("Reshape (length, one_places)", "Reshape (length, places_1)", False),
        ("Transpose <perm = [0, 2, 3, 1]> (unit)", "Transpose <perm = [0, 2, 1, 3]> (unit)", False),
    ],
)
def test_only_a_norm_over_the_axis_that_becomes_the_last_is_moved(old: str, new: str, moved: bool) -> None:
    text = HEAD[: HEAD.index("product")].replace(old, new) + "label = Abs (turned) }"
    text = text.replace("float[batch, 10] label", "float[batch, p, q, r] label").replace("24, 4, 3] x", "4, 4, 4] x")
    text = text.replace("float[batch, 4, 3, 24] spatial_embedding, ", "").replace("24] emb", "4] emb")
    sizes = {"places_1": ints(0, 4, 4, 1), "one_places": ints(0, 1, 4, 4), "first": ints(1), "last": ints(2)}
    model = infer_shapes(graph_of(text, **sizes, epsilon=np.full((1, 1, 1, 1), 1e-5, np.float32)))
    x = normal(2, 4, 4, 4)
    before, nodes = outputs_of(model, x)[0], [node.op_type for node in model.graph]
    normalise_features_last(model.graph)
    clean(model)
    np.testing.assert_allclose(outputs_of(model, x)[0], before, atol=1e-6)
    assert ([node.op_type for node in model.graph] != nodes) == moved


def test_sums_keep_their_axis_until_a_squeeze() -> None:
    model = head()
    x = windows(3)
    before = outputs_of(model, x)
    keep_summed_axes(model.graph)
    clean(model)
    sums = [node.attributes["keepdims"].value for node in model.graph if node.op_type == "ReduceSum"]
    assert set(sums) == {1} and ops(model)["Squeeze"] == 1
    for old, new in zip(before, outputs_of(infer_shapes(model), x), strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("columns", [[7, 0, 3], [9]])
def test_classes_are_sliced(columns: list[int]) -> None:
    model = head()
    x = windows(5)
    whole = outputs_of(model, x)[0]
    keep_classes(model.graph, "label", columns)
    clean(model)
    infer_shapes(model)
    np.testing.assert_allclose(outputs_of(model, x)[0], whole[:, columns], atol=1e-6)
    assert ops(model)["Gather"] == 0
    (found,) = find_prototypes(model.graph)
    assert found.prototypes.shape == (FEATURES, len(columns) * EACH)


def test_weights_that_are_the_same_for_all_classes_are_sliced() -> None:
    arrays = weights() | {"weights": normal(EACH), "bias": normal(1)}
    model = head(**arrays)
    x = windows(2)
    whole = outputs_of(model, x)[0]
    keep_classes(model.graph, "label", [4, 2])
    infer_shapes(model)
    np.testing.assert_allclose(outputs_of(model, x)[0], whole[:, [4, 2]], atol=1e-6)


def test_classes_of_a_head_that_is_read_elsewhere_are_gathered() -> None:
    model = head(HEAD.replace("label = Add (sum, bias)", "biased = Add (sum, bias) label = Mul (sum, biased)"))
    x = windows(2)
    whole = outputs_of(model, x)[0]
    keep_classes(model.graph, "label", [4, 2])
    np.testing.assert_array_equal(outputs_of(infer_shapes(model), x)[0], whole[:, [4, 2]])
    assert ops(model)["Gather"] == 1


in_small_tiles = partial(tile_prototypes, tile_bytes=PER_PROTOTYPE * 15)


def deferred(keep: list[str], join: Callable[[ir.Graph], object] = in_small_tiles) -> ir.Model:
    model = head()
    keep_heads(model.graph, keep)
    clean(model)
    defer_heads(model.graph)
    name_by_place(model.graph)
    infer_shapes(model)
    join(model.graph)
    return infer_shapes(model)


@pytest.mark.parametrize("join", [tile_prototypes, in_small_tiles, group_positions])
def test_rows_are_gathered_from_spatial_embeddings(join: Callable[[ir.Graph], object]) -> None:
    model = deferred(["label", "spatial_embedding"], join)
    x = windows(7)
    (whole,) = run_graph(model, ["label"], x=x)
    (gathered,) = run_graph(model, ["spatial_embedding"], x=x[:5], head_rows=np.array([0]))
    (label,) = run_graph(model, ["label"], x=x[5:], gathered=gathered)
    np.testing.assert_array_equal(label, whole)
    (none,) = run_graph(model, ["label"], x=x, head_rows=np.array([0]))
    assert none.shape == (0, CLASSES)


def test_head_of_positions_that_are_no_output_is_left_out() -> None:
    model = deferred(["label", "embedding"])
    assert [value.name for value in model.graph.inputs] == ["x", "head_rows"]
    x = windows(5)
    (whole,) = run_graph(model, ["label"], x=x)
    label, embedding = run_graph(model, ["label", "embedding"], x=x, head_rows=np.array([2]))
    np.testing.assert_array_equal(label, whole[:2])
    assert len(embedding) == 5


def test_head_that_is_alone_cannot_be_left_out() -> None:
    assert [value.name for value in deferred(["label"]).graph.inputs] == ["x"]
