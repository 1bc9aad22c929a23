"""Layers combined as flax combines them, so that they export to the same StableHLO as flax modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from convert.untrained.recipe import BATCH_NORM_EPSILON


class Weights:
    """Arrays by name: given, or drawn from one seed in the order they are first asked for."""

    def __init__(self, source: dict[str, Any] | int) -> None:
        self.calibrating = isinstance(source, int)
        """While true, batch norms and heads take their statistics from the batch that is computed."""
        self.by_name: dict[str, Any] = {} if isinstance(source, int) else source
        self._rng = np.random.default_rng(source if isinstance(source, int) else None)

    def made(self, name: str, value: Callable[[np.random.Generator], Any]) -> Any:
        """An array with the value that `value` returned when it was first asked for."""
        if name not in self.by_name:
            self.by_name[name] = np.asarray(value(self._rng), np.float32)
        return self.by_name[name]

    def drawn(self, name: str, shape: Sequence[int], scale: float) -> Any:
        """An array of normal deviates times `scale`."""
        return self.made(name, lambda rng: rng.standard_normal(shape, np.float32) * np.float32(scale))

    def uniform(self, name: str, shape: int | Sequence[int], low: float, high: float) -> Any:
        """An array of uniform deviates."""
        return self.made(name, lambda rng: rng.uniform(low, high, shape))


def conv(x: jax.Array, kernel: Any, stride: int = 1, padding: Any = "SAME", groups: int = 1) -> jax.Array:
    """A convolution of `[batch, height, width, channels]` by `[height, width, in / groups, out]`."""
    names = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=names, feature_group_count=groups
    )


def dense(weights: Weights, name: str, x: jax.Array, features: int) -> jax.Array:
    """`[batch, n]` to `[batch, features]`."""
    wide = x.shape[-1]
    kernel = weights.drawn(f"{name}/kernel", [wide, features], wide**-0.5)
    bias = weights.uniform(f"{name}/bias", features, -0.1, 0.1)
    return lax.dot_general(x, kernel, (((1,), (0,)), ((), ()))) + jnp.reshape(bias, (1, -1))


def batch_norm(weights: Weights, name: str, x: jax.Array) -> jax.Array:
    """flax's unfused batch norm: `(x - mean) * (rsqrt(variance + epsilon) * scale) + bias`."""
    channels = x.shape[-1]
    scale = weights.uniform(f"{name}/scale", channels, 0.6, 1.4)
    bias = weights.uniform(f"{name}/bias", channels, -0.4, 0.4)
    mean = weights.made(f"{name}/mean", lambda _: jnp.mean(x, axis=(0, 1, 2)))
    variance = weights.made(f"{name}/var", lambda _: jnp.var(x, axis=(0, 1, 2)))
    centred = x - jnp.expand_dims(mean, (0, 1, 2))
    factor = lax.rsqrt(jnp.expand_dims(variance, (0, 1, 2)) + BATCH_NORM_EPSILON)
    ones = (1, 1, 1, channels)
    return centred * (factor * jnp.reshape(scale, ones)) + jnp.reshape(bias, ones)
