"""StableHLO's text run by the XLA in TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from convert.passes.edit import Array
from convert.stablehlo.tensor import Shape

CALLING_CONVENTION = 9
"""Of XlaCallModule: the first in which a module says all by itself, and the one that JAX 0.4.30 and later writes."""


def run(module: str, arguments: Sequence[Array], results: Sequence[tuple[np.dtype, Shape]]) -> list[Array]:
    """What the module's function `main` gives for these arguments, of which it is told no value when it is compiled."""
    shapes = [tf.TensorShape(shape.tolist()) for _, shape in results]

    def call(*given: tf.Tensor) -> list[tf.Tensor]:
        return list(
            xla.call_module(
                given,
                version=CALLING_CONVENTION,
                module=module,
                Tout=[tf.as_dtype(dtype) for dtype, _ in results],
                Sout=shapes,
                platforms=["CPU"],
            )
        )

    compiled = tf.function(call, jit_compile=True, autograph=False)
    with tf.device("CPU"):
        return [result.numpy() for result in compiled(*map(tf.constant, arguments))]
