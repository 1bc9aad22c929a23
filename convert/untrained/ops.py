"""TensorFlow ops combined as JAX's exporter writes them, so that a converter that handles them handles Perch.

The exporter knows nothing of fused layers: a broadcast is Reshape + BroadcastTo, a swish is Neg/Exp/Add/RealDiv,
a convolution stands between transposes, and shapes are computed from the batch size with Pack.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from convert.untrained.recipe import BATCH_NORM_EPSILON, LOGIT_CENTRE, LOGIT_SPREAD


class Weights(tf.Module):
    """Variables by name, drawn from one seed in the order they are first asked for."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._rng = np.random.default_rng(seed)
        self._by_name: dict[str, tf.Variable] = {}
        self.calibrating = True
        """While true, batch norms and heads take their statistics from the batch that is computed (eagerly)."""

    def drawn(self, name: str, shape: Sequence[int], scale: float) -> tf.Variable:
        """A variable of normal deviates times `scale`."""
        return self.made(name, lambda: self._rng.standard_normal(shape, np.float32) * np.float32(scale))

    def made(self, name: str, value: Any) -> tf.Variable:
        """A variable with the value that `value` returned when it was first asked for."""
        if name not in self._by_name:
            self._by_name[name] = tf.Variable(value(), name=name, trainable=False)
        return self._by_name[name]

    def uniform(self, name: str, size: int, low: float, high: float) -> tf.Variable:
        """A vector of uniform deviates."""
        return self.made(name, lambda: self._rng.uniform(low, high, size).astype(np.float32))


def sizes(x: tf.Tensor) -> list[Any]:
    """The sizes of `x`, the batch as a scalar tensor if it is unknown."""
    shape = x.shape.as_list()
    if shape[0] is None:
        shape[0] = tf.shape(x)[0]
    return shape


def broadcast(x: tf.Tensor, shape: Sequence[Any]) -> tf.Tensor:
    """`x` aligned with the last axes of `shape` and broadcast to it, as `lax.broadcast_in_dim` is exported."""
    if x.shape.rank < len(shape):
        x = tf.reshape(x, [1] * (len(shape) - x.shape.rank) + x.shape.as_list())
    return tf.broadcast_to(x, tf.stack(shape))


def relu(x: tf.Tensor) -> tf.Tensor:
    return tf.maximum(x, tf.constant(0.0))


def sigmoid(x: tf.Tensor) -> tf.Tensor:
    return tf.realdiv(tf.constant(1.0), tf.constant(1.0) + tf.exp(-x))


def swish(x: tf.Tensor) -> tf.Tensor:
    return x * sigmoid(x)


def mean(x: tf.Tensor) -> tf.Tensor:
    """Mean over the two middle axes of `[batch, height, width, channels]`, as Sum and RealDiv."""
    total = tf.reduce_sum(x, axis=tf.range(1, 3))
    return tf.realdiv(total, tf.constant(float(x.shape[1] * x.shape[2])))


def conv(x: tf.Tensor, kernel: tf.Tensor, stride: int = 1, padding: Any = "SAME", depthwise: bool = False) -> tf.Tensor:
    """A convolution of `[batch, height, width, channels]` by `[height, width, in, out]`.

    A depthwise kernel is `[height, width, 1, channels]`. `padding` is "SAME", "VALID" or pairs for height and width.
    """
    x = tf.transpose(x, [0, 1, 2, 3])
    kernel = tf.transpose(kernel, [0, 1, 3, 2] if depthwise else [0, 1, 2, 3])
    if not isinstance(padding, str):
        x = tf.raw_ops.PadV2(input=x, paddings=[(0, 0), *padding, (0, 0)], constant_values=0.0)
        padding = "VALID"
    strides = [1, stride, stride, 1]
    apply = tf.nn.depthwise_conv2d if depthwise else tf.nn.conv2d
    return tf.transpose(apply(x, kernel, strides, padding), [0, 1, 2, 3])


def dense(weights: Weights, name: str, x: tf.Tensor, features: int) -> tf.Tensor:
    """`[batch, n]` to `[batch, features]`: a MatMul and a broadcast bias, as `lax.dot_general` is exported."""
    wide = x.shape[-1]
    kernel = weights.drawn(f"{name}/kernel", [wide, features], wide**-0.5)
    bias = weights.uniform(f"{name}/bias", features, -0.1, 0.1)
    product = tf.matmul(tf.reshape(tf.transpose(x, [0, 1]), tf.stack([sizes(x)[0], wide])), kernel)
    return product + broadcast(tf.convert_to_tensor(bias), sizes(product))


def batch_norm(weights: Weights, name: str, x: tf.Tensor) -> tf.Tensor:
    """flax's unfused batch norm: `(x - mean) * (rsqrt(variance + epsilon) * scale) + bias`."""
    channels = x.shape[-1]
    mean_ = weights.made(f"{name}/mean", lambda: np.zeros(channels, np.float32))
    variance = weights.made(f"{name}/var", lambda: np.ones(channels, np.float32))
    scale = weights.uniform(f"{name}/scale", channels, 0.6, 1.4)
    bias = weights.uniform(f"{name}/bias", channels, -0.4, 0.4)
    if weights.calibrating:
        moments = tf.nn.moments(x, axes=[0, 1, 2])
        mean_.assign(moments[0])
        variance.assign(moments[1])
    ones = [1, 1, 1, channels]
    shape = sizes(x)
    factor = tf.math.rsqrt(tf.reshape(variance, ones) + BATCH_NORM_EPSILON) * tf.reshape(scale, ones)
    centred = x - broadcast(tf.reshape(mean_, ones), shape)
    return centred * factor + broadcast(tf.reshape(bias, ones), shape)


def head(weights: Weights, name: str, embedding: tf.Tensor, classes: int) -> tf.Tensor:
    """Logits `[batch, classes]`, calibrated so that the clips of a batch have clearly different ones."""
    logits = dense(weights, name, embedding, classes)
    if weights.calibrating:
        kernel, bias = weights.made(f"{name}/kernel", None), weights.made(f"{name}/bias", None)
        gain = LOGIT_SPREAD / np.std(logits.numpy(), axis=0).mean()
        kernel.assign(kernel * gain)
        offsets: NDArray[np.float32] = bias.numpy()
        centre = np.mean(embedding.numpy() @ kernel.numpy(), axis=0)
        bias.assign(offsets * 5 - centre + LOGIT_CENTRE)
        logits = dense(weights, name, embedding, classes)
    return logits
