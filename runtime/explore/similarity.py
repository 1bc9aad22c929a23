"""The windows with the most similar embeddings: an exact cosine search, block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.console.progress import progress_bar
from runtime.errors import InputError
from runtime.explore.queries import Query
from runtime.explore.rows import RowFile


@dataclass(frozen=True)
class Hit:
    """A row of a file, and the query it is most similar to (a place in the list); `similarity` is the cosine."""

    similarity: float
    file: int
    row: int
    query: int


def find_similar(
    files: Sequence[RowFile],
    queries: Sequence[Query],
    count: int,
    other_recordings: bool = False,
    before_block: Callable[[], object] = lambda: None,
) -> list[Hit]:
    """The rows most similar to any of the queries, best first; ties in the order of files and rows.

    Leaves out rows without a score, the queries' own rows, and with `other_recordings` all of the queries' recordings.
    `before_block` is called every now and then; what it raises ends the search.

    Raises:
        InputError: a query's embedding is zero, or a file is damaged.
    """
    directions = np.stack([_unit(query) for query in queries], axis=1)
    best, nearest = [np.empty(0, np.float32)], [np.empty(0, np.int64)]
    with progress_bar(sum(file.count for file in files), desc="windows") as bar:
        for f, file in enumerate(files):
            left_out = _left_out(f, file, queries, other_recordings)
            for start, values in file.blocks("embedding"):
                before_block()
                lengths = np.sqrt(np.einsum("ij,ij->i", values, values))
                with np.errstate(invalid="ignore", divide="ignore"):
                    cosines = (values @ directions) / lengths[:, None]
                nearest.append(cosines.argmax(axis=1))
                best.append(cosines[np.arange(len(cosines)), nearest[-1]])
                best[-1][left_out[start : start + len(values)] | ~np.isfinite(best[-1])] = np.nan
                bar.update(len(values))
    similarity, query = np.concatenate(best), np.concatenate(nearest)
    starts = np.cumsum([0, *(file.count for file in files)])
    order = np.argsort(-similarity, kind="stable")[: min(count, int((~np.isnan(similarity)).sum()))]  # NaN come last
    places = np.searchsorted(starts, order, side="right") - 1
    return [
        Hit(float(similarity[i]), int(f), int(i - starts[f]), int(query[i])) for i, f in zip(order, places, strict=True)
    ]


def _left_out(number: int, file: RowFile, queries: Sequence[Query], other_recordings: bool) -> NDArray[np.bool_]:
    left_out = np.zeros(file.count, np.bool_)
    for query in queries:
        left_out[[row for f, row in query.rows if f == number]] = True
        if other_recordings and query.recordings:
            left_out |= np.isin(file.paths.astype(object), list(query.recordings))
    return left_out


def _unit(query: Query) -> NDArray[np.float32]:
    length = np.linalg.norm(query.embedding)
    if not length:
        raise InputError(f"the embedding of {query.text} is zero, so nothing is similar to it")
    return np.asarray(query.embedding / length, np.float32)
