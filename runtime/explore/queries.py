"""The windows to search for: rows by their row_id, or places in recordings."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError, reason
from runtime.explore.names import READINGS, comparable
from runtime.explore.rows import RowFile
from runtime.files import composed
from runtime.model.identity import read_true_artifact
from runtime.remote import Location, find, is_url

PLACE = re.compile(r"(.+)@((?:\d+:){0,2}\d+(?:\.\d+)?)")
CLOSE_S = 0.001
"""Starts that differ by less count as equal."""


@dataclass(frozen=True)
class Query:
    """A window to search for.

    text: how the user named it. embedding: float32 `[size]`. rows: where the window itself stands, as (file, row).
    recordings: the paths of its recording in the rows.
    """

    text: str
    embedding: NDArray[np.float32]
    rows: tuple[tuple[int, int], ...] = ()
    recordings: frozenset[str] = frozenset()


def find_query(text: str, files: Sequence[RowFile], model: Path | None) -> Query:
    """Finds the window `ROW_ID` or `RECORDING@SECONDS` among the rows; `model` embeds a window that has no row.

    A recording is named by its path or by the end of its path.

    Raises:
        InputError: there is no such window, or several, such as those of each channel; it has no score; or the
            recording cannot be read.
    """
    rows = [(f, int(row)) for f, file in enumerate(files) for row in np.flatnonzero(file.row_ids == text)]
    if not rows:
        form = comparable(text)
        forms = [map(comparable, file.row_ids) for file in files]
        rows = [(f, row) for f, names in enumerate(forms) for row, name in enumerate(names) if name == form]
    if len({files[f].paths[row] for f, row in rows}) > 1:
        raise InputError(f"several windows are called {text}; name one as RECORDING@SECONDS")
    if rows:
        return _of_row(text, files, rows)
    place = PLACE.fullmatch(text)
    if place is None:
        some = ", ".join(map(str, files[0].row_ids[:2]))
        raise InputError(
            f"no row is called {text}; give a row_id{f' such as {some}' if some else ''}, or RECORDING@SECONDS"
        )
    recording = place[1]
    start_s = sum(float(part) * 60**i for i, part in enumerate(reversed(place[2].split(":"))))
    path = _recording(recording, files)
    starts: list[float] = []
    for f, file in enumerate(files):
        here = np.flatnonzero(file.paths == path) if path is not None else np.empty(0, np.int64)
        starts.extend(file.start_s[here])
        rows += [(f, int(row)) for row in here[np.abs(file.start_s[here] - start_s) < CLOSE_S]]
    if rows:
        _check_channel(text, files, rows)
        return _of_row(text, files, rows)
    if model is None:
        near = ", ".join(f"{start:g}" for start in sorted(set(starts), key=lambda start: abs(start - start_s))[:2])
        what = (
            f"no window of {path} starts at {start_s:g} s (near it: {near})"
            if path
            else f"no row belongs to {recording}"
        )
        raise InputError(f"{what}; `--model perch.onnx` scores the recording itself")
    embedding = embed(_file(recording if path is None or os.path.isfile(recording) else path), start_s, files[0], model)
    return Query(text, embedding, recordings=frozenset() if path is None else frozenset({path}))


def _check_channel(text: str, files: Sequence[RowFile], rows: Sequence[tuple[int, int]]) -> None:
    """Raises InputError if these rows of one place are of several channels, each scored by itself."""
    names = {
        files[f].channel(row): files[f].row_ids[row] for f, row in rows if files[f].options.get("channel") == "each"
    }
    if len(names) > 1:
        raise InputError(f"{text} is {' or '.join(names.values())}; name one of them")


def _of_row(text: str, files: Sequence[RowFile], rows: Sequence[tuple[int, int]]) -> Query:
    """The query for these rows, which are one window in several files."""
    for f, row in rows:
        embedding = files[f].row("embedding", row)
        if np.isfinite(embedding).all():
            return Query(text, embedding, tuple(rows), frozenset(files[f].paths[row] for f, row in rows))
    source = files[rows[0][0]].source
    raise InputError(f"the row of {text} in {source} has no score: it was not reached, not readable or not recorded")


def _recording(name: str, files: Sequence[RowFile]) -> str | None:
    """The path of a recording in the rows; None if no row has it."""
    paths = dict.fromkeys(path for file in files for path in dict.fromkeys(file.paths))
    if name in paths:
        return name
    absolute = os.path.abspath(name)
    matches = [path for path in paths if os.path.abspath(path) == absolute]
    for read in READINGS:
        parts = read(composed(name)).parts
        matches = matches or [path for path in paths if read(composed(path)).parts[-len(parts) :] == parts]
    if len(matches) > 1:
        raise InputError(f"{name} may be {matches[0]} or {matches[1]}; name more of its path")
    return matches[0] if matches else None


def _file(name: str) -> Location:
    """A recording to read."""
    if not is_url(name):
        return Path(name)
    try:
        return find(name)[""]
    except (OSError, KeyError) as error:
        why = "there is no such file" if isinstance(error, KeyError) else reason(error)
        raise InputError(f"cannot listen to {name}: {why}") from None


def embed(path: Location, start_s: float, rows: RowFile, model: Path) -> NDArray[np.float32]:
    """The embedding of the window at `start_s` of a recording, float32 `[size]`, with the options of `rows`.

    Raises:
        InputError: the recording cannot be read there, or ends before; or rows are of each channel, and it has several.
    """
    from runtime.audio.channels import Channel
    from runtime.audio.recording import Part, Recording
    from runtime.model.session import Session

    artifact = read_true_artifact(model)
    rate, size = artifact.sample_rate, artifact.window_samples
    start = round(start_s * rate)
    # With `start` as the hop, the wanted window has the index 1.
    index = 1 if start else 0
    asked = rows.options.get("channel")
    channel: Channel = asked if isinstance(asked, int) or asked == "loudest" else "mix"
    recording = Recording(path, rate, size, start or size, rows.options.get("normalize", "raw"), channel=channel)
    window = next(recording.windows(Part(0, index + 1), offset=index), None)
    if window is None or window.samples is None:
        why = "it ends before" if window is None or window.recorded else "nothing was recorded there"
        raise InputError(f"cannot listen to {path} at {start_s:g} s: {recording.failure or why}")
    if asked == "each" and recording.channels > 1:
        raise InputError(
            f"{path} has {recording.channels} channels, and each row of {rows.source} is of one; name a row, or save "
            "one channel in a file of its own and name that"
        )
    return Session(model).run(window.samples[None], ("embedding",), 1)["embedding"][0]
