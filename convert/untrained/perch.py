"""Writes a SavedModel that is Perch v1 in everything but training.

It has the graph, names, signatures, attributes and assets of the published model. Its weights are drawn from a seed,
with batch norms calibrated on synthetic soundscapes, so that different clips have clearly different outputs. It takes
the place of the real model where that cannot be downloaded. Speed does not depend on the weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from convert import WINDOW_SAMPLES
from convert.proof import synthetic
from convert.untrained import efficientnet
from convert.untrained.frontend import spectrogram
from convert.untrained.names import write_class_lists
from convert.untrained.ops import Weights, head
from convert.untrained.recipe import CALIBRATION_WINDOWS, PERCH_V1, Recipe


def write_saved_model(folder: str | Path, recipe: Recipe = PERCH_V1) -> Path:
    """Writes the SavedModel to `folder` (created; an existing one is overwritten) and returns its path.

    Raises:
        ValueError: the recipe is Perch v2's, which was never exported in plain ops.
    """
    if recipe.is_v2:
        raise ValueError("Perch v2 has no plain form: convert.untrained.native.perch writes it")
    folder = Path(folder)
    weights = Weights(recipe.seed)
    _forward(weights, recipe, tf.constant(synthetic.windows(recipe.seed, CALIBRATION_WINDOWS, WINDOW_SAMPLES)))
    weights.calibrating = False

    module = tf.Module()
    module.weights = weights
    spec = tf.TensorSpec([1 if recipe.fixed_batch else None, WINDOW_SAMPLES], tf.float32, name="inputs")

    def infer(inputs: tf.Tensor) -> Any:
        outputs = {
            name: tf.raw_ops.PreventGradient(input=value, message="exported without gradients")
            for name, value in _forward(weights, recipe, inputs).items()
        }
        return (outputs["label"], outputs["embedding"]) if recipe.gives_pair else outputs

    # jit_compile is what sets _XlaMustCompile and _noinline in the published graphs.
    module.infer_tf = tf.function(infer, input_signature=[spec], jit_compile=True, autograph=False)
    tf.saved_model.save(module, str(folder), signatures=module.infer_tf.get_concrete_function())
    write_class_lists(folder, recipe)
    return folder


def _forward(weights: Weights, recipe: Recipe, audio: tf.Tensor) -> dict[str, tf.Tensor]:
    if not tf.executing_eagerly():
        rows = tf.shape(audio)[:1]
        tf.debugging.Assert(tf.reduce_all(rows >= np.int32(1)), ["the batch must hold a window, not", rows])
    bands = spectrogram(recipe.frontend, recipe.mel, audio, recipe.smoothing)
    features = efficientnet.embedding(weights, bands, recipe.stages, recipe.stem, recipe.embedding)
    outputs = {name: head(weights, name, features, count) for name, _, count in recipe.classes}
    return {**outputs, "embedding": features, "frontend": bands}
