"""The result of a run: a table of rows, one a window, in order."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from runtime.block import Block, Columns
from runtime.classes import ClassMap
from runtime.detections import Detections
from runtime.errors import InputError
from runtime.files import replacing
from runtime.formats import row_format

Status = Literal["scored", "interpolated", "filled", "failed"]


@dataclass(frozen=True)
class Failure:
    """A recording that could not be read, or not to its end, and why."""

    path: Path
    reason: str


@dataclass(repr=False)
class Soundscapes:
    """Rows of all recordings, in the order of their sorted paths and then of time.

    `soundscapes["label"]` is `float32 [rows, classes]`, `soundscapes["embedding"]` `float32 [rows, 1280]` (1536 of
    Perch v2), `soundscapes["spatial_embedding"]` `float32 [rows, 16, 4, 1536]`, and so on for each output that was
    asked for. Rows without a score are NaN there; `status` says why: "filled" was not
    reached in time, "failed" could not be read; "interpolated" rows have the mean of their scored neighbours.

    Where rows went to a file as they came (`sink`) they are in that file alone, and all else is here.
    """

    blocks: Sequence[Block]
    columns: Columns
    failures: list[Failure]
    timing: Mapping[str, Any]
    """Of the run: `elapsed_s` from the call to the result, of which `start_up_s` until the first worker was ready;
    `windows` scored, `windows_per_s` and `times_real_time` after start-up; `device`, `workers`, `threads`,
    `batch_size`; and `setup`, why those three."""
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
    ill_conditioned: str | None = None
    """What rounding does to the model's outputs, where that is more than usual."""
    fill: float = -1000.0
    """What a CSV holds in rows without a score."""
    sink: Path | None = None
    """The file that holds the rows, if they are not here."""

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
        return {
            name: np.concatenate(
                [
                    np.empty((0, *shape), self.columns.dtypes.get(name, np.float32)),
                    *(b.outputs[name] for b in self._blocks()),
                ]
            )
            for name, shape in self.columns.shapes.items()
        }

    def __getitem__(self, output: str) -> NDArray[np.float32]:
        if output not in self.columns.shapes:
            raise InputError(f"the output '{output}' was not asked for; there are {', '.join(self.columns.shapes)}")
        return self.outputs[output]

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
        counted = [f"{self.count(status)} {status}" for status in get_args(Status)]
        if not self.count("interpolated"):
            del counted[1]
        lines = [
            f"{len(self)} rows ({', '.join(counted)})",
            f"{timing['elapsed_s']:.1f} s on {timing['device']}, {timing['start_up_s']:.1f} s of it start-up; then "
            f"{timing['windows_per_s']:.1f} windows/s, {timing['times_real_time']:.0f} times real time",
            f"workers {timing['workers']}, threads {timing['threads']}, batch {timing['batch_size']}: "
            f"{timing['setup']}",
        ]
        if not self.recordings:
            lines = [f"no recordings were found: the sample submission's {len(self)} rows stand in, unscored"]
        elif self.count("filled"):
            lines.append(
                f"{self.count('filled')} rows were not reached before the end; a CSV holds {self.fill:g} there"
            )
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
        if self.ill_conditioned is not None:
            lines.append(f"the model is {self.ill_conditioned}")
        if self.skipped_files:
            lines.append(f"skipped, being no recordings: {self.skipped_files} files")
        return "\n".join(lines)

    def to_submission(self, path: str | Path) -> None:
        """Writes a CSV: `row_id`, then one column a class (or `e0`, `e1`, … for an embedding).

        Rows without a score hold the run's `fill`. Numbers are written so that float32 reads back the same.

        Raises:
            InputError: there are several outputs, or one that is no vector; or the file cannot be written.
        """
        self._write(Path(path), ".csv")

    def to_parquet(self, path: str | Path) -> None:
        """Writes Parquet: row_id, path, start_s, end_s, status, and each output as a list of fixed size.

        Raises:
            InputError: pyarrow is missing, or the file cannot be written.
        """
        self._write(Path(path), ".parquet")

    def to_detections(self, path: str | Path, detections: Detections) -> None:
        """Writes the windows and classes that score highest to a CSV, Raven or Audacity table (see `Detections`).

        Raises:
            InputError: the rows hold not one output with classes, or the file cannot be written.
        """
        self._write(Path(path), None, detections)

    def _write(self, path: Path, ending: str | None, detections: Detections | None = None) -> None:
        form = row_format(path if ending is None else ending, self.columns, self.recordings, detections)
        form.write(self._blocks(), path, self.columns, self.fill)

    def to_npz(self, path: str | Path) -> None:
        """Writes all outputs to one `.npz`: an array for each; `row_ids`, `path`, `start_s`, `end_s` and `status`; and
        as JSON `classes` and `about`, what made the rows.

        Raises:
            InputError: the file cannot be written.
        """
        with replacing(Path(path)) as temporary, temporary.open("wb") as file:
            arrays: dict[str, Any] = {
                "row_ids": np.array(self.row_ids, np.str_),
                "path": np.array([block.path for block in self._blocks() for _ in range(len(block))], np.str_),
                "start_s": np.concatenate([np.empty(0), *(block.start_s for block in self._blocks())]),
                "end_s": np.concatenate([np.empty(0), *(block.end_s for block in self._blocks())]),
                "status": self.status,
                "classes": np.array(json.dumps(self.classes)),
                "about": np.array(json.dumps(self.columns.about)),
                **self.outputs,
            }
            np.savez(file, **arrays)
