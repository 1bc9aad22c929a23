"""Labelled rows: a label file joined with the rows of runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError
from runtime.explore.label_files import Labels, NotLearnableError
from runtime.explore.rows import RowFile
from runtime.remote import is_url


@dataclass(frozen=True)
class LabelledRows:
    """The labelled rows that were scored, in the order of the files and their rows.

    Interpolated ones are left out: their embedding is no window's.

    rows: per file, the places of its labelled rows that were scored, int64 `[rows]`.
    answered: per file, the places of all its rows that are labelled or unsure, scored or not.
    random: per file, the places of its scored rows that were answered in random order (and may be no longer).
    names: the species in the labels, sorted.
    truth: which species each row holds, bool `[rows, species]`.
    recordings: a number for the recording of each row, int64 `[rows]`, from 0.
    skipped: how many answered windows have no row; unscored: how many labelled ones have a row that was not scored.
    """

    rows: tuple[NDArray[np.int64], ...]
    answered: tuple[NDArray[np.int64], ...]
    random: tuple[NDArray[np.int64], ...]
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
        parts = []
        for file, rows in zip(files, self.rows, strict=True):
            for start, values in file.blocks(output):
                if not len(rows) or start > rows[-1]:
                    break
                inside = rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + len(values))] - start
                picked = values[inside]
                parts.append(picked if columns is None else picked[:, columns])
        return np.concatenate(parts)


def join(files: Sequence[RowFile], labels: Labels, skip_missing: bool = False) -> LabelledRows:
    """Finds the row of each labelled window.

    Raises:
        InputError: some answered windows have no row (with `skip_missing`: none has one); two rows have the same
            row_id; or no labelled row has a score.
    """
    check_unique(files)
    row_ids = [row_id for file in files for row_id in file.row_ids]
    labels = labels.among(row_ids, [path for file in files for path in file.paths])
    windows = labels.rows.keys() | labels.unsure
    missing = sorted(windows - set(map(labels.key, row_ids)))
    if missing and (len(missing) == len(windows) or not skip_missing):
        _refuse(missing, len(windows), labels.source, row_ids)
    names = tuple(sorted(labels.names))
    rows, answered, random, truths = [], [], [], []
    paths: list[str] = []
    unscored = 0
    for file in files:
        truth, at, _ = labels.truth(file.row_ids.tolist(), names)
        scored = file.scored[at]
        unscored += int((~scored).sum())
        rows.append(at[scored])
        answered.append(np.union1d(at, _places(file, labels, labels.unsure)))
        drawn = _places(file, labels, labels.random)
        random.append(drawn[file.scored[drawn]])
        truths.append(truth[scored])
        paths.extend(map(_real, file.paths[at[scored]]))
    if not paths:
        raise NotLearnableError(
            f"no window of {labels.source} was scored: its rows were interpolated, not reached, not readable or not "
            "recorded"
        )
    number = {path: i for i, path in enumerate(dict.fromkeys(paths))}
    recordings = np.array([number[path] for path in paths], np.int64)
    return LabelledRows(
        rows=tuple(rows),
        answered=tuple(answered),
        random=tuple(random),
        names=names,
        truth=np.concatenate(truths),
        recordings=recordings,
        skipped=len(missing),
        unscored=unscored,
    )


def _places(file: RowFile, labels: Labels, few: frozenset[str]) -> NDArray[np.int64]:
    """The places of a file's rows that are among these of the labels."""
    return np.array([i for i, row_id in enumerate(file.row_ids) if few and labels.key(row_id) in few], np.int64)


def _real(path: str) -> str:
    """A recording may be named in several ways, but has one URL."""
    return path if is_url(path) else os.path.realpath(path)


def check_unique(files: Sequence[RowFile]) -> None:
    """Raises InputError if two rows have the same row_id."""
    seen: dict[str, RowFile] = {}
    for file in files:
        for row_id in file.row_ids:
            if row_id in seen:
                where = file.source if seen[row_id] is file else f"{seen[row_id].source} and {file.source}"
                raise InputError(
                    f"several rows of {where} are called {row_id}, so a label cannot say which it means; run "
                    "perch-run over all recordings at once: recordings with the same name then keep their folders"
                )
            seen[row_id] = file


def _refuse(missing: Sequence[str], count: int, source: str, row_ids: Sequence[str]) -> None:
    some = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
    like = f"whose row_ids look like {', '.join(row_ids[:2])}" if row_ids else "of which there are none"
    if len(missing) == count:
        raise NotLearnableError(
            f"none of the windows that {source} labels ({some}) is among the rows, {like}; "
            "name windows like that, and run perch-run with the --hop of the labels"
        )
    raise InputError(
        f"{len(missing)} of the {count} windows that {source} labels are not among the rows "
        f"({some}), {like}; name windows like that, or leave these out with --skip-missing"
    )


def explain_not_learnable(labelled: LabelledRows) -> str:
    """Why no species can be learnt, and what to label."""
    everywhere = [name for name, column in zip(labelled.names, labelled.truth.T, strict=True) if column.all()]
    if len(everywhere) == len(labelled.names):
        return (
            f"{', '.join(everywhere[:3])} is in every labelled window, so there is nothing to tell it from; also label "
            "windows without it, with an empty cell where a window holds no species"
        )
    return (
        "the labels of every species (or of its absence) come from one recording, so nothing can be learnt from some "
        "recordings and tested on others; label windows of more recordings"
    )
