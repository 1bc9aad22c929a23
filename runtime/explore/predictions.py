"""Windows without a label: their predicted species, and which are most worth labelling next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.console.progress import progress_bar
from runtime.explore.labelled_rows import LabelledRows
from runtime.explore.rows import RowFile

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Predicted:
    """Rows of a file without a label, int64 `[rows]`, and the probabilities of species, float32 `[rows, species]`."""

    file: int
    rows: NDArray[np.int64]
    probabilities: NDArray[np.float32]


def predict_unlabelled(files: Sequence[RowFile], labelled: LabelledRows, predict: Predict) -> Iterator[Predicted]:
    """Probabilities of the scored rows without a label, block by block; `predict` maps embeddings to probabilities.

    Rows that somebody could not label are left out too: they need no second look, and no guess.
    """
    with progress_bar(sum(file.count for file in files), desc="windows") as bar:
        for number, file in enumerate(files):
            unlabelled = file.scored.copy()
            unlabelled[labelled.answered[number]] = False
            for start, values in file.blocks("embedding"):
                rows = np.flatnonzero(unlabelled[start : start + len(values)])
                if len(rows):
                    yield Predicted(number, start + rows, predict(values[rows]))
                bar.update(len(values))


@dataclass
class Uncertainty:
    """How uncertain a classifier is about each window, and how many `windows` were given how many `species` in all."""

    windows: int = 0
    species: int = 0
    _parts: list[tuple[NDArray[Any], ...]] = field(default_factory=list)
    """Of the windows of each part: file, row, the uncertain species, and its probability."""

    def __len__(self) -> int:
        return sum(len(rows) for _, rows, *_ in self._parts)

    def add(self, part: Predicted, given: NDArray[np.bool_]) -> None:
        """Keeps each window's probability nearest to 0.5, and counts the species that it is given."""
        self.windows += int(given.any(axis=1).sum())
        self.species += int(given.sum())
        species = np.abs(part.probabilities - 0.5).argmin(axis=1)
        probabilities = part.probabilities[np.arange(len(species)), species]
        self._parts.append((np.full(len(part.rows), part.file), part.rows, species, probabilities))

    def worst(self, files: Sequence[RowFile], count: int) -> list[tuple[int, int, int, float]]:
        """The windows most worth labelling: file, row, the uncertain species, and its probability.

        These have a probability nearest to 0.5. Recordings take turns: one window of each, then a second of each, and
        so on.
        """
        if not self._parts:
            return []
        file, row, species, probability = map(np.concatenate, zip(*self._parts, strict=True))
        numbers: dict[str, int] = {}
        recording = np.empty(len(row), np.int64)
        for f in range(len(files)):
            here = file == f
            recording[here] = [numbers.setdefault(path, len(numbers)) for path in files[f].paths[row[here]]]
        certainty = np.abs(probability - 0.5)
        by_recording = np.lexsort((certainty, recording))
        firsts = np.searchsorted(recording[by_recording], recording[by_recording])
        turn = np.empty(len(row), np.int64)
        turn[by_recording] = np.arange(len(row)) - firsts
        chosen = np.lexsort((certainty, turn))[:count]
        return [(int(file[i]), int(row[i]), int(species[i]), float(probability[i])) for i in chosen]
