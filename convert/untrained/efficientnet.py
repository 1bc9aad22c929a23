"""EfficientNet as Google's bird models build it: relu inside the blocks, swish at stem and head, a VALID stem."""

from __future__ import annotations

import tensorflow as tf

from convert.untrained.ops import Weights, batch_norm, broadcast, conv, dense, mean, relu, sigmoid, sizes, swish
from convert.untrained.stages import Stage


def embedding(
    weights: Weights, spectrogram: tf.Tensor, stages: tuple[Stage, ...], stem: int, features: int
) -> tf.Tensor:
    """`[batch, frames, channels]` to the pooled head convolution, `[batch, features]`."""
    batch, frames, channels = sizes(spectrogram)
    x = tf.reshape(spectrogram, tf.stack([batch, frames, channels, 1]))
    x = _conv_norm(weights, "stem", x, stem, kernel=3, stride=2, padding="VALID")
    x = swish(x)
    for number, stage in enumerate(stages):
        for block in range(stage.blocks):
            stride = stage.stride if block == 0 else 1
            y = _mbconv(weights, f"stage{number}/block{block}", x, stage, stride)
            x = y if block == 0 else y + x
    x = swish(_conv_norm(weights, "head", x, features))
    return mean(x)


def _conv_norm(
    weights: Weights, name: str, x: tf.Tensor, features: int, kernel: int = 1, stride: int = 1, padding: str = "SAME"
) -> tf.Tensor:
    fan_in = kernel * kernel * x.shape[-1]
    shape = [kernel, kernel, x.shape[-1], features]
    x = conv(x, weights.drawn(f"{name}/conv", shape, fan_in**-0.5), stride, padding)
    return batch_norm(weights, f"{name}/norm", x)


def _mbconv(weights: Weights, name: str, x: tf.Tensor, stage: Stage, stride: int) -> tf.Tensor:
    entering = int(x.shape[-1])
    wide = entering * stage.expansion
    if stage.expansion != 1:
        x = relu(_conv_norm(weights, f"{name}/expand", x, wide))
    k = stage.kernel
    padding = stage.padding(stride, x.shape[1:3])
    kernel = weights.drawn(f"{name}/depthwise/conv", [k, k, 1, wide], 1 / k)
    x = relu(batch_norm(weights, f"{name}/depthwise/norm", conv(x, kernel, stride, padding, depthwise=True)))
    squeezed = relu(dense(weights, f"{name}/reduce", mean(x), max(1, entering // 4)))
    excited = sigmoid(dense(weights, f"{name}/excite", squeezed, wide))
    x = x * broadcast(tf.reshape(excited, tf.stack([sizes(x)[0], 1, 1, wide])), sizes(x))
    return _conv_norm(weights, f"{name}/project", x, stage.features)
