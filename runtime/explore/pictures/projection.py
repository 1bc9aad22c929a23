"""Embeddings in three dimensions: their principal components, exact, from one pass over any number of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError
from runtime.explore.rows import RowFile
from runtime.progress import progress_bar

OUTPUT = "embedding"
DIMENSIONS = 3
POINTS = 20_000
"""Most points of a picture: more would hide one another, and slow a browser."""
SEED = 0


@dataclass(frozen=True)
class Projection:
    """Where rows lie along the first principal components.

    `rows` are those drawn, int64 `[points]`, in their order; `points` is float32 `[points, 3]`; `explained` the share
    of the variance along each axis, float64 `[3]`, of all `count` rows that hold an embedding.
    """

    rows: NDArray[np.int64]
    points: NDArray[np.float32]
    explained: NDArray[np.float64]
    count: int


def project(rows: RowFile, most: int = POINTS) -> Projection:
    """The principal components of all embeddings, and where `most` rows, drawn by lot from a seed, lie along them.

    The covariance is summed up block by block, so memory grows with the embedding's width and the points alone.

    Raises:
        InputError: the file holds no embeddings, or none that differ.
    """
    scored = np.flatnonzero(rows.has_score)
    lot = np.random.default_rng(SEED).permutation(len(scored))[:most]
    drawn = np.sort(scored[lot])
    width = int(np.prod(rows.shapes.get(OUTPUT, ())))
    shift, total, products, count = np.zeros(width), np.zeros(width), np.zeros((width, width)), 0
    kept_rows, kept = [], []
    with progress_bar(rows.count, desc="embeddings", unit="rows") as bar:
        for start, block in rows.blocks(OUTPUT):
            bar.update(len(block))
            values = block.reshape(len(block), width)
            finite = np.isfinite(values.sum(axis=1))  # one number a row, quicker than all of them
            wanted = drawn[np.searchsorted(drawn, start) : np.searchsorted(drawn, start + len(values))]
            wanted = wanted[finite[wanted - start]]
            kept_rows.append(wanted)
            kept.append(values[wanted - start])
            exact = values[finite].astype(np.float64)
            if not count and len(exact):
                shift = exact.mean(axis=0)  # near the mean, so that little is lost when it is taken off
            exact -= shift
            count += len(exact)
            total += exact.sum(axis=0)
            products += exact.T @ exact
    mean = total / max(count, 1)
    covariance = products / max(count, 1) - np.outer(mean, mean)
    variance = float(np.trace(covariance))
    if variance <= 1e-12 * max(1.0, float(np.square(shift).sum())):
        raise InputError(f"{rows.source} has nothing to plot: its embeddings ({count}) do not differ")
    values_of, vectors = np.linalg.eigh(covariance)
    axes = vectors[:, ::-1][:, :DIMENSIONS]
    axes *= np.where(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])] < 0, -1.0, 1.0)  # else the sign is chance
    points = np.zeros((sum(map(len, kept_rows)), DIMENSIONS), np.float32)
    points[:, : axes.shape[1]] = (np.concatenate(kept) - (shift + mean)) @ axes
    explained = np.zeros(DIMENSIONS)
    explained[: axes.shape[1]] = np.maximum(values_of[::-1][:DIMENSIONS], 0) / variance
    return Projection(np.concatenate(kept_rows), points, explained, count)
