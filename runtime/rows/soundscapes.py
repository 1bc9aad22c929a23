"""The result of a run: a table of rows, one a window, in order."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.classes.class_map import ClassMap
from runtime.detections import Detections
from runtime.errors import InputError
from runtime.files import check_outputs, replacing
from runtime.rows.block import Block, Columns, Status, by_recording
from runtime.rows.formats import row_format
from runtime.rows.timing import Timing


@dataclass(frozen=True)
class Failure:
    """A recording that could not be read, or not to its end, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Note:
    """Something to know of a recording that was read all the same, as a phrase that follows its path."""

    path: Path
    text: str


@dataclass(repr=False)
class Soundscapes:
    """Rows of all recordings, in the order of their sorted paths and then of time, or those of a sample submission.

    `soundscapes["label"]` is `float32 [rows, classes]`, `soundscapes["embedding"]` `float32 [rows, 1280]` (1536 of
    Perch v2), `soundscapes["spatial_embedding"]` `float32 [rows, 16, 4, 1536]`, and so on for each output that was
    asked for. Rows without a score are NaN there; `status` says why: "filled" was not
    reached in time, "failed" could not be read, "unrecorded" lies in a silent stretch that a triggered recorder did not
    write; "interpolated" rows have the mean of their scored neighbours. These arrays may be written to: what is in them
    then is what files get.

    Where rows went to a file as they came (`sink`) they are in that file alone, and all else is here.
    """

    blocks: Sequence[Block]
    columns: Columns
    failures: list[Failure]
    timing: Timing
    """How long the run took, and how fast it was."""
    notes: list[Note] = field(default_factory=list)
    """What is odd about recordings that were scored all the same, such as a header that was never finished."""
    counts: Mapping[str, int] = field(default_factory=Counter)
    """How many rows have each status."""
    class_map: ClassMap | None = None
    """How wanted classes are met by the model's columns."""
    namespace: str | None = None
    """The class list in which wanted classes were looked up first, if that is not the model's first."""
    recordings: int = 0
    """How many recordings were found."""
    without_events: int = 0
    """Where windows are around events: recordings without any, which have no rows."""
    not_reached: int = 0
    """Where windows are around events: recordings not scored in time, or not to their end, whose rows are missing."""
    skipped_files: int = 0
    """Files met that are no recordings."""
    unread_folders: Sequence[str] = ()
    """Folders that could not be read, and may hold recordings."""
    passed_over: Sequence[str] = ()
    """Lines about what was met and is not scored: files that are no recordings, hidden folders and so on."""
    lacking: int = 0
    """How many of the "filled" rows are a sample submission's that no recording has."""
    dropped: int = 0
    """How many rows that recordings have and the sample submission has not were dropped."""
    detections: int | None = None
    """How many detections were written, where they are what was asked for."""
    detected: str = ""
    """What the summary says of them."""
    of_sample: Sequence[str] = ()
    """What the summary says of a sample submission's rows."""
    ill_conditioned: str | None = None
    """What rounding does to the model's outputs, where that is more than usual."""
    fill: float = -1000.0
    """What a CSV holds in rows without a score."""
    sink: Path | None = None
    """The file that holds the rows, if they are not here."""
    reads: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The files that the run read, by what they are: none of them is written over."""

    @cached_property
    def row_ids(self) -> list[str]:
        """The name of each row: `{file stem}_{end second}`."""
        return [row_id for block in self._blocks() for row_id in block.row_ids]

    @cached_property
    def status(self) -> NDArray[np.str_]:
        """What became of each row."""
        return np.concatenate([np.empty(0, "<U12"), *(block.status for block in self._blocks())])

    @property
    def unmapped(self) -> list[str]:
        """Wanted classes that are constants, since the model knows neither them nor, if asked for, their genus."""
        return self.class_map.unmapped if self.class_map is not None else []

    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        """Per class head the names of its columns, in the namespace asked for; empty for others."""
        return self.columns.classes

    @cached_property
    def outputs(self) -> Mapping[str, NDArray[np.floating]]:
        """All outputs by name."""
        blocks = self._blocks()
        outputs: dict[str, NDArray[np.floating]] = {}
        for name, shape in self.columns.shapes.items():
            empty = np.empty((0, *shape), self.columns.dtypes.get(name, np.float32))
            outputs[name] = np.concatenate([empty, *(block.outputs[name] for block in blocks)])
        # From now on blocks share the memory of these, so that both hold what somebody writes to one of them.
        self.blocks = _shared(blocks, outputs)
        return MappingProxyType(outputs)

    def __getitem__(self, output: str) -> NDArray[np.float32]:
        return self.outputs[self._asked(output)]

    def _asked(self, output: str) -> str:
        if output not in self.columns.shapes:
            raise InputError(f"the output '{output}' was not asked for; there are {', '.join(self.columns.shapes)}")
        return output

    def __setitem__(self, output: str, values: ArrayLike) -> None:
        """`soundscapes["label"] = …` writes into the array that is there."""
        self[output][:] = _fitting(values, self[output].shape, output)

    def _blocks(self) -> Sequence[Block]:
        if self.sink is not None:
            raise InputError(f"the rows are in {self.sink}, where they were sent to; read that file")
        return self.blocks

    def __len__(self) -> int:
        return sum(self.counts.values())

    def count(self, status: Status) -> int:
        """How many rows have this status."""
        return self.counts.get(status, 0)

    def __repr__(self) -> str:
        return f"<Soundscapes: {self.summary()}>"

    def summary(self) -> str:
        """What a run did, in a few lines."""
        timing = self.timing
        shown = [each for each in get_args(Status) if each not in ("interpolated", "unrecorded") or self.count(each)]
        counted = [f"{self.count(status)} {status}" for status in shown]
        rows = f"{len(self)} {'windows' if self.detected else 'rows'} ({', '.join(counted)})"
        lines = [
            *([self.detected] if self.detected else []),
            rows,
            f"{timing.elapsed_s:.1f} s on {timing.device}, {timing.start_up_s:.1f} s of it start-up; then "
            f"{timing.windows_per_s:.1f} windows/s, {timing.times_real_time:.0f} times real time",
            f"workers {timing.workers}, threads {timing.threads}, batch {timing.batch_size}: {timing.setup}",
        ]
        if not self.recordings:
            lines = [f"no recordings were found: the sample submission's {len(self)} rows stand in, unscored"]
        elif left := self.count("filled") - self.lacking:
            lines.append(f"{left} rows were not reached before the end; a CSV holds {self.fill:g} there")
        lines += self.of_sample
        if self.count("interpolated"):
            share = self.count("scored") / len(self)
            lines.append(f"{share:.0%} of the rows were measured; interpolated ones are means of their neighbours")
        if self.namespace is not None:
            lines.append(f"classes were looked up first in the model's list {self.namespace}")
        if self.class_map is not None:
            lines.append(f"classes: {self.class_map.summary()}")
        if self.without_events:
            lines.append(
                f"without an event, and so without rows: {self.without_events} of {self.recordings} recordings"
            )
        if self.not_reached:
            lines.append(f"not reached before the end: {self.not_reached} of {self.recordings} recordings")
        if self.failures:
            lines.append(f"not read, or not to their end: {len(self.failures)} of {self.recordings} recordings")
        if self.notes:
            lines.append(f"scored, but look at them: {len({note.path for note in self.notes})} recordings")
        if self.ill_conditioned is not None:
            lines.append(f"the model is {self.ill_conditioned}")
        return "\n".join([*lines, *self.passed_over])

    def to_submission(self, path: str | Path, output: str | None = None, scores: ArrayLike | None = None) -> None:
        """Writes a CSV: `row_id`, then one column a class (or `e0`, `e1`, … for an embedding).

        Rows that are NaN, as those without a score are, hold the run's `fill`. Numbers are written so that float32
        reads back the same.

        Args:
            path: the file.
            output: which one, if there are several.
            scores: what is written instead of that output, `[rows, columns]`, such as a mean of several models' scores.
                Its rows that are NaN from end to end get `fill`.

        Raises:
            InputError: there are several outputs and none is named; it is no vector; scores are of another shape, NaN
                in parts of a row, or infinite; or the file cannot be written.
        """
        names = list(self.columns.shapes)
        if output is None and len(names) > 1 and not (scores is not None and "label" in names):
            raise InputError(
                f"a CSV holds one output, not {', '.join(names)}; say which, such as output='{names[0]}', or write a "
                ".parquet or .npz instead"
            )
        name = self._asked(output or ("label" if len(names) > 1 else names[0]))
        columns = self.columns.only(name)
        row_format(".csv", columns, self.recordings, None)  # refuses what is no vector
        blocks = self._blocks()
        if scores is not None:
            given = _fitting(scores, (sum(map(len, blocks)), *columns.shapes[name]), name)
            blocks = _shared(blocks, {name: given})
        for block in blocks:
            _check(block.outputs[name], block.row_ids, columns.classes.get(name) or ())
        self._write(Path(path), ".csv", blocks, columns)

    def to_parquet(self, path: str | Path) -> None:
        """Writes Parquet: row_id, path, start_s, end_s, status, and each output as a list of fixed size.

        Raises:
            InputError: pyarrow is missing, or the file cannot be written.
        """
        self._write(Path(path), ".parquet", self._blocks(), self.columns)

    def to_detections(self, path: str | Path, detections: Detections) -> None:
        """Writes the windows and classes that score highest to a CSV, Raven or Audacity table (see `Detections`).

        Where the order of rows is a sample submission's, those of each recording come together.

        Raises:
            InputError: the rows hold not one output with classes, or the file cannot be written.
        """
        self._write(Path(path), None, list(by_recording(self._blocks())), self.columns, detections)

    def _write(
        self,
        path: Path,
        ending: str | None,
        blocks: Sequence[Block],
        columns: Columns,
        detections: Detections | None = None,
    ) -> None:
        form = row_format(path if ending is None else ending, columns, self.recordings, detections)
        names = dict.fromkeys(block.row_ids[0].rpartition("_")[0] for block in blocks if len(block))
        check_outputs({"the rows": form.files(path, names)}, self.reads)
        form.write(blocks, path, columns, self.fill)

    def to_npz(self, path: str | Path) -> None:
        """Writes all outputs to one `.npz`: an array for each; `row_ids`, `path`, `start_s`, `end_s` and `status`; and
        as JSON `classes` and `about`, what made the rows.

        Raises:
            InputError: the file cannot be written.
        """
        check_outputs({"the rows": path}, self.reads)
        with replacing(Path(path)) as temporary, temporary.open("wb") as file:
            arrays: dict[str, Any] = {
                "row_ids": np.array(self.row_ids, np.str_),
                "path": np.array([path for block in self._blocks() for path in block.row_paths], np.str_),
                "start_s": np.concatenate([np.empty(0), *(block.start_s for block in self._blocks())]),
                "end_s": np.concatenate([np.empty(0), *(block.end_s for block in self._blocks())]),
                "status": self.status,
                "classes": np.array(json.dumps(self.classes)),
                "about": np.array(json.dumps(self.columns.about)),
                **self.outputs,
            }
            np.savez(file, **arrays)


def _shared(blocks: Sequence[Block], outputs: Mapping[str, NDArray[np.floating]]) -> list[Block]:
    """The same rows with these outputs, of all of them, cut up."""
    starts = np.cumsum([0, *map(len, blocks)]).tolist()
    return [
        replace(block, outputs={name: values[start : start + len(block)] for name, values in outputs.items()})
        for block, start in zip(blocks, starts)
    ]


def _fitting(scores: ArrayLike, shape: tuple[int, ...], name: str) -> NDArray[np.floating]:
    """What somebody gives in place of an output's values."""
    try:
        given = np.ascontiguousarray(np.asarray(scores, np.float32))
    except (TypeError, ValueError):
        raise InputError(f"scores in place of '{name}' are no array of numbers") from None
    if given.shape != shape:
        raise InputError(
            f"scores in place of '{name}' have the shape {given.shape}, but its rows and columns are {shape}"
        )
    return given


def _check(values: NDArray[np.floating], row_ids: Sequence[str], classes: Sequence[str]) -> None:
    """Refuses what a submission cannot hold."""
    if not values.strides[0]:  # of rows that were not reached, which take no memory and nobody can write to
        return
    finite = np.isfinite(values)
    for row in np.flatnonzero(~finite.all(axis=1) & ~np.isnan(values).all(axis=1))[:1].tolist():
        at = int(np.flatnonzero(~finite[row])[0])
        column = f"'{classes[at]}'" if classes else f"e{at}"
        raise InputError(
            f"the score of {column} in the row {row_ids[row]} is {values[row, at]}; a row holds finite numbers, or NaN "
            "from end to end where it has none"
        )
