"""The result of a run: a table of rows, one a window, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.audio.channels import channel_of
from runtime.errors import InputError
from runtime.files import Files, check_outputs, utf8
from runtime.request.detections import Detections
from runtime.rows.arrow import arrow_schema, import_pyarrow, record_batch
from runtime.rows.block import Block, Columns, by_recording
from runtime.rows.formats.choice import choose_format, on_disk
from runtime.rows.formats.csv_file import CsvFile
from runtime.rows.formats.format import Format
from runtime.rows.formats.npz_file import NpzFile
from runtime.rows.formats.parquet_file import ParquetFile
from runtime.rows.submission import as_values, submitted, usual_output
from runtime.rows.summary import RunSummary

if TYPE_CHECKING:
    import pandas
    import pyarrow


class Soundscapes(RunSummary):
    """Rows of all recordings, in the order of their sorted paths and then of time, or those of a sample submission.

    `soundscapes["label"]` is `float32 [rows, classes]`, `soundscapes["embedding"]` is `float32 [rows, 1280]` (1536 for
    Perch v2), and so on for each output that was asked for. Rows without a score are NaN. The arrays may be written to;
    files then get what is in them.

    If rows went to a file (`sink`), they are in that file alone, and all else is here.

    pandas, polars and DuckDB take the rows from memory: `soundscapes.to_dataframe()`, `polars.DataFrame(soundscapes)`,
    `duckdb.sql("select row_id, label[1] from soundscapes")`.
    """

    _blocks: list[Block]
    _columns: Columns
    _arrays: dict[str, NDArray[np.floating]]

    def __init__(self) -> None:
        raise TypeError("Soundscapes are what run_soundscapes returns; they are not made by hand")

    @classmethod
    def _of(cls, blocks: list[Block], columns: Columns, summary: RunSummary) -> Soundscapes:
        """The rows of a run. The list of blocks is the result's own from now on."""
        soundscapes = cls.__new__(cls)
        vars(soundscapes).update(vars(summary))
        soundscapes._blocks, soundscapes._columns, soundscapes._arrays = blocks, columns, {}
        return soundscapes

    @cached_property
    def row_ids(self) -> list[str]:
        """The name of each row: `{file stem}_{end second}`."""
        return [row_id for block in self._rows() for row_id in block.row_ids]

    @cached_property
    def paths(self) -> list[str]:
        """The recording of each row. It is empty for a sample submission's row that no recording has."""
        return [path for block in self._rows() for path in block.row_paths]

    @property
    def channels(self) -> list[int] | None:
        """The channel of each row, where each channel has rows of its own (`channel="each"`)."""
        return list(map(channel_of, self.row_ids)) if self._columns.by_channel else None

    @property
    def start_s(self) -> NDArray[np.float64]:
        """When each window starts, in seconds from the start of its recording."""
        return self._joined(np.empty(0), lambda block: block.start_s)

    @property
    def end_s(self) -> NDArray[np.float64]:
        """When each window ends, in seconds from the start of its recording."""
        return self._joined(np.empty(0), lambda block: block.end_s)

    @property
    def recorded_at(self) -> list[str | None]:
        """When each window begins: `2024-05-12T05:30:05.000+10:00`, or without the offset; None where unknown."""
        return [text for block in self._rows() for text in block.recorded_at]

    @property
    def site(self) -> list[str | None]:
        """The site of each row, if the run had `site_from`; None where that does not match."""
        return [text for block in self._rows() for text in block.site]

    @cached_property
    def status(self) -> NDArray[np.str_]:
        """How each row came about.

        - "scored": by the model.
        - "interpolated": not reached in time, so the mean of its scored neighbours.
        - "filled": not reached in time, or a sample submission's row that no recording has. It has no score.
        - "failed": it could not be read, and has no score.
        - "unrecorded": a silent stretch that a triggered recorder did not write. It has no score.
        """
        return self._joined(np.empty(0, "<U12"), lambda block: block.status)

    def _joined(self, empty: NDArray[Any], part: Callable[[Block], NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([empty, *map(part, self._rows())])

    @property
    def unmapped(self) -> list[str]:
        """Wanted classes that have a constant score: every model lacks them and, if it was asked for, their genus."""
        lacking = [class_map.unmapped for class_map in self.class_maps.values()]
        return [name for name in lacking[0] if all(name in other for other in lacking)] if lacking else []

    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        """The names of each output's columns, in the namespace asked for. Embeddings have none."""
        return self._columns.classes

    @property
    def outputs(self) -> Mapping[str, NDArray[np.floating]]:
        """All outputs by name."""
        return MappingProxyType({name: self._array(name) for name in self._columns.shapes})

    def __getitem__(self, output: str) -> NDArray[np.float32]:
        """One output of all rows, as an array."""
        return self._array(self._asked(output))

    def __contains__(self, output: object) -> bool:
        """Whether an output was asked for."""
        return output in self._columns.shapes

    __iter__ = None  # its length is that of the rows, and its keys are outputs

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled and copied: the blocks hold what was written into the arrays, which are made anew."""
        return {**vars(self), "_arrays": {}, "_blocks": list(self._blocks)}

    def __setitem__(self, output: str, values: ArrayLike) -> None:
        """Writes values into the array of an output; those of a DataFrame where its index and columns say."""
        columns = self._columns
        self[output][:] = as_values(values, output, columns.shapes[output], self.row_ids, columns.names(output))

    def _array(self, name: str) -> NDArray[Any]:
        """One output of all rows. From now on the blocks share its memory: writing to one changes both."""
        blocks = self._rows()
        if name not in self._arrays:
            shape, dtype = self._columns.shapes[name], self._columns.dtypes.get(name, np.float32)
            array, start = np.empty((sum(map(len, blocks)), *shape), dtype), 0
            for i, block in enumerate(blocks):
                part = array[start : start + len(block)]
                part[:] = block.outputs[name]
                blocks[i] = replace(block, outputs={**block.outputs, name: part})  # lets go of the block's own array
                start += len(block)
            self._arrays[name] = array
        return self._arrays[name]

    def _asked(self, output: str) -> str:
        if output not in self._columns.shapes:
            raise InputError(f"the output '{output}' was not asked for; there are {', '.join(self._columns.shapes)}")
        return output

    def _rows(self) -> list[Block]:
        if self.sink is not None:
            raise InputError(f"the rows are in {self.sink} alone, which was the sink; read that file")
        return self._blocks

    def __repr__(self) -> str:
        return f"<Soundscapes: {self.summary()}>"

    def to_dataframe(self, output: str | None = None) -> pandas.DataFrame:
        """The rows as a pandas DataFrame, a copy: row_id, path, start_s, end_s, status, recorded_at, site if the run
        had `site_from`, and a column for each value.

        If there is one output, or one is named, its columns have the names of its classes (`e0`, `e1`, … for an
        embedding): `frame["aldfly"]`. If there are several, the output's name comes first: `frame["label.aldfly"]`,
        `frame["embedding.e0"]`. Outputs of more than one dimension are flattened. Rows without a score are NaN.

        Args:
            output: the only output that is wanted. None: all.

        Raises:
            InputError: pandas is not installed; the output was not asked for; or the rows are in `sink`.
        """
        try:
            import pandas
        except ImportError:
            raise InputError("a DataFrame needs pandas: `pip install pandas`") from None
        names = list(self._columns.shapes) if output is None else [self._asked(output)]
        # pandas keeps text in Arrow, which holds no name that is not UTF-8.
        rows: dict[str, Any] = {"row_id": [*map(utf8, self.row_ids)], "path": [*map(utf8, self.paths)]}
        rows |= {} if (channels := self.channels) is None else {"channel": channels}
        rows |= {"start_s": self.start_s, "end_s": self.end_s}
        more = {name: [text and utf8(text) for text in getattr(self, name)] for name in self._columns.more}
        frames = [pandas.DataFrame({**rows, "status": self.status.tolist(), **more})]
        for name in names:
            columns = self._columns.names(name)
            values = self._array(name).reshape(len(self.row_ids), len(columns))
            called = [f"{name}.{column}" for column in columns] if len(names) > 1 else list(columns)
            frames.append(pandas.DataFrame(values, columns=called, copy=True))
        return pandas.concat(frames, axis=1)

    def to_arrow(self) -> pyarrow.Table:
        """The rows as an Arrow table, a copy, with the columns that `to_parquet` writes.

        Raises:
            InputError: pyarrow is not installed, or the rows are in `sink`.
        """
        return import_pyarrow().Table.from_batches(*self._batches())

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The rows as an Arrow stream, which polars, DuckDB and others read: `polars.DataFrame(soundscapes)`.

        Raises:
            InputError: pyarrow is not installed, or the rows are in `sink`.
        """
        batches, schema = self._batches()
        reader = import_pyarrow().RecordBatchReader.from_batches(schema, batches)
        return reader.__arrow_c_stream__(requested_schema)

    def _batches(self) -> tuple[Iterator[Any], Any]:
        """Batches of rows, made one at a time, and their schema. They are copies: Arrow's data must not change."""
        schema = arrow_schema(self._columns)
        return (record_batch(schema, _copied(block)) for block in self._rows()), schema

    def to_submission(self, path: str | Path, output: str | None = None, scores: ArrayLike | None = None) -> None:
        """Writes a CSV: `row_id`, then a column for each class (or `e0`, `e1`, … for an embedding).

        Rows without a score, which are NaN, get the run's `fill`. Numbers read back as the same float32.

        Args:
            path: the file.
            output: which output, if there are several.
            scores: what to write instead of that output, `[rows, columns]`, such as the mean of several models' scores.
                Rows that are NaN throughout get `fill`. Those of a DataFrame go where its index or its column
                `row_id`, and its columns, say; without such names its rows and columns are taken in order.

        Raises:
            InputError: there are several outputs and none is named (with `scores`: and none is "label"), or another one
                is named; the output is not a vector; scores have another shape or other names, are infinite, or NaN in
                part of a row; `path` is a folder or device, or a file that the run read; or the rows are in `sink`.
            OutputError: the file cannot be written.
        """
        name = self._asked(output or usual_output(self._columns, given=scores is not None))
        columns = self._columns.only(name)
        CsvFile().check_columns(columns)
        blocks = submitted(self._rows(), columns, scores)
        self._write(path, CsvFile(), blocks, columns)

    def to_parquet(self, path: str | Path) -> None:
        """Writes Parquet: row_id, path, start_s, end_s, status, recorded_at, site if the run had `site_from`, and each
        output as a list of fixed size.

        Raises:
            InputError: pyarrow is missing; `path` is a folder or device, or a file that the run read; or the rows are
                in `sink`.
            OutputError: the file cannot be written.
        """
        self._write(path, ParquetFile(), self._rows(), self._columns)

    def to_detections(self, path: str | Path, detections: Detections) -> None:
        """Writes the windows and classes that score highest to a CSV, Raven or Audacity table.

        The rows of a recording come together, even if a sample submission orders them otherwise.

        Raises:
            InputError: there is not exactly one output with classes; `path` does not say which format, or is one file
                for several recordings; the run read a file that would be written over; or the rows are in `sink`.
            OutputError: the file cannot be written.
        """
        rows = list(by_recording(self._rows()))
        self._write(path, choose_format(path, detections), rows, self._columns, detections.reads)

    def to_npz(self, path: str | Path) -> None:
        """Writes all outputs to one `.npz`.

        It holds an array for each output, the arrays `row_ids`, `path`, `start_s`, `end_s`, `status` and `recorded_at`,
        `site` if the run had `site_from`, and two texts of JSON: `classes` has the names of columns, and `about` says
        what made the rows.

        Raises:
            InputError: `path` is a folder or device, or a file that the run read; or the rows are in `sink`.
            OutputError: the file cannot be written.
        """
        self._write(path, NpzFile(), self._rows(), self._columns)

    def _write(
        self,
        path: str | Path,
        format: Format,
        blocks: Sequence[Block],
        columns: Columns,
        reads: Mapping[str, Files] = MappingProxyType({}),
    ) -> None:
        target = on_disk(path)
        names = list(dict.fromkeys(block.row_ids[0].rpartition("_")[0] for block in blocks if len(block)))
        format.check_columns(columns)
        check_outputs({"the rows": format.files(target, names)}, {**self.reads, **reads})
        format.check_target(target, names)
        format.write(blocks, target, columns, self.fill)


def _copied(block: Block) -> Block:
    """A block that does not share the memory of its outputs."""
    return replace(block, outputs={name: values.copy() for name, values in block.outputs.items()})
