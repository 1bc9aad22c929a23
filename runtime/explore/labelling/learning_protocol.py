"""What the child process that learns is told, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Learnt:
    """The outcome of one learning.

    names: the species that could be learnt. enough: which of them have enough labels for their probabilities to be
    shown. thresholds: from which probability on a window is given a species, infinite if it never is.
    probabilities: of all windows, float32 `[species, windows]`, NaN where a window has no score.
    worth: the windows most worth labelling, int64 `[windows]`; of each the species that is uncertain, and its
    probability.
    species: for each species of the labels what the page shows of it. random: what the random share gave.
    after: how many windows had an answer.
    """

    names: tuple[str, ...]
    enough: tuple[bool, ...]
    thresholds: tuple[float, ...]
    probabilities: NDArray[np.float32]
    worth: NDArray[np.int64]
    worth_species: tuple[str, ...]
    worth_probabilities: tuple[float, ...]
    species: list[dict[str, Any]]
    random: dict[str, Any] | None
    after: int

    @property
    def well_known(self) -> set[str]:
        """The species with enough labels."""
        return {name for name, enough in zip(self.names, self.enough) if enough}


@dataclass(frozen=True)
class LearnJob:
    """What to learn from: the files of rows with their stamps, and a copy of the label file, which `labels_file` names.

    target: where the probabilities go, as `.npy`.
    """

    rows: Sequence[Path]
    stamps: Sequence[tuple[int, ...]]
    labels: Path
    labels_file: str
    precision: float
    target: Path
