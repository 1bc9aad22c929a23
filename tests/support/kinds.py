"""Tiny models of every kind that Perch's authors have exported: frontends of all years, outputs and batches of all
shapes, plain TensorFlow ops and StableHLO for one platform or two."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from convert.untrained import perch as plain
from convert.untrained.native import perch as native
from convert.untrained.recipe import TINY, TINY_V2, TINY_V2_PUBLISHED, ClassHead, Recipe


class Kind(NamedTuple):
    """A recipe, and the platforms it is exported for; None for plain TensorFlow ops."""

    recipe: Recipe
    platforms: tuple[str, ...] | None


OF_2022 = replace(TINY, frontend="complex", smoothing="reversed")
HEADS = replace(
    TINY,
    smoothing="reversed",
    classes=(*TINY.classes, ClassHead("family", "ebird2021_families", 5), ClassHead("order", "ebird2021_orders", 3)),
)
KINDS = {
    "plain of 2022": Kind(OF_2022, None),
    "plain, four class heads": Kind(HEADS, None),
    "plain, one window a call": Kind(replace(TINY, fixed_batch=True), None),
    "plain pair": Kind(replace(TINY, pair=True), None),
    "native": Kind(TINY, ("cpu",)),
    "native of 2022": Kind(OF_2022, ("cpu",)),
    "native, four class heads": Kind(HEADS, ("cpu",)),
    "native, one window a call": Kind(replace(TINY, fixed_batch=True), ("cpu",)),
    "native, two platforms": Kind(TINY, ("cpu", "cuda")),
    "native pair": Kind(replace(TINY, pair=True), ("cpu",)),
    "v2": Kind(TINY_V2, ("cpu",)),
    "v2 as published": Kind(TINY_V2_PUBLISHED, ("cpu",)),
    "v2 for CUDA alone": Kind(replace(TINY_V2, seed=1), ("cuda",)),
}


def write_kind(name: str, folder: Path) -> Path:
    recipe, platforms = KINDS[name]
    if platforms is None:
        return plain.write_saved_model(folder, recipe)
    return native.write_saved_model(folder, recipe, platforms)
