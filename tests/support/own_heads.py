"""Heads of one's own with weights that tests choose."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from runtime.explore.own_head import TrainedHead, add_head
from runtime.model.artifact import read_artifact
from runtime.model.own_heads import OwnHead

CLASSES = ("rain", "Pipit, tree", "frog")
THRESHOLDS = (0.75, None, 0.25)


def trained(
    model: Path, seed: int = 0, thresholds: tuple[float | None, ...] = THRESHOLDS, normalize: str | None = "raw"
) -> TrainedHead:
    """A head of three classes for a model's embedding, with random weights."""
    (width,) = read_artifact(model).heads["embedding"].shape
    rng = np.random.default_rng(seed)
    own = OwnHead(thresholds, normalize, {"labels": 12, "recordings": 3})
    return TrainedHead(CLASSES, rng.standard_normal((width, 3)) / np.sqrt(width), rng.standard_normal(3), own)


def write_taught(model: Path, target: Path, name: str = "mine", head: TrainedHead | None = None) -> Path:
    """A copy of a model that has such a head."""
    add_head(model, target, name, trained(model) if head is None else head)
    return target
