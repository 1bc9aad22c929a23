"""Rows whose species are known: labels joined with the rows of runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError
from runtime.explore.labels import Labels
from runtime.explore.rows import RowFile


@dataclass(frozen=True)
class Known:
    """The labelled rows that have a score, in the order of the files and their rows.

    `rows` are theirs in each file, int64 `[rows]`, of all `labelled` ones there, scored or not; `truth` says which of
    the species `names` each holds, bool `[rows, species]`; `recordings` number the recording of each, int64 `[rows]`.
    `skipped` counts labelled windows that have no row, `unscored` those whose row has no score.
    """

    rows: tuple[NDArray[np.int64], ...]
    labelled: tuple[NDArray[np.int64], ...]
    names: tuple[str, ...]
    truth: NDArray[np.bool_]
    recordings: NDArray[np.int64]
    skipped: int
    unscored: int

    def read(self, files: Sequence[RowFile], output: str, columns: Sequence[int] | None = None) -> NDArray[np.float32]:
        """An output of the labelled rows, or columns of it, float32 `[labelled rows, …]`; read in blocks.

        Raises:
            InputError: a file does not hold it, or is damaged.
        """
        found = []
        for file, rows in zip(files, self.rows, strict=True):
            for start, values in file.blocks(output):
                if not len(rows) or start > rows[-1]:
                    break
                inside = rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + len(values))] - start
                picked = values[inside]
                found.append(picked if columns is None else picked[:, columns])
        return np.concatenate(found)


def join(files: Sequence[RowFile], labels: Labels, skip_missing: bool = False) -> Known:
    """Finds the row of each labelled window.

    Raises:
        InputError: there is none for some of them (for any of them, with `skip_missing`); rows have the same row_id;
            or none of the rows has a score.
    """
    _check_unique(files)
    row_ids = [row_id for file in files for row_id in file.row_ids]
    labels = labels.among(row_ids, [path for file in files for path in file.paths])
    missing = sorted(labels.rows.keys() - set(map(labels.key, row_ids)))
    if missing and (len(missing) == len(labels.rows) or not skip_missing):
        _refuse(missing, labels, row_ids)
    names = tuple(sorted(labels.names))
    rows, labelled, truths = [], [], []
    paths: list[str] = []
    unscored = 0
    for file in files:
        truth, at, _ = labels.truth(file.row_ids.tolist(), names)
        scored = file.has_score[at]
        unscored += int((~scored).sum())
        rows.append(at[scored])
        labelled.append(at)
        truths.append(truth[scored])
        paths.extend(map(os.path.realpath, file.paths[at[scored]]))  # a recording may be named in several ways
    if not paths:
        raise InputError(
            f"no window of {labels.source} has a score: its rows were not reached, not read or not recorded"
        )
    number = {path: i for i, path in enumerate(dict.fromkeys(paths))}
    recordings = np.array([number[path] for path in paths], np.int64)
    return Known(tuple(rows), tuple(labelled), names, np.concatenate(truths), recordings, len(missing), unscored)


def _check_unique(files: Sequence[RowFile]) -> None:
    seen: dict[str, RowFile] = {}
    for file in files:
        for row_id in file.row_ids:
            if row_id in seen:
                where = file.source if seen[row_id] is file else f"{seen[row_id].source} and {file.source}"
                raise InputError(
                    f"several rows of {where} are called {row_id}, so that labels cannot tell them apart; run "
                    "perch-run over all recordings at once, where those of the same name are called by their folders"
                )
            seen[row_id] = file


def _refuse(missing: Sequence[str], labels: Labels, row_ids: Sequence[str]) -> None:
    some = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
    like = f"whose row_ids are like {', '.join(row_ids[:2])}" if row_ids else "which are none"
    if len(missing) == len(labels.rows):
        raise InputError(
            f"none of the {len(missing)} windows that {labels.source} labels ({some}) is among the rows, {like}; "
            "name windows so, and run perch-run with the --hop of the labels"
        )
    raise InputError(
        f"{len(missing)} of the {len(labels.rows)} windows that {labels.source} labels are not among the rows "
        f"({some}), {like}; name windows so, or leave these out with --skip-missing"
    )


def explain_unlearnable(known: Known) -> str:
    """Why none of the species can be told apart, and what to label."""
    everywhere = [name for name, column in zip(known.names, known.truth.T, strict=True) if column.all()]
    if len(everywhere) == len(known.names):
        return (
            f"{', '.join(everywhere[:3])} is in every labelled window, so that there is nothing to tell it from; label "
            "windows without it, too, those of no species with an empty cell"
        )
    return (
        "every species (or its absence) is known from one recording only, so that nothing can be learnt in some "
        "recordings and proved in others; label windows of more recordings"
    )
