"""Runs StableHLO by the XLA compiler in TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from convert.passes.edit import Array
from convert.stablehlo.tensor import Shape

CALLING_CONVENTION = 9
"""The version of XlaCallModule: the first that needs no further attributes, written by JAX since 0.4.30."""


def run(module: str, arguments: Sequence[Array], results: Sequence[tuple[np.dtype, Shape]]) -> list[Array]:
    """Runs the module's function `main` on arguments whose values the compiler does not see, so that it folds none.

    Args:
        module: StableHLO as MLIR's text.
        results: dtype and shape of each result.
    """
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
