"""Embeddings in three dimensions: exact principal components, in one pass over any number of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.console.progress import progress_bar
from runtime.errors import InputError
from runtime.explore.rows import RowFile

OUTPUT = "embedding"
DIMENSIONS = 3
POINTS = 20_000
"""Most points of a plot: more would hide each other and slow down a browser."""
SEED = 0


@dataclass(frozen=True)
class Projection:
    """Rows along the first three principal components.

    rows: those drawn, int64 `[points]`, ascending. points: their coordinates, float32 `[points, 3]`. explained: the
    share of the variance along each axis, float64 `[3]`. count: how many rows hold an embedding.
    """

    rows: NDArray[np.int64]
    points: NDArray[np.float32]
    explained: NDArray[np.float64]
    count: int


def project(rows: RowFile, most: int = POINTS) -> Projection:
    """The principal components of all embeddings, and the coordinates of at most `most` rows, chosen at random.

    The covariance is accumulated block by block: memory depends on the embedding's width and the points alone. The
    choice of rows has a fixed seed.

    Raises:
        InputError: the file holds no embeddings, or they are all equal.
    """
    scored = np.flatnonzero(rows.has_score)
    chosen = np.random.default_rng(SEED).permutation(len(scored))[:most]
    drawn = np.sort(scored[chosen])
    width = int(np.prod(rows.shapes.get(OUTPUT, ())))
    shift, total, products, count = np.zeros(width), np.zeros(width), np.zeros((width, width)), 0
    kept_rows, kept = [], []
    with progress_bar(rows.count, desc="embeddings", unit="rows") as bar:
        for start, block in rows.blocks(OUTPUT):
            bar.update(len(block))
            values = block.reshape(len(block), width)
            finite = np.isfinite(values.sum(axis=1))  # one number a row is quicker to test than all
            here = drawn[np.searchsorted(drawn, start) : np.searchsorted(drawn, start + len(values))]
            here = here[finite[here - start]]
            kept_rows.append(here)
            kept.append(values[here - start])
            exact = values[finite].astype(np.float64)
            if not count and len(exact):
                shift = exact.mean(axis=0)  # close to the mean, so that subtracting products loses little precision
            exact -= shift
            count += len(exact)
            total += exact.sum(axis=0)
            products += exact.T @ exact
    mean = total / max(count, 1)
    covariance = products / max(count, 1) - np.outer(mean, mean)
    variance = float(np.trace(covariance))
    if variance <= 1e-12 * max(1.0, float(np.square(shift).sum())):
        raise InputError(f"{rows.source} has nothing to plot: its embeddings ({count}) are all equal")
    values_of, vectors = np.linalg.eigh(covariance)
    axes = vectors[:, ::-1][:, :DIMENSIONS]
    axes *= np.where(
        axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])] < 0, -1.0, 1.0
    )  # fixes the sign, which eigh leaves open
    points = np.zeros((sum(map(len, kept_rows)), DIMENSIONS), np.float32)
    points[:, : axes.shape[1]] = (np.concatenate(kept) - (shift + mean)) @ axes
    explained = np.zeros(DIMENSIONS)
    explained[: axes.shape[1]] = np.maximum(values_of[::-1][:DIMENSIONS], 0) / variance
    return Projection(np.concatenate(kept_rows), points, explained, count)
