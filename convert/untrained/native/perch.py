"""Writes a SavedModel that is a Perch of today in everything but training: exported natively by JAX.

Its weights are variables, from a seed, with batch norms and heads calibrated on synthetic soundscapes; its one
computing op is an XlaCallModule that holds StableHLO, for the platforms that the recipe names and no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import tensorflow as tf
from jax.experimental import jax2tf

from convert import WINDOW_SAMPLES, synthetic
from convert.untrained import stages
from convert.untrained.names import class_names, ebird_codes, scientific_names, write_class_list
from convert.untrained.native.efficientnet import spatial_embedding
from convert.untrained.native.frontend import Frontend, spectrogram
from convert.untrained.native.heads import dense_head, prototype_head
from convert.untrained.native.layers import Weights
from convert.untrained.perch import CALIBRATION_WINDOWS, PERCH_V1, TINY


@dataclass(frozen=True)
class Recipe:
    """What distinguishes one natively exported Perch from another; the "log" frontend makes it a v2."""

    frontend: Frontend = "log"
    stages: tuple[stages.Stage, ...] = stages.B3
    stem: int = 40
    embedding: int = 1536
    classes: tuple[tuple[str, str, int], ...] = (("label", "inat2024_fsd50k", 14795),)
    """Per class head: its name, the header of its class list, its size."""
    platforms: tuple[str, ...] = ("cpu",)
    seed: int = 0

    @property
    def is_v2(self) -> bool:
        return self.frontend == "log"


PERCH_V2 = Recipe()
PERCH_V1_NATIVE = Recipe("simple", stages.B1, 32, 1280, PERCH_V1.classes)
TINY_V2 = Recipe("log", stages.TINY_V2, 8, 24, (("label", "inat2024_fsd50k", 60),))
TINY_V1_NATIVE = Recipe("simple", TINY.stages, TINY.stem, TINY.embedding, TINY.classes)


def write_saved_model(folder: str | Path, recipe: Recipe = PERCH_V2) -> Path:
    """Writes the SavedModel to `folder` (created; an existing one is overwritten) and returns its path."""
    folder = Path(folder)
    weights = Weights(recipe.seed)
    _forward(weights, recipe, jnp.asarray(synthetic.windows(recipe.seed, CALIBRATION_WINDOWS, WINDOW_SAMPLES)))

    converted = jax2tf.convert(
        lambda audio, arrays: _forward(Weights(arrays), recipe, audio),
        with_gradient=False,
        native_serialization=True,
        native_serialization_platforms=recipe.platforms,
        polymorphic_shapes=["(b, _)", None],
    )
    variables = {name: tf.Variable(value, name=name, trainable=False) for name, value in weights.by_name.items()}
    del weights
    spec = tf.TensorSpec([None, WINDOW_SAMPLES], tf.float32, name="inputs")
    infer = tf.function(
        lambda inputs: converted(inputs, variables), input_signature=[spec], jit_compile=True, autograph=False
    )
    module = tf.Module()
    module.weights = list(variables.values())
    if not recipe.is_v2:
        module.infer_tf = infer
    tf.saved_model.save(module, str(folder), signatures=infer.get_concrete_function())
    _write_class_lists(folder / "assets", recipe)
    return folder


def _write_class_lists(assets: Path, recipe: Recipe) -> None:
    for name, header, count in recipe.classes:
        if recipe.is_v2:
            write_class_list(assets / "labels.csv", header, scientific_names(count), "\r\n")
            write_class_list(assets / "perch_v2_ebird_classes.csv", "ebird2021", ebird_codes(count))
        else:
            write_class_list(assets / f"{name}.csv", header, class_names(name, count))


def _forward(weights: Weights, recipe: Recipe, audio: jax.Array) -> dict[str, Any]:
    bands = spectrogram(recipe.frontend, audio)
    positions = spatial_embedding(weights, bands, recipe.stages, recipe.stem, recipe.embedding)
    embedding = jnp.mean(positions, axis=(1, 2))
    if recipe.is_v2:
        logits = {name: prototype_head(weights, name, positions, count) for name, _, count in recipe.classes}
        return {**logits, "embedding": embedding, "spatial_embedding": positions, "spectrogram": bands}
    logits = {name: dense_head(weights, name, embedding, count) for name, _, count in recipe.classes}
    return {**logits, "embedding": embedding, "frontend": bands}
