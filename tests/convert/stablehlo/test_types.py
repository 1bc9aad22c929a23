"""Booleans, small integers, NaN and values out of range: computed as by JAX, or refused plainly."""

from __future__ import annotations

import re
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from convert.errors import ConversionError
from convert.stablehlo import translate
from convert.stablehlo.graph import Graph
from convert.stablehlo.shapes import sliced
from convert.stablehlo.tensor import Tensor
from tests.support.jax_modules import Function, assert_equal_to_jax, each, session_of, text_of

ROWS = np.array([2, 0, 1, 1])


def numbers(batch: int) -> np.ndarray[Any, Any]:
    """Integers in and out of the range of 8 and 16 bits, zeros among them, `[batch, 4, 6]`."""
    return np.resize(np.float32([0, 3, -1, 200, -128, 7, 40_000, -3, 127, 1, -70_000, 255, 5]), (batch, 4, 6))


def few(kind: Any) -> Function:
    """Operations on integers (or booleans) of a type, many of which ONNX Runtime lacks."""

    def function(x: Any) -> Any:
        wide = x.astype(jnp.int32)
        y, z = wide.astype(kind), wide[:, ::-1].astype(kind)
        one, places = jnp.ones((), kind), jnp.abs(y[..., 0]).astype(kind)
        made = {
            "chosen": jnp.where(x > 0, y, z),
            "compared": [y == z, y < z, y >= z],
            "limited": [jnp.maximum(y, z), jnp.minimum(y, z)],
            "padded": lax.pad(y, one, ((0, 0, 0), (1, 2, 0), (0, 0, 1))),
            "joined": jnp.concatenate([y, z], 1)[:, ::2].swapaxes(1, 2),
            "least and greatest": [jnp.max(y, axis=1), jnp.min(y, axis=(1, 2))],
            "places": [jnp.argmax(y, axis=1), jnp.argmin(y, axis=2), jnp.argmax(y[:, :1] > 0, axis=2)],
            "taken": jnp.take(y, ROWS, axis=1),
        }
        if kind is jnp.bool_:
            return made
        return made | {
            "clamped": lax.clamp(one, y, z + one),
            "sums": [y + z, y - z, y * z, lax.reduce(y, np.zeros((), kind), lax.add, (1,)), jnp.cumsum(y, 1)],
            "signs": [lax.neg(y), lax.sign(y), lax.abs(y) if jnp.issubdtype(kind, jnp.signedinteger) else y],
            "divided": [lax.div(y, z), lax.rem(y, z), lax.div(y, one + one), lax.rem(y, one + one)],
            "best": lax.top_k(y, 2),
            "product": lax.dot_general(y, z, (((2,), (2,)), ((0,), (0,)))),
            "picked": jnp.take_along_axis(x, places[..., None] % 4, axis=2, mode="clip"),
            "slices": lax.dynamic_slice_in_dim(x[0], y[0, 0, 1] % 5, 2, axis=1),
        }

    return function


@pytest.mark.parametrize("kind", ["bool_", "int8", "int32", "uint16", "uint32"])
def test_integers(kind: str) -> None:
    assert_equal_to_jax(few(getattr(jnp, kind)), (1, 4, 6), inputs=numbers)


SPECIAL = np.array([np.inf, -np.inf, np.nan, 3e9, -3e9, 5e9, 300, -300, -1.5, 0, 2.5, 70_000], np.float32)


def test_floats_out_of_range() -> None:
    kinds = ("int8", "int16", "int32", "uint8", "uint16", "uint32", "bool")
    cases: dict[str, Function] = {kind: lambda x, kind=kind: x.astype(kind) for kind in kinds}
    cases |= {f"{kind} of float16": lambda x, kind=kind: x.astype(jnp.float16).astype(kind) for kind in kinds}
    cases |= {
        "angles": lambda x: [jnp.arctan2(x, x[:, ::-1]), jnp.arctan2(x, jnp.float32(np.nan)), jnp.sign(x)],
        "float16": lambda x: jnp.sign(x.astype(jnp.float16)),
        "limited": lambda x: [jnp.clip(x, -2, 5), jnp.maximum(x, x[:, ::-1]), jnp.minimum(x, 0), lax.clamp(x, x, -x)],
    }

    def inputs(batch: int) -> Any:
        return np.resize(SPECIAL, (batch, len(SPECIAL)))

    assert_equal_to_jax(each(cases, jnp.asarray(SPECIAL[None])), (1, len(SPECIAL)), inputs=inputs)


@pytest.mark.parametrize("width", [3, 17])
def test_ties_and_nan_in_batches_of_all_sizes(width: int) -> None:
    """ONNX Runtime computes eight or sixteen values at once, and loses NaN on some of these paths."""

    def function(x: Any) -> Any:
        windows = [lax.reduce_window(x, start, f, (1, 2), (1, 1), "VALID") for start, f in LIMITS]
        return jnp.argmax(x, 1), jnp.argmin(x, 1), jnp.max(x, 1), jnp.min(x, 1), *windows, *lax.top_k(x, 3)

    session = session_of(text_of(function, (1, width)), (1, width))
    rng = np.random.default_rng(width)
    for batch in range(1, 21):
        x = rng.choice(np.array([np.inf, -np.inf, 0.0, 1.0], np.float32), (batch, width))
        x[rng.random(x.shape) < 0.1] = np.nan
        pairs = np.lib.stride_tricks.sliding_window_view(x, 2, 1)
        order = np.argsort(-x, axis=1, kind="stable")  # NaN last
        order = np.take_along_axis(order, np.argsort(~np.isnan(np.take_along_axis(x, order, 1)), 1, kind="stable"), 1)
        places = order[:, :3]
        expected = (
            *(x.argmax(1), x.argmin(1), x.max(1), x.min(1), pairs.max(2), pairs.min(2)),
            *(np.take_along_axis(x, places, 1), places),
        )
        for name, wanted, actual in zip(session.get_outputs(), expected, session.run(None, {"inputs": x}), strict=True):
            np.testing.assert_array_equal(actual, wanted, err_msg=f"{name.name}, batch {batch}")


LIMITS = ((-jnp.inf, lax.max), (jnp.inf, lax.min))


def test_large_integers() -> None:
    """ONNX Runtime sums int32 in float32."""
    x = np.array([[2**30, 2**30 - 1, 7, 2**24 + 1]], np.int32)
    cases = {"sum": lambda x: jnp.sum(x, 1), "products": lambda x: jnp.prod(x % 1000, 1), "rest": lambda x: x % 7}
    assert_equal_to_jax(each(cases), (1, 4), np.int32, inputs=lambda batch: np.repeat(x, batch, axis=0))


REFUSED: dict[str, tuple[Function, str]] = {
    "bits": (lambda x: x.astype(jnp.int8) & 3, r"stablehlo\.and .*opset 17 of ONNX has no such operation"),
    "shifts": (lambda x: x.astype(jnp.uint16) << 3, r"stablehlo\.shift_left .*has no such operation"),
    "counted bits": (lambda x: lax.population_count(x.astype(jnp.uint8)), r"stablehlo\.popcnt .* is not an operation"),
    "reduced bits": (
        lambda x: lax.reduce(x.astype(jnp.int16), np.int16(0), lax.bitwise_or, (1,)),
        r"stablehlo\.reduce .*: it reduces int16 by or",
    ),
    "convolved integers": (
        lambda x: lax.conv(x.astype(jnp.int8)[:, None], np.ones((1, 1, 2, 2), np.int8), (1, 1), "SAME"),
        r"stablehlo\.convolution .*: it takes int8, for which ONNX Runtime has no Conv",
    ),
    "sorted booleans": (lambda x: jnp.sort(x > 0, axis=1), r"stablehlo\.sort .* is not an operation"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    function, said = REFUSED[name]
    with pytest.raises(ConversionError, match=r"in @\w+ \(line \d+ .*") as caught:
        session_of(text_of(function, (1, 4, 6)), (1, 4, 6))
    assert re.search(said, str(caught.value)) and "\n" not in str(caught.value)


def sliced_away(graph: Graph, operand: Tensor) -> Tensor:
    nothing, first = np.zeros_like(operand.shape), operand.shape.copy()
    first[:, 1] = 1
    return sliced(graph, operand, nothing, first, [1, 1])


def test_unforeseen_errors_are_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def stumbles(*_: object) -> None:
        raise ValueError("tuple.index(x): x not in tuple")

    monkeypatch.setitem(translate.OPERATIONS, "sine", stumbles)
    monkeypatch.setitem(translate.OPERATIONS, "cosine", lambda graph, op, operand: operand)
    monkeypatch.setitem(translate.OPERATIONS, "tanh", lambda graph, op, operand: sliced_away(graph, operand))
    with pytest.raises(ConversionError, match=r"stablehlo\.tanh .*its result is not tensor<\?x4xf32>"):
        session_of(text_of(lambda x: jnp.tanh(jnp.cos(x)), (1, 4)), (1, 4))
    form = re.escape("there is no translation of this form of it, tensor<?x4xf32>")
    with pytest.raises(ConversionError, match=rf"stablehlo\.sine in @\w+ \(line \d+ .*{form}$"):
        session_of(text_of(jnp.sin, (1, 4)), (1, 4))
