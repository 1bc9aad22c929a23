"""The species that score highest in windows, and their names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.classes.taxonomy import Taxonomy
from runtime.console.progress import progress_bar
from runtime.explore.rows import RowFile

OUTPUT = "label"
TOP = 3


@dataclass(frozen=True)
class Top:
    """The highest scores of rows, best first: `scores` float32 `[rows, top]`, and `columns` int64 `[rows, top]`."""

    columns: NDArray[np.int64]
    scores: NDArray[np.float32]


def find_top(rows: RowFile, wanted: NDArray[np.int64]) -> Top:
    """The `TOP` highest scores of the rows `wanted` (ascending places).

    Raises:
        InputError: the file holds no scores.
    """
    top = min(TOP, rows.shapes.get(OUTPUT, (TOP,))[-1])
    columns, scores = np.zeros((len(wanted), top), np.int64), np.zeros((len(wanted), top), np.float32)
    for first, values in read_scores(rows, wanted):
        best = np.argsort(-values, axis=1, kind="stable")[:, :top]
        columns[first : first + len(values)] = best
        scores[first : first + len(values)] = np.take_along_axis(values, best, axis=1)
    return Top(columns, scores)


def read_scores(rows: RowFile, wanted: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """All scores of the rows `wanted`, in pieces: the place of the first in `wanted`, and float32 `[rows, classes]`.

    Raises:
        InputError: the file holds no scores.
    """
    with progress_bar(rows.count, desc="scores", unit="rows") as bar:
        for start, block in rows.blocks(OUTPUT):
            bar.update(len(block))
            first, last = np.searchsorted(wanted, [start, start + len(block)])
            yield int(first), block[wanted[first:last] - start]


def display_names(classes: tuple[str, ...], taxonomy: Taxonomy) -> list[str]:
    """Names of classes for display: common or scientific name if there is one, then the class's own name."""
    names = []
    for name in classes:
        taxon = taxonomy[name]
        full = taxon.common_name or taxon.scientific_name
        names.append(f"{full} ({name})" if full and full != name else name)
    return names
