"""Writes a SavedModel that is a current Perch in everything but training: exported natively by JAX.

Its weights are variables, drawn from a seed, with batch norms and heads calibrated on synthetic soundscapes; all
computation is one XlaCallModule that holds StableHLO.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tensorflow as tf
from jax.experimental import jax2tf

from convert import WINDOW_SAMPLES
from convert.proof import synthetic
from convert.untrained.names import write_class_lists
from convert.untrained.native.efficientnet import spatial_embedding
from convert.untrained.native.frontend import spectrogram
from convert.untrained.native.heads import dense_head, prototype_head
from convert.untrained.native.layers import Weights
from convert.untrained.recipe import CALIBRATION_WINDOWS, PERCH_V2, Recipe

LOUDNESS = np.geomspace(1.0, 0.02, CALIBRATION_WINDOWS, dtype=np.float32)
"""Factors for v2's calibration clips: field recordings are quiet, and v2 has no PCEN to compensate for that."""


def write_saved_model(folder: str | Path, recipe: Recipe = PERCH_V2, platforms: Sequence[str] = ("cpu",)) -> Path:
    """Writes the SavedModel to `folder` (created; an existing one is overwritten) and returns its path.

    It runs only on the `platforms` ("cpu", "cuda"); if there are several, TensorFlow chooses when it is called.
    """
    folder = Path(folder)
    weights = Weights(recipe.seed)
    clips = synthetic.windows(recipe.seed, CALIBRATION_WINDOWS, WINDOW_SAMPLES)
    _forward(weights, recipe, jnp.asarray(clips * LOUDNESS[:, None] if recipe.is_v2 else clips))
    variables = {name: tf.Variable(value, name=name, trainable=False) for name, value in weights.by_name.items()}

    def infer(audio: jax.Array, arrays: dict[str, jax.Array]) -> Any:
        outputs = _forward(Weights(arrays), recipe, audio)
        return (outputs["label"], outputs["embedding"]) if recipe.gives_pair else outputs

    converted = jax2tf.convert(
        infer,
        with_gradient=False,
        native_serialization=True,
        native_serialization_platforms=tuple(platforms),
        polymorphic_shapes=None if recipe.fixed_batch else ["(b, _)", None],
    )
    spec = tf.TensorSpec([1 if recipe.fixed_batch else None, WINDOW_SAMPLES], tf.float32, name="inputs")

    def infer_tf(inputs: tf.Tensor) -> Any:
        return converted(inputs, variables)

    function = tf.function(infer_tf, input_signature=[spec], jit_compile=True, autograph=False)
    module = tf.Module()
    module.weights = list(variables.values())
    if not recipe.is_v2:
        module.infer_tf = function
    tf.saved_model.save(module, str(folder), signatures=function.get_concrete_function())
    write_class_lists(folder, recipe)
    return folder


def _forward(weights: Weights, recipe: Recipe, audio: jax.Array) -> dict[str, jax.Array]:
    bands = spectrogram(recipe, audio)
    positions = spatial_embedding(weights, recipe, bands)
    embedding = jnp.mean(positions, axis=(1, 2))
    if recipe.is_v2:
        logits = {name: prototype_head(weights, name, positions, count) for name, _, count in recipe.classes}
        return {**logits, "embedding": embedding, "spatial_embedding": positions, "spectrogram": bands}
    logits = {name: dense_head(weights, name, embedding, count) for name, _, count in recipe.classes}
    return {**logits, "embedding": embedding, "frontend": bands}
