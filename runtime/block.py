"""Consecutive rows of one recording, as they go to memory or to a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from runtime.taxonomy import Taxonomy


@dataclass(frozen=True)
class Columns:
    """What rows hold: each output's shape, and for class heads the names of its columns; `about` is what made them.

    `dtypes` are those of outputs that are not float32; `taxonomy` knows what class names stand for; `constants` are the
    columns of `label` that the model does not know.
    """

    shapes: Mapping[str, tuple[int, ...]]
    classes: Mapping[str, tuple[str, ...]]
    about: Mapping[str, str] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)
    taxonomy: Taxonomy = field(default_factory=Taxonomy)
    constants: frozenset[int] = frozenset()

    @property
    def numbers(self) -> int:
        """How many numbers a row holds."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def fit_csv(self) -> bool:
        """Whether a CSV can hold them: one vector a row."""
        return [len(shape) for shape in self.shapes.values()] == [1]


@dataclass(frozen=True)
class Block:
    """Rows of one recording, in order. `outputs` are NaN where `status` is "filled", "failed" or "unrecorded"."""

    path: str
    row_ids: list[str]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    status: NDArray[np.str_]
    outputs: Mapping[str, NDArray[np.floating]]

    def __len__(self) -> int:
        return len(self.row_ids)

    @property
    def has_score(self) -> NDArray[np.bool_]:
        """Rows that hold numbers: scored ones, and those interpolated between them."""
        return np.isin(self.status, ("scored", "interpolated"))
