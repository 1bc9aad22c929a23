"""What moves elements and computes nothing, from JAX to ONNX: shapes, slices, gathers, scatters, batch sizes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, nn

from tests.support.jax_modules import Function, assert_equal_to_jax, each, sample

PLANE = sample((6, 8))


def beside(mode: str) -> Function:
    return lambda x: jax.vmap(lambda window: jnp.pad(window, ((1, 2), (0, 3)), mode=mode))(x)


MOVED: dict[str, Function] = {
    "reshaped": lambda x: [x.reshape(-1, 8), x.reshape(x.shape[0], 48), x.reshape(-1), x.reshape(x.shape[0], 2, 3, 8)],
    "transposed": lambda x: [
        x.T,
        x.transpose(1, 2, 0),
        jnp.swapaxes(x, 0, 2).reshape(8, -1),
        x.swapaxes(1, 2).reshape(-1, 4, 12),
    ],
    "batch merged": lambda x: [x.transpose(1, 0, 2).reshape(6, -1), x.transpose(1, 0, 2).reshape(-1, 8)],
    "spread": lambda x: [
        jnp.broadcast_to(PLANE, x.shape),
        jnp.tile(x, (1, 2, 3)),
        jnp.repeat(x, 3, axis=1),
        x[:, None, :, None],
    ],
    "joined": lambda x: [
        jnp.stack([x, jnp.broadcast_to(PLANE, x.shape)], 2),
        jnp.concatenate([x, x * 2], 0),
        jnp.vstack([x, x]),
    ],
    "joined with what is spread": lambda x: jnp.concatenate(
        [x.swapaxes(1, 2), jnp.broadcast_to(PLANE.T, (x.shape[0], 8, 6))], 1
    ),
    "parted": lambda x: [jnp.split(x, 2, axis=1), jnp.array_split(x, 3, axis=2), jnp.unstack(x, axis=1)[1:3]],
    "turned": lambda x: [
        x[:, ::-1],
        jnp.flip(x, (1, 2)),
        jnp.roll(x, 3, axis=1),
        jnp.roll(x, (1, -2), (1, 2)),
        jnp.rot90(x, axes=(1, 2)),
    ],
    "cut": lambda x: [x[:, 1:5:2, ::3], x[:, 5:1:-2], x[:, -1, -2], x[..., 3], x[:, :0], x[:1] * x, x[-1:]],
    "empty": lambda x: [
        jnp.concatenate([x[:, :0], x, jnp.zeros((x.shape[0], 0, 8))], 1),
        jnp.sum(x[:, :0], 1),
        x[:, :0].reshape(-1),
    ],
    "padded": lambda x: [
        jnp.pad(x, ((0, 0), (1, 2), (0, 3)), constant_values=2.5),
        lax.pad(x, 1.0, ((0, 0, 0), (-1, 2, 1), (0, -3, 2))),
    ],
    "padded with its own": lambda x: [beside(mode)(x) for mode in ("reflect", "edge", "symmetric", "wrap")],
    "padded batch": lambda x: [jnp.pad(x, ((1, 1), (0, 0), (0, 0))), jnp.pad(x, ((0, 1), (0, 0), (0, 0)), mode="edge")],
    "triangles": lambda x: [
        jnp.tril(x),
        jnp.triu(x[:, :, :6]),
        jnp.diagonal(x, axis1=1, axis2=2),
        jnp.trace(x, axis1=1, axis2=2),
    ],
    "resized": lambda x: [jax.image.resize(x, (x.shape[0], 12, 4), method) for method in ("linear", "nearest")],
    "differences": lambda x: [
        jnp.diff(x, axis=1),
        jnp.gradient(x, axis=1),
        jnp.trapezoid(x, axis=1),
        jnp.ediff1d(x[0]),
    ],
    "integers and truth": lambda x: [
        jnp.concatenate([y, y[:, ::-1]], 2).swapaxes(1, 2)[:, 1:] for y in (jnp.int32(3 * x), x > 0)
    ],
}


def test_moved() -> None:
    assert_equal_to_jax(each(MOVED, sample((3, 6, 8))), (1, 6, 8))


ROWS, INDEX = np.array([3, 0, 5, 5]), np.array([[1], [2], [3], [0], [1], [2]])
TAKEN: dict[str, Function] = {
    "taken": lambda x: [
        jnp.take(x, ROWS, axis=1),
        jnp.take(x, ROWS.reshape(2, 2), axis=2),
        jnp.take(x, ROWS[:1], axis=1),
    ],
    "outside": lambda x: [jnp.take(x, jnp.array([3, 10, -1]), axis=1, mode=mode) for mode in ("clip", "wrap", "fill")],
    "same": lambda x: [jnp.take(x, jnp.array([2, 2, 2]), axis=1), x[:, jnp.array([[4]])]],
    "several": lambda x: [x[:, ROWS, ROWS], x[:, ROWS[:, None], ROWS], x[jnp.arange(x.shape[0]), 2], x[:, ::2, ::2]],
    "a row each": lambda x: [
        jnp.take_along_axis(x, INDEX[None], axis=2),
        x[jnp.arange(x.shape[0]), jnp.argmax(x[..., 0], 1)],
    ],
    "by the audio": lambda x: jnp.take_along_axis(x, jnp.int32(x > 0) * 3, axis=1),
    "of a table": lambda x: [
        jnp.asarray(PLANE)[jnp.int32(jnp.abs(x[..., 0]))],
        jnp.take(PLANE, jnp.int32(x[..., 0]), axis=1, mode="clip"),
    ],
    "slices by the audio": lambda x: jax.vmap(lambda y: lax.dynamic_slice_in_dim(y, jnp.argmax(y[:, 0]) - 1, 3))(x),
    "slices": lambda x: [lax.dynamic_slice_in_dim(x, 2, 3, axis=1), lax.dynamic_index_in_dim(x, 7, axis=2)],
    "classes": lambda x: [nn.one_hot(jnp.int32(x[..., 0]), 5), jnp.where(jnp.arange(8) < 4, x, 0), jnp.eye(6) @ x],
    "frames": lambda x: jax.vmap(lambda start: lax.dynamic_slice_in_dim(x, start, 3, axis=2), out_axes=1)(
        jnp.arange(0, 5, 2)
    ),
}
PUT: dict[str, Function] = {
    "set": lambda x: [
        x.at[:, 0].set(0.0),
        x.at[:, 1:3].set(5.0),
        x.at[..., -1].set(1.0),
        x.at[:, 1, 2].set(7.0),
        x.at[0].set(1.0),
    ],
    "slices": lambda x: [x.at[:, 1:3, 2:5].set(7.0), x.at[:, 0].set(x[:, 1] * 2), x.at[:, 1:3, 2:5].add(x[:, 3:5, :3])],
    "combined": lambda x: [
        x.at[:, 2].add(1.0),
        x.at[:, 2].multiply(3.0),
        x.at[:, :, 2].max(0.0),
        x.at[:, :, 2].min(0.0),
    ],
    "complex numbers": lambda x: jnp.abs((x * 1j).at[:, 2].set(3.0)),
    "places": lambda x: [x.at[:, jnp.array([1, 3])].set(7.0), x.at[:, jnp.array([1, 3, 3, 9])].add(x[:, :4])],
    "outside": lambda x: [x.at[:, 9].set(1.0), x.at[:, jnp.array([5, 6])].set(2.0), x.at[:, 9].add(1.0, mode="clip")],
    "updated": lambda x: [
        lax.dynamic_update_slice(x, x[:, :2, :3] * 3, (0, 9, 2)),
        lax.dynamic_update_slice_in_dim(x, x[:, :2], 3, 1),
    ],
}


def test_taken() -> None:
    assert_equal_to_jax(each(TAKEN), (1, 6, 8))


def test_put() -> None:
    assert_equal_to_jax(each(PUT, jnp.asarray(sample((3, 6, 8)))), (1, 6, 8))


def test_constants_are_gathered() -> None:
    constant = jnp.asarray(sample((3, 6, 8)))
    # XLA itself takes something else for a place outside of a constant.
    cases = {name: case for name, case in TAKEN.items() if name != "outside"}
    assert_equal_to_jax(lambda x: [x, each(cases)(constant)], (1, 2))


BATCH: dict[str, Function] = {
    "counted": lambda x: [x + jnp.arange(x.shape[0])[:, None, None], jnp.arange(x.shape[0]) * 2 + 1],
    "divided by": lambda x: [x / x.shape[0], jnp.sum(x) / (x.shape[0] * 48 - 1), jnp.full((x.shape[0],), x.shape[0])],
    "mean": lambda x: [x - x.mean(0), x - jnp.mean(x), jnp.var(x), x - x.max(0, keepdims=True)],
    "across": lambda x: [x[:, None] - x[None], x.reshape(-1, 8) @ x.reshape(-1, 8).T, jnp.einsum("bij,cij->bc", x, x)],
    "turned": lambda x: [x[::-1], jnp.roll(x, 1, axis=0), jnp.concatenate([x[1:], x[:1]])],
    "filled": lambda x: [jnp.ones((x.shape[0], 3)), jnp.zeros((x.shape[0], x.shape[0])) + x[:, 0, 0]],
}


def test_batch_as_a_number() -> None:
    assert_equal_to_jax(each(BATCH), (1, 6, 8))


@pytest.mark.parametrize("batch", [1, 4])
def test_fixed_batch(batch: int) -> None:
    cases: dict[str, Any] = {**BATCH, "flat": lambda x: x.reshape(-1), "put": PUT["set"], "taken": TAKEN["several"]}
    assert_equal_to_jax(each(cases), (batch, 6, 8), free=False)
