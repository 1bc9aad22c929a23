"""Writes a SavedModel that is Perch v1 in everything but training.

Same graph, names, signatures, attributes and assets as the published model; weights from a seed, with batch norms
calibrated on synthetic soundscapes so that different clips give clearly different outputs. It stands in for the real
one wherever that cannot be downloaded. Speed does not depend on the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from convert import WINDOW_SAMPLES, synthetic
from convert.untrained import efficientnet, stages
from convert.untrained.frontend import Frontend, spectrogram
from convert.untrained.ops import Weights, head

CALIBRATION_WINDOWS = 16


@dataclass(frozen=True)
class Recipe:
    """What distinguishes one untrained Perch from another.

    `fixed_batch` makes the older shape: batch fixed to 1 and a `(logits, embedding)` tuple for output.
    """

    frontend: Frontend = "simple"
    fixed_batch: bool = False
    stages: tuple[stages.Stage, ...] = stages.B1
    stem: int = 32
    embedding: int = 1280
    classes: tuple[tuple[str, str, int], ...] = (
        ("label", "ebird2021", 10932),
        ("genus", "ebird2021_genera", 2333),
        ("family", "ebird2021_families", 249),
        ("order", "ebird2021_orders", 41),
    )
    """Per class head: its name, the header of its class list, its size."""
    seed: int = 0


PERCH_V1 = Recipe()
TINY = Recipe(
    stages=stages.TINY,
    stem=8,
    embedding=24,
    classes=(("label", "ebird2021", 40), ("genus", "ebird2021_genera", 9)),
)


def class_names(head_name: str, count: int) -> list[str]:
    """Made-up names that look like a class list's: `count` distinct lower-case codes in alphabetical order."""
    letters = "abcdefghijklmnopqrstuvwxyz"

    def code(number: int) -> str:
        word = ""
        for _ in range(5):
            number, letter = divmod(number, 26)
            word = letters[letter] + word
        return f"{word}{head_name[0]}1"

    step = 26**5 // count
    return [code(i * step) for i in range(count)]


def write_saved_model(folder: str | Path, recipe: Recipe = PERCH_V1) -> Path:
    """Writes the SavedModel to `folder` (created; an existing one is overwritten) and returns its path."""
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
        return (outputs["label"], outputs["embedding"]) if recipe.fixed_batch else outputs

    # jit_compile is what sets _XlaMustCompile and _noinline in the published graphs.
    module.infer_tf = tf.function(infer, input_signature=[spec], jit_compile=True, autograph=False)
    tf.saved_model.save(module, str(folder), signatures=module.infer_tf.get_concrete_function())
    assets = folder / "assets"
    assets.mkdir(exist_ok=True)
    for name, header, count in recipe.classes:
        if name == "label" or not recipe.fixed_batch:
            (assets / f"{name}.csv").write_text("\n".join([header, *class_names(name, count)]) + "\n")
    return folder


def _forward(weights: Weights, recipe: Recipe, audio: tf.Tensor) -> dict[str, tf.Tensor]:
    if not tf.executing_eagerly():
        rows = tf.shape(audio)[:1]
        tf.debugging.Assert(tf.reduce_all(rows >= np.int32(1)), ["the batch must hold a window, not", rows])
    bands = spectrogram(recipe.frontend, audio)
    features = efficientnet.embedding(weights, bands, recipe.stages, recipe.stem, recipe.embedding)
    outputs = {name: head(weights, name, features, count) for name, _, count in recipe.classes}
    return {**outputs, "embedding": features, "frontend": bands}
