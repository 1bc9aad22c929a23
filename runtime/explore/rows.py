"""The rows of a run, read from the Parquet file or `.npz` that it wrote."""

from __future__ import annotations

import contextlib
import copy
import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.audio.channels import Channel, channel_of
from runtime.errors import InputError, PerchError, reason
from runtime.explore.checks import MOST_VALUE, NotRowsError, check_names, check_times, lacking
from runtime.explore.row_files import REPEATED, TIMES, open_npz, open_parquet
from runtime.files import file_stamp
from runtime.rows.arrow import output_values

BLOCK_BYTES = 32 * 2**20
"""How much of an output is read at a time."""
MOST_BLOCKS = 8
"""Larger row groups are read in pieces. (Reading one at once takes half the time, but memory for all of it.)"""


@dataclass(frozen=True)
class RowFile:
    """A file of rows, read on demand.

    shapes: of one row of each output. classes: column names of class heads, empty for other outputs. about: metadata on
    what made the rows (see docs/outputs.md).
    """

    source: Path
    count: int
    shapes: Mapping[str, tuple[int, ...]]
    classes: Mapping[str, tuple[str, ...]]
    about: Mapping[str, str]
    _file: Any = field(repr=False)
    stamp: tuple[int, ...] = ()
    """What changes when somebody writes the file anew."""

    @cached_property
    def row_ids(self) -> NDArray[np.object_]:
        """The name of each row."""
        return self._column("row_id")

    @cached_property
    def paths(self) -> NDArray[np.object_]:
        """The recording of each row, as the run was given it."""
        return self._column("path")

    @cached_property
    def start_s(self) -> NDArray[np.float64]:
        """Where each window starts in its recording, in seconds."""
        return self._column("start_s")

    @cached_property
    def end_s(self) -> NDArray[np.float64]:
        """Where each window ends, in seconds."""
        return self._column("end_s")

    @cached_property
    def status(self) -> NDArray[np.object_]:
        """The status of each row."""
        return self._column("status")

    @cached_property
    def recorded_at(self) -> NDArray[np.object_]:
        """When each window begins, as the run wrote it; empty where that is unknown."""
        return self._optional("recorded_at")

    @cached_property
    def site(self) -> NDArray[np.object_]:
        """The site of each row; empty where that is unknown."""
        return self._optional("site")

    @cached_property
    def has_score(self) -> NDArray[np.bool_]:
        """Which rows hold numbers: scored and interpolated ones."""
        return np.isin(self.status.astype(np.str_), ("scored", "interpolated"))

    @cached_property
    def scored(self) -> NDArray[np.bool_]:
        """Which rows hold what the model gave for their window, not a mean of neighbours."""
        return self.status.astype(np.str_) == "scored"

    @cached_property
    def options(self) -> Mapping[str, Any]:
        """The options of the run that its rows depend on."""
        return dict(json.loads(self.about.get("options", "{}")))

    @cached_property
    def pooled_by(self) -> str | None:
        """The option that makes a row of several windows: its embedding is their mean, which is no window's."""
        return next((name for name in ("pool", "shifts") if self.options.get(name)), None)

    def channel(self, row: int) -> Channel:
        """The channel that was scored.

        Raises:
            InputError: every channel was, and the row's name does not say which it is of.
        """
        asked = self.options.get("channel")
        if asked != "each":
            return asked if isinstance(asked, int) or asked == "loudest" else "mix"
        try:
            return channel_of(self.row_ids[row])
        except ValueError:
            raise InputError(
                f"{self.source} was made with --channel each, but its row {self.row_ids[row]} names no channel, as "
                "a_ch2_5 does; run perch-run again"
            ) from None

    def output(self, name: str) -> NDArray[np.float32]:
        """A whole output, float32 `[rows, …]`, NaN in rows without a score.

        Raises:
            InputError: the file does not hold it, or is damaged.
        """
        parts = [block for _, block in self.blocks(name)]
        return np.concatenate(parts) if parts else np.empty((0, *self.shapes[name]), np.float32)

    def blocks(self, name: str) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """An output in pieces: the place of the first row, and float32 `[rows, …]`, NaN in rows without a score.

        Raises:
            InputError: the file does not hold it, or is damaged.
        """
        self.check_holds(name)
        size = max(1, BLOCK_BYTES // (4 * int(np.prod(self.shapes[name]))))
        start = 0
        for values in self._pieces(name, size):
            yield start, self._of_scored(name, start, values)
            start += len(values)

    def row(self, name: str, index: int) -> NDArray[np.float32]:
        """An output of one row, float32 `[…]`, NaN if it has no score.

        Raises:
            InputError: the file does not hold it, or is damaged.
        """
        self.check_holds(name)
        if isinstance(self._file, dict):
            values = self._file[name][index : index + 1].astype(np.float32)
        else:
            values = self._row_of_parquet(name, index)
        return self._of_scored(name, index, values)[0]

    def _row_of_parquet(self, name: str, index: int) -> NDArray[np.float32]:
        groups = [self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups)]
        ends = np.cumsum(groups)
        group = int(np.searchsorted(ends, index, side="right"))
        place = index - int(ends[group]) + groups[group]
        with self._damage():
            column = self._file.read_row_group(group, columns=[name]).column(0)
            values = output_values(column.slice(place, 1).combine_chunks(), self.shapes[name])
        return values.astype(np.float32, copy=False)

    def _of_scored(self, name: str, start: int, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same values, NaN in rows without a score, whatever a user wrote there.

        Rows with a score hold finite numbers: perch-run gives all others the status "failed".
        """
        scored = self.has_score[start : start + len(values)]
        bad = scored & ~(np.abs(values) < MOST_VALUE).all(axis=tuple(range(1, values.ndim)))
        if bad.any():
            row_id = self.row_ids[start + int(np.flatnonzero(bad)[0])]
            raise InputError(
                f"{self.source} is damaged: {row_id} is scored, but its {name} holds NaN or values no model makes; "
                "run perch-run again"
            )
        return (
            values
            if scored.all()
            else np.where(scored.reshape(-1, *[1] * (values.ndim - 1)), values, np.float32("nan"))
        )

    def check_holds(self, name: str) -> None:
        """Refuses a file that lacks this output.

        Raises:
            InputError: the file does not hold it.
        """
        if name not in self.shapes:
            raise InputError(f"{self.source} {lacking(name, list(self.shapes), 'models' in self.about)}")

    def _pieces(self, name: str, size: int) -> Iterator[NDArray[np.float32]]:
        if isinstance(self._file, dict):
            values = self._file[name]
            yield from (values[i : i + size].astype(np.float32, copy=False) for i in range(0, len(values), size))
            return
        with self._damage():
            for group in range(self._file.num_row_groups):
                if self._file.metadata.row_group(group).num_rows > MOST_BLOCKS * size:
                    batches = self._file.iter_batches(size, row_groups=[group], columns=[name])
                else:
                    batches = self._file.read_row_group(group, columns=[name]).to_batches(size)
                for batch in batches:
                    yield output_values(batch.column(0), self.shapes[name]).astype(np.float32, copy=False)

    @contextlib.contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # pyarrow raises different exceptions for different damage
            raise InputError(f"{self.source} is damaged ({reason(error)}); run perch-run again") from None

    def with_own_handle(self) -> RowFile:
        """The same rows, for another thread: an open Parquet file serves one thread at a time.

        Raises:
            InputError: the file was written anew since it was opened, or is damaged.
        """
        same = copy.copy(self)
        if not isinstance(self._file, dict):
            import pyarrow.parquet

            with self._damage():
                same.__dict__["_file"] = pyarrow.parquet.ParquetFile(self.source, read_dictionary=REPEATED)
            self.check_stamp(file_stamp(os.stat(self.source)))
        return same

    def check_stamp(self, stamp: tuple[int, ...]) -> None:
        """Raises InputError if another stamp than its own is that of the file now."""
        if stamp != self.stamp:
            raise InputError(f"{self.source} was written anew since it was opened; start again")

    def _optional(self, name: str) -> NDArray[np.object_]:
        """A column of text that need not be there; empty text where it or its value is missing."""
        values: NDArray[Any] = np.full(self.count, None)
        if isinstance(self._file, dict):
            values = self._file.get(name, values)
        elif name in self._file.schema_arrow.names:
            values = self._column(name)
        if values.ndim != 1:
            return np.full(self.count, "", object)
        return np.array([value if isinstance(value, str) else "" for value in values.tolist()], object)

    def _column(self, name: str) -> NDArray[Any]:
        if isinstance(self._file, dict):
            return self._file[name]
        with self._damage():
            column = self._file.read(columns=[name]).column(0)
            if name in TIMES:
                return column.to_numpy().astype(np.float64)
            return np.concatenate([np.empty(0, object), *(_texts(chunk) for chunk in column.chunks)])


def open_rows(path: str | Path) -> RowFile:
    """Opens what perch-run wrote with `-o FILE.parquet` or `-o FILE.npz`.

    Raises:
        InputError: it cannot be read, is damaged, or is none of these.
    """
    path = Path(path)
    try:
        stamp = file_stamp(os.stat(path))
        file = RowFile(path, *(open_npz(path) if path.suffix.lower() == ".npz" else open_parquet(path)), stamp=stamp)
        check_names(file.row_ids.tolist(), file.paths.tolist(), file.status)
        scored = file.has_score
        check_times(file.row_ids[scored], file.start_s[scored], file.end_s[scored], file.about.get("window_s"))
        return file
    except (PerchError, ModuleNotFoundError):
        raise
    except Exception as error:  # libraries raise anything on bytes that perch-run did not write
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # those two come from the content
            raise InputError(f"cannot read {path}: {reason(error)}") from None
        why = f" ({error})" if isinstance(error, NotRowsError) else ""
        raise InputError(
            f"{path} holds no rows of perch-run, or is damaged{why}; make such a file with `perch-run "
            "SOUNDSCAPES --model perch.onnx --outputs embedding,label -o out.parquet`"
        ) from None


def open_runs(paths: Sequence[str | Path], output: str | None = None) -> list[RowFile]:
    """Opens files whose rows can be compared: made by one SavedModel, with the same preprocessing.

    Raises:
        InputError: a file cannot be read, lacks the output, or is given twice; two were made differently; or none has
            rows.
    """
    files = [open_rows(path) for path in paths]
    if not any(file.count for file in files):
        raise InputError(f"{files[0].source} holds no rows; run perch-run over recordings that have some")
    first, sources = files[0], set()
    for file in files:
        if output is not None:
            file.check_holds(output)
        source = os.path.realpath(file.source)
        if source in sources:
            raise InputError(f"{file.source} is given twice")
        sources.add(source)
        for what, own, others in (
            ("another model", file.about.get("saved_model_sha256"), first.about.get("saved_model_sha256")),
            ("windows of another length", file.about.get("window_s"), first.about.get("window_s")),
            ("another --normalize", file.options.get("normalize"), first.options.get("normalize")),
        ):
            if own != others:
                raise InputError(
                    f"{file.source} was made with {what} than {first.source} ({_short(own)}, not {_short(others)}); "
                    "run perch-run over both in the same way"
                )
    return files


def recordings_of(files: Iterable[RowFile]) -> Iterator[Path]:
    """Every path at which a recording of the rows may lie; not all of them exist."""
    for file in files:
        for path in dict.fromkeys(file.paths):
            yield Path(path)
            yield file.source.parent / path


def _short(value: object) -> str:
    """The beginning of a fingerprint."""
    return str(value)[:12]


def _texts(column: Any) -> NDArray[np.object_]:
    """Text as an array of str; repeated values of a dictionary column share one object."""
    if hasattr(column, "dictionary") and not column.null_count:
        return np.asarray(column.dictionary.to_pylist(), object)[column.indices.to_numpy()]
    return np.asarray(column.to_pylist(), object)
