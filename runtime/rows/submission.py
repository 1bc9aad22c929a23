"""What a submission holds: one output of all rows, or scores that a user gives in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.errors import InputError, repeated, some
from runtime.files import utf8
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
        row_ids = [row_id for block in blocks for row_id in block.row_ids]
        blocks = _with_values(blocks, as_values(scores, name, shape, row_ids, columns.names(name)), name)
    for block in blocks:
        _check_scores(block.outputs[name], block.row_ids, columns.classes.get(name) or ())
    return blocks


def as_values(
    scores: ArrayLike, output: str, shape: tuple[int, ...], row_ids: Sequence[str], names: Sequence[str]
) -> NDArray[np.floating]:
    """Scores that a user gives for an output, as `float32 [rows, *shape]`.

    Those of a DataFrame go where its index and its columns say. Masked values of an array are NaN.

    Args:
        shape: that of the output in one row.
        names: those of its columns, all dimensions flattened.

    Raises:
        InputError: they are no numbers, have another shape, or are a DataFrame of other rows or columns.
    """
    if hasattr(scores, "columns"):
        scores = _in_order(scores, output, row_ids, names)
    try:
        array = np.ma.asarray(scores) if np.ma.isMaskedArray(scores) else np.asarray(scores)
        if array.dtype.kind in "cmM":  # complex numbers and times
            raise TypeError
        with np.errstate(over="ignore"):  # what is infinite in float32 is refused by its name
            given = np.ascontiguousarray(np.ma.filled(array.astype(np.float32), np.nan))
    except (TypeError, ValueError):
        raise InputError(f"the scores given for '{output}' are not an array of numbers") from None
    expected = (len(row_ids), *shape)
    if given.shape != expected:
        raise InputError(
            f"the scores given for '{output}' have the shape {given.shape}, but its rows and columns are {expected}"
        )
    return given


def _in_order(frame: Any, output: str, row_ids: Sequence[str], names: Sequence[str]) -> NDArray[Any]:
    """The values of a DataFrame in the order of an output's rows and columns."""
    if not hasattr(frame, "set_index"):
        raise InputError(f"the scores given for '{output}' are a table that is not pandas'; give an array")
    if "row_id" in frame.columns:
        frame = frame.set_index("row_id")
    rows, columns = (
        _places(f"the scores given for '{output}'", what, list(found), wanted)
        for what, found, wanted in (
            ("row", frame.index, [*map(utf8, row_ids)]),  # as `to_dataframe` writes them
            ("column", frame.columns, names),
        )
    )
    values: NDArray[Any] = frame.to_numpy()[np.ix_(rows, columns)]
    return values


def _places(scores: str, what: str, found: list[Any], wanted: Sequence[str]) -> list[int]:
    """Where each wanted name is. Numbers from 0, as a new frame has them, are no names: these stay where they are."""
    names, known = [str(each) for each in found], set(wanted)
    counts = [each for each in found if isinstance(each, (int, np.integer)) and not isinstance(each, bool)]
    if names == list(wanted) or (counts == list(range(len(wanted))) and len(counts) == len(found)):
        return list(range(len(wanted)))
    places = {name: i for i, name in enumerate(names)}
    if missing := [name for name in wanted if name not in places]:
        raise InputError(f"{scores} lack the {what} {some(missing)}")
    if strange := [name for name in names if name not in known]:
        raise InputError(f"{scores} have the {what} {some(strange)}, which the output lacks")
    if twice := repeated(names):
        raise InputError(f"{scores} repeat the {what} {some(twice)}")
    return [places[name] for name in wanted]


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
