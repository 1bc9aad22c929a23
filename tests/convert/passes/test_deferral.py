"""Embeddings gathered over batches, and the heads computed for all of them at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

from convert.passes.heads.deferral import defer_heads
from convert.passes.pipeline import clean, infer_shapes
from convert.proof import synthetic
from runtime.model.session import Session
from tests.support.graphs import graph_of, ints, normal, ops, run_graph

HEADS = """
g (float[batch, 8] x) => (float[batch, 8] embedding, float[batch, 5] label, float[batch, 2] genus) {
  embedding = Relu (x)
  wide = Reshape (embedding, target)
  product = MatMul (wide, weights) label = Add (bias, product)
  narrow = Gemm (embedding, few, few_bias) genus = Gather <axis = 1> (narrow, columns)
}
"""


def heads(text: str = HEADS, target: tuple[int, ...] = (-1, 8), gather: bool = True) -> ir.Model:
    weights = {"weights": normal(8, 5), "bias": normal(1, 5), "few": normal(8, 4), "few_bias": normal(4)}
    model = infer_shapes(graph_of(text, target=ints(*target), columns=ints(3, 0), **weights))
    defer_heads(model.graph, gather)
    clean(model)
    return model


@pytest.mark.parametrize("target", [(-1, 8), (0, 8)])
def test_gathered_rows_stand_above_the_batch(target: tuple[int, ...]) -> None:
    model = heads(target=target)
    assert ops(model)["Concat"] == 1
    x = normal(5, 8)
    whole = run_graph(model, ["label", "genus"], x=x)
    (embedding,) = run_graph(model, ["embedding"], x=x[:3])
    after = run_graph(model, ["label", "genus", "embedding"], x=x[3:], gathered=embedding)
    for expected, actual in zip(whole, after[:2], strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6)
    assert after[2].shape == (2, 8)
    for rows in (0, 1):
        label, alone = run_graph(model, ["label", "embedding"], x=x, head_rows=np.array([rows]))
        np.testing.assert_allclose(label, whole[0][:rows], rtol=1e-6, atol=1e-6)
        assert alone.shape == (5, 8)


def test_heads_can_be_skipped_where_nothing_is_gathered() -> None:
    model = heads(gather=False)
    assert [value.name for value in model.graph.inputs] == ["x", "head_rows"]
    assert "Concat" not in ops(model)
    x = normal(5, 8)
    (whole,) = run_graph(model, ["label"], x=x)
    for rows in (0, 2):
        label, embedding = run_graph(model, ["label", "embedding"], x=x, head_rows=np.array([rows]))
        np.testing.assert_allclose(label, whole[:rows], rtol=1e-6, atol=1e-6)
        assert embedding.shape == (5, 8)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("flat = Reshape (embedding, into_2x4) label = Flatten (flat)", True),
        ("label = Reshape (embedding, into_4)", False),
        ("label = Reshape (embedding, into_2_rows)", False),
        ("label = Softmax <axis = 0> (embedding)", False),
        ("label = Gather <axis = 0> (embedding, columns)", False),
        ("label = MatMul (mixing, embedding)", False),
        ("label = Add (embedding, embedding)", True),
        ("label = Add (embedding, for_3_rows)", False),
        ("shape = Shape (embedding) sizes = Cast <to = 1> (shape) label = Mul (embedding, sizes)", False),
    ],
)
def test_heads_that_may_mix_or_count_rows_are_left_alone(body: str, expected: bool) -> None:
    text = f"g (float[batch, 8] x) => (float[batch, 8] embedding, float[p, q] label) {{embedding = Relu (x) {body}}}"
    shapes = {"into_2x4": ints(-1, 2, 4), "into_4": ints(-1, 4), "into_2_rows": ints(2, -1), "columns": ints(3, 0)}
    model = infer_shapes(graph_of(text, mixing=normal(5, 5), for_3_rows=normal(3, 8), **shapes))
    defer_heads(model.graph)
    assert any(value.name == "gathered" for value in model.graph.inputs) == expected


def test_no_embedding_among_the_outputs() -> None:
    text = HEADS.replace("float[batch, 8] embedding, ", "")
    assert len(heads(text).graph.inputs) == 1


@pytest.mark.parametrize("sizes", [(7,), (1, 6), (6, 1), (2, 2, 2, 1)])
def test_session_gathers(model: Path, sizes: tuple[int, ...]) -> None:
    session = Session(model)
    assert set(session.deferrable_heads) == {"label", "genus"}
    windows = synthetic.windows(5, 7, 160_000)
    expected = session(windows, ["label", "genus", "frontend"])
    parts = np.split(windows, np.cumsum(sizes)[:-1])
    embeddings = [session(part, ["embedding"])[0] for part in parts[:-1]]
    gathered = np.concatenate(embeddings) if embeddings else None
    label, genus, frontend = session(parts[-1], ["label", "genus", "frontend"], gathered)
    # Batches of other sizes may be summed in another order.
    np.testing.assert_allclose(label, expected[0], rtol=0, atol=1e-5 * np.ptp(expected[0]))
    np.testing.assert_allclose(genus, expected[1], rtol=0, atol=1e-5 * np.ptp(expected[1]))
    assert len(frontend) == sizes[-1]


def test_gathered_embeddings_give_the_same_bits_as_their_own_batch(model: Path) -> None:
    session = Session(model)
    windows = synthetic.windows(5, 4, 160_000)
    pairs = [session(windows[i : i + 2], ["embedding", "label"]) for i in (0, 2)]
    (label,) = session(windows[2:], ["label"], pairs[0][0])
    np.testing.assert_array_equal(label, np.concatenate([pair[1] for pair in pairs]))


@pytest.mark.parametrize("outputs", [("label",), ("embedding",), ("label", "embedding", "frontend")])
def test_score_gives_what_single_batches_give(model: Path, outputs: tuple[str, ...]) -> None:
    session = Session(model)
    windows = synthetic.windows(5, 7, 160_000)
    found = session.run(windows, outputs, 2)
    assert list(found) == list(outputs)
    for name, values in found.items():
        parts = [session(windows[i : i + 2], [name])[0] for i in range(0, 7, 2)]
        np.testing.assert_array_equal(values, np.concatenate(parts))


def test_files_without_the_input(label_model: Path) -> None:
    assert Session(label_model).deferrable_heads == ()


def test_plain_onnxruntime_needs_the_windows_alone(model: Path) -> None:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["inputs"]
    outputs = session.run(None, {"inputs": synthetic.windows(5, 3, 160_000)})
    assert {len(values) for values in outputs} == {3}
