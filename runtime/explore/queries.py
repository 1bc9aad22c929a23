"""The windows that others are to be like: rows by their row_id, or places in recordings."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError
from runtime.explore.names import READINGS, comparable, composed
from runtime.explore.rows import RowFile
from runtime.model.identity import read_true_artifact

PLACE = re.compile(r"(.+)@((?:\d+:){0,2}\d+(?:\.\d+)?)")
CLOSE_S = 0.001
"""Starts that differ by less are the same."""


@dataclass(frozen=True)
class Query:
    """A window as it was asked for, and its embedding, float32 `[size]`.

    `rows` are the rows that it has, as the number of a file and of a row in it. `recordings` are the paths that its
    recording has in the rows.
    """

    text: str
    embedding: NDArray[np.float32]
    rows: tuple[tuple[int, int], ...] = ()
    recordings: frozenset[str] = frozenset()


def find_query(text: str, files: Sequence[RowFile], model: Path | None) -> Query:
    """Finds the window `ROW_ID` or `RECORDING@SECONDS` among the rows; `model` embeds one that is not there.

    A recording is named by its path or by the end of it.

    Raises:
        InputError: there is no such window, several, or one without a score; or the model is not the rows' own.
    """
    found = [(f, int(row)) for f, file in enumerate(files) for row in np.flatnonzero(file.row_ids == text)]
    if not found:
        form = comparable(text)
        forms = [map(comparable, file.row_ids) for file in files]
        found = [(f, row) for f, names in enumerate(forms) for row, name in enumerate(names) if name == form]
    if len({files[f].paths[row] for f, row in found}) > 1:
        raise InputError(f"several windows are called {text}; say which as RECORDING@SECONDS")
    if found:
        return _of_row(text, files, found)
    place = PLACE.fullmatch(text)
    if place is None:
        some = ", ".join(map(str, files[0].row_ids[:2]))
        raise InputError(
            f"no row is called {text}; give a row_id{f' such as {some}' if some else ''}, or RECORDING@SECONDS"
        )
    recording = place[1]
    start_s = sum(float(part) * 60**i for i, part in enumerate(reversed(place[2].split(":"))))
    path = _recording(recording, files)
    found = []
    starts: list[float] = []
    for f, file in enumerate(files):
        rows = np.flatnonzero(file.paths == path) if path is not None else np.empty(0, np.int64)
        starts.extend(file.start_s[rows])
        found += [(f, int(row)) for row in rows[np.abs(file.start_s[rows] - start_s) < CLOSE_S]]
    if found:
        return _of_row(text, files, found)
    if model is None:
        near = ", ".join(f"{start:g}" for start in sorted(set(starts), key=lambda start: abs(start - start_s))[:2])
        what = f"no window of {path} starts at {start_s:g} s (near it: {near})" if path else f"no row is of {recording}"
        raise InputError(f"{what}; with `--model perch.onnx` the recording itself is listened to")
    there = Path(recording if path is None or os.path.isfile(recording) else path)
    embedding = embed(there, start_s, files[0], model)
    return Query(text, embedding, recordings=frozenset() if path is None else frozenset({path}))


def _of_row(text: str, files: Sequence[RowFile], found: Sequence[tuple[int, int]]) -> Query:
    """The window of these rows, which are the same in several files."""
    for f, row in found:
        embedding = files[f].row("embedding", row)
        if np.isfinite(embedding).all():
            return Query(text, embedding, tuple(found), frozenset(files[f].paths[row] for f, row in found))
    source = files[found[0][0]].source
    raise InputError(f"the row of {text} in {source} has no score: it was not reached, not read or not recorded")


def _recording(name: str, files: Sequence[RowFile]) -> str | None:
    """The path that the rows have for a recording; None if they have none of this name."""
    paths = dict.fromkeys(path for file in files for path in dict.fromkeys(file.paths))
    if name in paths:
        return name
    whole = os.path.abspath(name)
    found = [path for path in paths if os.path.abspath(path) == whole]
    for read in READINGS:
        parts = read(composed(name)).parts
        found = found or [path for path in paths if read(composed(path)).parts[-len(parts) :] == parts]
    if len(found) > 1:
        raise InputError(f"{name} may be {found[0]} or {found[1]}; name more of its path")
    return found[0] if found else None


def embed(path: Path, start_s: float, rows: RowFile, model: Path) -> NDArray[np.float32]:
    """The embedding of a recording's window that starts so many seconds in, float32 `[size]`, as `rows` were made.

    Raises:
        InputError: the recording cannot be read or ends before; or `model` is another than the rows'.
    """
    from runtime.audio.recording import Part, Recording
    from runtime.model.session import Session

    artifact = read_true_artifact(model)
    rate, size = artifact.sample_rate, artifact.window_samples
    start = round(start_s * rate)
    # The window of index 1, where that is the hop.
    index = 1 if start else 0
    recording = Recording(path, rate, size, start or size, rows.options.get("normalize", "raw"))
    window = next(recording.windows(Part(0, index + 1), offset=index), None)
    if window is None or window.samples is None:
        why = "it ends before" if window is None or window.recorded else "that was not recorded"
        raise InputError(f"cannot listen to {path} at {start_s:g} s: {recording.failure or why}")
    return Session(model).run(window.samples[None], ("embedding",), 1)["embedding"][0]
