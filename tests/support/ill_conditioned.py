"""A SavedModel that amplifies rounding: sines of large numbers, of which two correct programs share two digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

CLASSES, WIDTH, FRAME = 40, 32, 640


def write_ill_conditioned(folder: Path, gain: float, exported: bool = False) -> Path:
    """Writes it; rounding changes the output `embedding` by about `gain` times 8e-8 of its range.

    If `exported` it is StableHLO for one window, else plain ops with any batch size.
    """
    rng = np.random.default_rng(0)
    shapes = ((FRAME, WIDTH), (WIDTH, CLASSES), (CLASSES,))
    arrays = [(rng.normal(size=shape) / shape[0] ** 0.5).astype(np.float32) for shape in shapes]
    arrays[2] *= CLASSES**0.5
    variables = [tf.Variable(array) for array in arrays]
    infer = _exported(gain) if exported else _plain
    module = tf.Module()
    module.weights = variables
    spec = tf.TensorSpec([1 if exported else None, 160_000], tf.float32, name="inputs")
    function = tf.function(lambda inputs: infer(inputs, *variables, gain), [spec], jit_compile=True, autograph=False)
    tf.saved_model.save(module, str(folder), signatures=function.get_concrete_function())
    (folder / "assets").mkdir(exist_ok=True)
    (folder / "assets" / "label.csv").write_text("ebird2021\n" + "".join(f"class{i}\n" for i in range(CLASSES)))
    return folder


def _plain(windows: Any, first: Any, last: Any, bias: Any, gain: float) -> dict[str, Any]:
    frames = tf.reshape(windows, [-1, 160_000 // FRAME, FRAME])
    embedding = tf.sin(30 * tf.reduce_mean(tf.sin(gain * tf.matmul(frames, first)), 1))
    return {"embedding": embedding, "label": tf.matmul(embedding, last) + bias}


def _exported(gain: float) -> Any:
    import jax.numpy as jnp
    from jax.experimental import jax2tf

    def infer(windows: Any, first: Any, last: Any, bias: Any) -> dict[str, Any]:
        frames = jnp.reshape(windows, (-1, 160_000 // FRAME, FRAME))
        embedding = jnp.sin(30 * jnp.mean(jnp.sin(gain * (frames @ first)), 1))
        return {"embedding": embedding, "label": embedding @ last + bias}

    converted = jax2tf.convert(infer, with_gradient=False, native_serialization_platforms=("cpu",))
    return lambda windows, first, last, bias, _: converted(windows, first, last, bias)
