"""Class heads, calibrated so that different clips have clearly different logits."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from convert.untrained.native.layers import Weights, dense
from convert.untrained.recipe import LOGIT_CENTRE, LOGIT_SPREAD

PROTOTYPES = 4
NORM_EPSILON = 1e-5


def dense_head(weights: Weights, name: str, embedding: jax.Array, classes: int) -> jax.Array:
    """`[batch, features]` to logits `[batch, classes]`."""
    if weights.calibrating:
        gain = LOGIT_SPREAD / np.std(dense(weights, name, embedding, classes), axis=0).mean()
        kernel = weights.by_name[f"{name}/kernel"] * gain
        offsets = weights.by_name[f"{name}/bias"] * 5 + LOGIT_CENTRE - np.mean(embedding @ kernel, axis=0)
        weights.by_name |= {f"{name}/kernel": kernel, f"{name}/bias": offsets.astype(np.float32)}
    return dense(weights, name, embedding, classes)


def prototype_head(weights: Weights, name: str, positions: jax.Array, classes: int) -> jax.Array:
    """`[batch, height, width, features]` to logits `[batch, classes]`.

    Each class has four prototypes. Its logit is the sum of their greatest cosines over all positions, weighted by a
    kernel that is never negative (ProtoPNet, arXiv:2404.10420).
    """
    prototypes = weights.made(f"{name}/prototypes", lambda rng: _prototypes(rng, np.asarray(positions), classes))
    unit_prototypes = prototypes / (jnp.linalg.norm(prototypes, axis=1, keepdims=True) + NORM_EPSILON)
    unit_positions = positions / (jnp.linalg.norm(positions, axis=-1, keepdims=True) + NORM_EPSILON)
    similar = jnp.max(jnp.dot(unit_positions, unit_prototypes), axis=(-4, -3))
    # A few are negative, as after training, and count as zero.
    kernel = weights.uniform(f"{name}/kernel", [classes, PROTOTYPES], -0.1, 1.0)
    bias = weights.made(f"{name}/bias", lambda rng: rng.uniform(-0.5, 0.5, classes))
    if weights.calibrating:
        scores = np.einsum("bcp,cp->bc", similar, np.maximum(kernel, 0))
        unseen = scores[1::2]
        gain = LOGIT_SPREAD / unseen.std(axis=0).mean()
        kernel = (kernel * gain).astype(np.float32)
        bias = (bias + LOGIT_CENTRE - gain * unseen.mean(axis=0)).astype(np.float32)
        weights.by_name |= {f"{name}/kernel": kernel, f"{name}/bias": bias}
    return jnp.sum(similar * jnp.maximum(kernel, 0), axis=-1) + bias


def _prototypes(rng: np.random.Generator, positions: Any, classes: int) -> Any:
    """`[classes, features, 4]`: how one position differs from the mean of all, plus noise of equal power.

    So each class is some sound, as in a trained model, and clips differ in their likely classes. The sounds are those
    of every second clip: the others show how much the logits of unseen clips vary.
    """
    positions = positions[::2]
    features = positions.shape[-1]
    sounds = positions.reshape(-1, features) - positions.mean(axis=(0, 1, 2))
    sounds /= np.linalg.norm(sounds, axis=-1, keepdims=True) * features**-0.5
    prototypes = rng.standard_normal((classes, features, PROTOTYPES), np.float32)
    prototypes += sounds[rng.integers(len(sounds), size=classes)][..., None]
    return prototypes
