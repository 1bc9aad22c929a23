"""The result of a run: a table of rows, one a window, in order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError
from runtime.files import replacing

SHOWN_CLASSES = 20
Status = Literal["scored", "filled", "failed"]


@dataclass(frozen=True)
class Failure:
    """A recording that could not be read, or not to its end, and why."""

    path: Path
    reason: str


@dataclass(repr=False)
class Soundscapes:
    """Rows of all recordings, in the order of their sorted paths and then of time.

    `soundscapes["label"]` is `float32 [rows, classes]`, `soundscapes["embedding"]` `float32 [rows, 1280]`, and so on
    for each output that was asked for. Rows without a score are NaN there; `status` says why: "filled" was not
    reached in time, "failed" could not be read.
    """

    row_ids: list[str]
    status: NDArray[np.str_]
    outputs: Mapping[str, NDArray[np.float32]]
    classes: Mapping[str, tuple[str, ...]]
    """Per class head the names of its columns; empty for others."""
    failures: list[Failure]
    timing: Mapping[str, Any]
    """Of the run: `elapsed_s` from the call to the result, of which `start_up_s` until the first worker was ready;
    `windows` scored, `windows_per_s` and `times_real_time` after start-up; `device`, `workers`, `batch_size`."""
    unmapped: list[str] = field(default_factory=list)
    """Wanted classes that the model does not know."""
    recordings: int = 0
    """How many recordings were found."""
    skipped_files: int = 0
    """Files met that are no recordings."""
    fill: float = -1000.0
    """What a CSV holds in rows without a score."""

    def __getitem__(self, output: str) -> NDArray[np.float32]:
        if output not in self.outputs:
            raise InputError(f"the output '{output}' was not asked for; there are {', '.join(self.outputs)}")
        return self.outputs[output]

    def __len__(self) -> int:
        return len(self.row_ids)

    def count(self, status: Status) -> int:
        """How many rows have this status."""
        return int((self.status == status).sum())

    def __repr__(self) -> str:
        return f"<Soundscapes: {self.summary()}>"

    def summary(self) -> str:
        """What a run did, in a few lines."""
        timing = self.timing
        lines = [
            f"{len(self)} rows ({self.count('scored')} scored, {self.count('filled')} filled, "
            f"{self.count('failed')} failed)",
            f"{timing['elapsed_s']:.1f} s on {timing['device']}, {timing['start_up_s']:.1f} s of it start-up; then "
            f"{timing['windows_per_s']:.1f} windows/s, {timing['times_real_time']:.0f} times real time "
            f"(workers: {timing['workers']}, batch: {timing['batch_size']})",
        ]
        if not self.recordings:
            lines = [f"no recordings were found: the sample submission's {len(self)} rows stand in, unscored"]
        elif self.count("filled"):
            lines.append(
                f"{self.count('filled')} rows were not reached before the end; a CSV holds {self.fill:g} there"
            )
        if self.unmapped:
            shown = ", ".join(self.unmapped[:SHOWN_CLASSES])
            more = len(self.unmapped) - SHOWN_CLASSES
            tail = f" and {more} more" if more > 0 else ""
            lines.append(f"{len(self.unmapped)} classes the model does not know got a constant: {shown}{tail}")
        if self.failures:
            lines.append(f"not read, or not to their end: {len(self.failures)} of {self.recordings} recordings")
        if self.skipped_files:
            lines.append(f"skipped, being no recordings: {self.skipped_files} files")
        return "\n".join(lines)

    def to_submission(self, path: str | Path) -> None:
        """Writes a CSV: `row_id`, then one column a class (or `e0`, `e1`, … for an embedding).

        Rows without a score hold the run's `fill`. Numbers are written so that float32 reads back the same.

        Raises:
            InputError: there are several outputs, or one that is no vector; or the file cannot be written.
        """
        check_csv(self.outputs, {name: values.shape[1:] for name, values in self.outputs.items()})
        ((name, values),) = self.outputs.items()
        columns = self.classes.get(name) or tuple(f"e{i}" for i in range(values.shape[1]))
        line = ",%.9g" * values.shape[1] + "\n"
        empty = line % ((self.fill,) * values.shape[1])
        scored = self.status == "scored"
        with (
            replacing(Path(path)) as temporary,
            # names of files, and so row ids, need not be UTF-8
            temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            file.write(",".join(map(_quoted, ("row_id", *columns))) + "\n")
            for row_id, row, is_scored in zip(self.row_ids, values, scored, strict=True):
                file.write(_quoted(row_id) + (line % tuple(row.tolist()) if is_scored else empty))

    def to_npz(self, path: str | Path) -> None:
        """Writes all outputs to one `.npz`: an array for each, `row_ids`, `status`, and `classes` as JSON.

        Raises:
            InputError: the file cannot be written.
        """
        with replacing(Path(path)) as temporary, temporary.open("wb") as file:
            arrays: dict[str, Any] = {
                "row_ids": np.array(self.row_ids, np.str_),
                "status": self.status,
                "classes": np.array(json.dumps(self.classes)),
                **self.outputs,
            }
            np.savez(file, **arrays)


def check_csv(outputs: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuses what a CSV cannot hold.

    Raises:
        InputError: there are several outputs, or one that is no vector.
    """
    if len(outputs) != 1 or any(len(shapes[name]) != 1 for name in outputs):
        raise InputError(f"a CSV holds one vector a row, not {', '.join(outputs)}; write a .npz instead")


def _quoted(text: str) -> str:
    """A CSV field (RFC 4180): quoted only where it must be."""
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\n\r') else text
