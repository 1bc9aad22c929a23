"""What a submission holds: one output of all rows, or scores that a user gives in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.errors import InputError
from runtime.rows.block import Block, Columns


def usual_output(columns: Columns, given: bool) -> str:
    """The output that a submission holds if none is named: the only one or, where scores are given, "label".

    Raises:
        InputError: it could be one of several.
    """
    names = list(columns.shapes)
    if len(names) > 1 and not (given and "label" in names):
        raise InputError(
            f"a CSV holds one output, not {', '.join(names)}; say which, such as output='{names[0]}', or write a "
            ".parquet or .npz instead"
        )
    return "label" if len(names) > 1 else names[0]


def submitted(blocks: Sequence[Block], columns: Columns, scores: ArrayLike | None) -> Sequence[Block]:
    """The rows of a submission, with `scores` in place of their own if there are any.

    Args:
        columns: those of the one output that is submitted, a vector.

    Raises:
        InputError: the scores have another shape, are infinite, or NaN in part of a row.
    """
    ((name, shape),) = columns.shapes.items()
    if scores is not None:
        blocks = _with_values(blocks, as_values(scores, (sum(map(len, blocks)), *shape), name), name)
    for block in blocks:
        _check_scores(block.outputs[name], block.row_ids, columns.classes.get(name) or ())
    return blocks


def as_values(scores: ArrayLike, shape: tuple[int, ...], output: str) -> NDArray[np.floating]:
    """Scores that a user gives for an output."""
    try:
        given = np.ascontiguousarray(np.asarray(scores, np.float32))
    except (TypeError, ValueError):
        raise InputError(f"the scores given for '{output}' are not an array of numbers") from None
    if given.shape != shape:
        raise InputError(
            f"the scores given for '{output}' have the shape {given.shape}, but its rows and columns are {shape}"
        )
    return given


def _with_values(blocks: Sequence[Block], values: NDArray[np.floating], output: str) -> list[Block]:
    """The same rows with other values of one output, `[rows, columns]`, and no other outputs."""
    starts = np.cumsum([0, *map(len, blocks)]).tolist()
    return [
        replace(block, outputs={output: values[start : start + len(block)]}) for block, start in zip(blocks, starts)
    ]


def _check_scores(scores: NDArray[np.floating], row_ids: Sequence[str], classes: Sequence[str]) -> None:
    """Refuses rows that a submission cannot hold."""
    if not scores.strides[0]:  # rows that were not reached share one NaN, which cannot be written to
        return
    finite = np.isfinite(scores)
    for row in np.flatnonzero(~finite.all(axis=1) & ~np.isnan(scores).all(axis=1))[:1].tolist():
        at = int(np.flatnonzero(~finite[row])[0])
        column = f"'{classes[at]}'" if classes else f"e{at}"
        raise InputError(
            f"the score of {column} in the row {row_ids[row]} is {scores[row, at]}; a row holds finite numbers, or NaN "
            "throughout if it has no score"
        )
