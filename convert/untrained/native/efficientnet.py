"""EfficientNet as Google's bird models build it: relu or swish inside the blocks, swish elsewhere, a VALID stem."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.nn import relu, sigmoid, swish

from convert.untrained.native.layers import Weights, batch_norm, conv, dense
from convert.untrained.recipe import Recipe
from convert.untrained.stages import Stage

ACTIVATIONS = {"relu": relu, "swish": swish}


def spatial_embedding(weights: Weights, recipe: Recipe, spectrogram: jax.Array) -> jax.Array:
    """`[batch, frames, channels]` to the head convolution, `[batch, height, width, features]`."""
    activation = ACTIVATIONS[recipe.activation]
    x = jnp.expand_dims(spectrogram, -1)
    x = swish(_conv_norm(weights, "stem", x, recipe.stem, kernel=3, stride=2, padding="VALID"))
    for number, stage in enumerate(recipe.stages):
        for block in range(stage.blocks):
            stride = stage.stride if block == 0 else 1
            y = _mbconv(weights, f"stage{number}/block{block}", x, stage, stride, activation)
            x = y if block == 0 else y + x
    return swish(_conv_norm(weights, "head", x, recipe.embedding))


def _conv_norm(
    weights: Weights, name: str, x: jax.Array, features: int, kernel: int = 1, stride: int = 1, padding: str = "SAME"
) -> jax.Array:
    shape = [kernel, kernel, x.shape[-1], features]
    x = conv(x, weights.drawn(f"{name}/conv", shape, (kernel * kernel * x.shape[-1]) ** -0.5), stride, padding)
    return batch_norm(weights, f"{name}/norm", x)


def _mbconv(
    weights: Weights, name: str, x: jax.Array, stage: Stage, stride: int, activation: Callable[[jax.Array], jax.Array]
) -> jax.Array:
    entering = x.shape[-1]
    wide = entering * stage.expansion
    if stage.expansion != 1:
        x = activation(_conv_norm(weights, f"{name}/expand", x, wide))
    k = stage.kernel
    padding = stage.padding(stride, x.shape[1:3])
    kernel = weights.drawn(f"{name}/depthwise/conv", [k, k, 1, wide], 1 / k)
    x = activation(batch_norm(weights, f"{name}/depthwise/norm", conv(x, kernel, stride, padding, groups=wide)))
    squeezed = activation(dense(weights, f"{name}/reduce", jnp.mean(x, axis=(1, 2)), max(1, entering // 4)))
    x = x * sigmoid(dense(weights, f"{name}/excite", squeezed, wide))[:, None, None, :]
    return _conv_norm(weights, f"{name}/project", x, stage.features)
