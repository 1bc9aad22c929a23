"""Rewrites of a TensorFlow graph before tf2onnx gets it, compared with TensorFlow itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from convert.errors import ConversionError
from convert.tf.broadcasts import without_broadcasts
from convert.tf.complex_pairs import dft_matrices, split_complex

Rewrite = Callable[[Any], Any]


def rewritten(
    function: Callable[[tf.Tensor], tf.Tensor], x: np.ndarray, rewrite: Rewrite
) -> tuple[Any, Any, Counter[str]]:
    """A function's value, its value after a rewrite of its graph, and the ops of that graph."""
    spec = tf.TensorSpec([None, *x.shape[1:]], tf.float32)
    concrete = convert_variables_to_constants_v2(tf.function(function).get_concrete_function(spec))
    graph_def = rewrite(concrete.graph.as_graph_def())
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            value = session.run(concrete.outputs[0].name, {concrete.inputs[0].name: x})
    return function(tf.constant(x)).numpy(), value, Counter(node.op for node in graph_def.node)


CHAINS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "real and imag": lambda x: tf.math.real(tf.signal.rfft(x)) * 2 + tf.math.imag(tf.signal.rfft(x)),
    "padded": lambda x: tf.abs(tf.signal.rfft(x, [64])),
    "cut": lambda x: tf.abs(tf.signal.rfft(x, [32])),
    "2022": lambda x: tf.abs(
        tf.transpose(tf.transpose(tf.signal.rfft(x) * tf.constant(0.3, tf.complex64), [0, 2, 1])[..., :-1], [0, 2, 1])
    ),
    "broadcast factor": lambda x: tf.abs(
        tf.signal.rfft(x) * tf.broadcast_to(tf.constant(0.3, tf.complex64), tf.shape(tf.signal.rfft(x)))
    ),
    "complex factor": lambda x: tf.math.imag(tf.signal.rfft(x) * tf.constant(0.3 - 2j, tf.complex64)),
    "sums and products": lambda x: tf.abs(tf.signal.rfft(x) * tf.signal.rfft(x * x) - tf.signal.rfft(x)),
}


@pytest.mark.parametrize("name", CHAINS)
def test_complex_chains_become_real(name: str) -> None:
    x = np.random.default_rng(0).standard_normal((3, 7, 48)).astype(np.float32)
    expected, actual, ops = rewritten(CHAINS[name], x, split_complex)
    assert np.abs(expected - actual).max() < 1e-5 * np.ptp(expected)
    assert not {"RFFT", "Real", "Imag", "ComplexAbs"} & set(ops)


def test_unknown_complex_op_is_named() -> None:
    x = np.zeros((1, 8), np.float32)
    with pytest.raises(ConversionError, match=r"computes (IRFFT|Angle) on complex values"):
        rewritten(lambda x: tf.math.angle(tf.signal.rfft(x)), x, split_complex)


def test_dft_matrices_agree_with_an_fft() -> None:
    x = np.random.default_rng(0).standard_normal(640)
    cosines, sines = dft_matrices(640, 1024)
    expected = np.fft.rfft(x, 1024)
    np.testing.assert_allclose(x @ cosines + 1j * (x @ sines), expected, atol=1e-5)


def test_broadcasts_that_an_elementwise_op_does_itself_are_removed() -> None:
    def function(x: tf.Tensor) -> tf.Tensor:
        shape = tf.stack([tf.shape(x)[0], 4, 6])
        y = x - tf.broadcast_to(tf.reshape(tf.reduce_mean(x, axis=(1, 2)), [-1, 1, 1]), shape)
        alone = tf.broadcast_to(x[:, :1], shape)  # nothing else gives this shape to a concatenation
        return tf.concat([y * tf.broadcast_to(x[:1], shape), alone], axis=1)

    x = np.random.default_rng(0).standard_normal((3, 4, 6)).astype(np.float32)
    expected, actual, ops = rewritten(function, x, without_broadcasts)
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    assert ops["BroadcastTo"] >= 1
