"""Loops, branches and calls from JAX to ONNX, modules for several platforms, and what is refused."""

from __future__ import annotations

from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from convert.errors import ConversionError
from tests.support.jax_modules import Function, assert_equal_to_jax, each, model_of, sample, session_of, text_of

WEIGHTS = 0.2 * sample((8, 8))


def smoothed(x: Any) -> Any:
    """First-order smoothing over time, all at once."""
    x = jnp.abs(x)
    return lax.associative_scan(
        lambda a, b: (a[0] * b[0], a[1] * b[0] + b[1]), (jnp.full_like(x, 0.9), 0.1 * x), axis=1
    )[1]


def recurrent(x: Any) -> Any:
    def step(state: Any, frame: Any) -> Any:
        state = jnp.tanh(state @ WEIGHTS + frame)
        return state, state.sum(-1)

    return lax.scan(step, jnp.zeros((x.shape[0], 8)), x.swapaxes(0, 1))


LOOPS: dict[str, Function] = {
    "scan": recurrent,
    "scan backwards": lambda x: lax.scan(lambda c, e: (c + e, c), jnp.zeros(8), x[0], reverse=True, unroll=2),
    "associative": smoothed,
    "rounds": lambda x: lax.fori_loop(0, 5, lambda i, y: y.at[:, i].add(1.0) * 0.5 + i, x),
    "while": lambda x: lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * 2), (0, x))[1],
    "no rounds": lambda x: lax.fori_loop(3, 3, lambda i, y: y * 2, x),
    "map": lambda x: lax.map(lambda start: lax.dynamic_slice_in_dim(x, start, 3, axis=2), jnp.arange(0, 5, 2)),
    "calls": lambda x: jax.jit(lambda y: jax.jit(jnp.sin)(y) + jax.jit(jnp.sin)(y * 2))(x) + jax.checkpoint(jnp.cos)(x),
    "branch": lambda x: lax.cond(jnp.asarray(True), lambda y: y * 2, lambda y: y, x),
    "other branch": lambda x: lax.cond(jnp.asarray(3) < 2, lambda y: y * 2, lambda y: -y, x),
    "last branch": lambda x: lax.switch(jnp.asarray(7), [lambda y: y * 2, jnp.sin, jnp.cos], x),
    "noise": lambda x: x + jax.random.normal(jax.random.key(0), (6, 8)),
    "table": lambda x: x + jnp.interp(jnp.linspace(0, 4, 8), jnp.arange(5.0), jnp.square(jnp.arange(5.0))),
}  # fmt: skip


def test_loops_and_branches() -> None:
    assert_equal_to_jax(each(LOOPS), (1, 6, 8))


def test_long_loops_stay_small() -> None:
    """The weights of all rounds are held once, and no round copies what the rounds before it gave."""
    model = model_of(text_of(recurrent, (1, 60, 8)), (1, 60, 8))
    kinds = Counter(node.op_type for node in model.graph)
    assert (kinds["Concat"], kinds["MatMul"]) == (1, 60)
    sizes = [value.const_value.size for value in model.graph.initializers.values() if value.const_value is not None]
    assert sizes.count(WEIGHTS.size) == 1
    assert_equal_to_jax(recurrent, (1, 60, 8))


@pytest.mark.parametrize("platforms", [("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "tpu", "cpu")])
def test_platforms(platforms: tuple[str, ...]) -> None:
    """The CPU's branch is taken, wherever it stands."""

    def function(x: Any) -> Any:
        return lax.platform_dependent(x, cpu=lambda y: y * 2, default=lambda y: y * 3)

    text = text_of(function, (1, 8), native_serialization_platforms=platforms)
    x = sample((3, 8))
    np.testing.assert_array_equal(session_of(text, (1, 8)).run(None, {"inputs": x})[0], x * 2)


REFUSED: dict[str, tuple[Function, str]] = {
    "sort": (jnp.sort, r"stablehlo\.sort in @_wrapped_jax_export_main \(line \d+ of the module's StableHLO\)"),
    "median": (lambda x: jnp.median(x, axis=1), r"stablehlo\.sort in @quantile \(line \d+"),
    "while": (
        lambda x: lax.while_loop(lambda y: jnp.sum(y) > 1, lambda y: y * 0.5, x),
        r"stablehlo\.while in @_wrapped_jax_export_main \(line \d+ .*: how many rounds it takes depends on the audio",
    ),
    "branch": (
        lambda x: lax.cond(x[0, 0, 0] > 0, lambda y: y * 2, lambda y: -y, x),
        r"stablehlo\.case in @_wrapped_jax_export_main \(line \d+ .*: which branch is taken depends on the audio",
    ),
    "scatter": (
        lambda x: jnp.bincount(jnp.int32(jnp.abs(x)).reshape(-1), length=4),
        r"stablehlo\.scatter in @\w+ \(line \d+ .*: it depends on the audio",
    ),
    "too many rounds": (
        lambda x: lax.fori_loop(0, 3000, lambda i, y: y + 1, x),
        r"stablehlo\.while in @\w+ \(line \d+ .*: it takes more than 2000 rounds",
    ),
    "rounds by the batch": (
        lambda x: lax.scan(lambda c, e: (c + 1, e + c), 0.0, x)[1],
        r"stablehlo\.while in @\w+ \(line \d+ .*: it depends on the number of windows in the batch",
    ),
    "batch in a curve": (
        lambda x: x * jnp.sqrt(x.shape[0]),
        r"stablehlo\.multiply in @\w+ \(line \d+ .*it computes a value that is not linear in the number of windows",
    ),
    "least of the batch": (
        lambda x: x * jnp.minimum(x.shape[0], 2),
        r"stablehlo\.multiply in @\w+ \(line \d+ .*it computes a value that is not linear in the number of windows",
    ),
    "square of the batch": (
        lambda x: jnp.eye(x.shape[0]),
        "the output output_0 cannot be computed by ONNX: a constant's shape depends on the number of windows",
    ),
    "bits": (lambda x: lax.bitcast_convert_type(x, jnp.int32), r"stablehlo\.bitcast_convert in @\w+ \(line \d+"),
    "planes": (lambda x: jnp.abs(jnp.fft.fft2(x)), r"stablehlo\.fft in @fft \(line \d+ .*: it transforms 2 axes"),
    "eigenvalues": (
        lambda x: jnp.linalg.eigh(x[:, :, :6])[0],
        r"stablehlo\.custom_call @lapack_ssyevd_ffi in @\w+ \(line \d+",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    function, said = REFUSED[name]
    text = text_of(function, (1, 6, 8))
    with pytest.raises(ConversionError, match=said):
        session_of(text, (1, 6, 8))
