"""The rows of a run, read again from the Parquet file or `.npz` that it wrote."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError, reason

TEXTS, TIMES = ("row_id", "path", "status"), ("start_s", "end_s")
BLOCK_BYTES = 32 * 2**20
"""Of an output that are read at a time."""


@dataclass(frozen=True)
class RowFile:
    """What a file of rows holds, read when it is asked for. `shapes` are its outputs', without the rows; `classes`
    names the columns of class heads; `about` says what made the rows (see README, "What a file of rows holds").
    """

    source: Path
    count: int
    shapes: Mapping[str, tuple[int, ...]]
    classes: Mapping[str, tuple[str, ...]]
    about: Mapping[str, str]
    _file: Any = field(repr=False)

    @cached_property
    def row_ids(self) -> NDArray[np.object_]:
        """The name of each row."""
        return self._column("row_id")

    @cached_property
    def paths(self) -> NDArray[np.object_]:
        """The recording of each row, as the run was told."""
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
    def has_score(self) -> NDArray[np.bool_]:
        """Rows that hold numbers: scored ones, and those interpolated between them."""
        return np.isin(self._column("status").astype(np.str_), ("scored", "interpolated"))

    def output(self, name: str) -> NDArray[np.float32]:
        """A whole output, float32 `[rows, …]`, NaN in rows without a score.

        Raises:
            InputError: the file does not hold it.
        """
        parts = [block for _, block in self.blocks(name)]
        return np.concatenate(parts) if parts else np.empty((0, *self.shapes[name]), np.float32)

    def blocks(self, name: str) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """An output piece by piece: the first row of each, and float32 `[rows, …]`, NaN in rows without a score.

        Raises:
            InputError: the file does not hold it, or is damaged.
        """
        if name not in self.shapes:
            raise InputError(
                f"{self.source} holds no {name}, but {', '.join(self.shapes) or 'no output'}; run perch-run with "
                f"`--outputs {','.join([name, *self.shapes])}`"
            )
        size = max(1, BLOCK_BYTES // (4 * int(np.prod(self.shapes[name]))))
        start = 0
        for values in self._pieces(name, size):
            yield start, values
            start += len(values)

    def _pieces(self, name: str, size: int) -> Iterator[NDArray[np.float32]]:
        if isinstance(self._file, dict):
            values = self._file[name]
            yield from (values[i : i + size].astype(np.float32, copy=False) for i in range(0, len(values), size))
            return
        try:
            for batch in self._file.iter_batches(size, columns=[name]):
                yield _floats(batch.column(0), self.shapes[name])
        except OSError as error:
            raise InputError(f"{self.source} is damaged ({reason(error)}); run perch-run again") from None

    def _column(self, name: str) -> NDArray[Any]:
        if isinstance(self._file, dict):
            return self._file[name]
        column = self._file.read(columns=[name]).column(0)
        return np.asarray(column.to_pylist(), object) if name in TEXTS else column.to_numpy()


def open_rows(path: str | Path) -> RowFile:
    """Opens what perch-run wrote with `-o FILE.parquet` or `-o FILE.npz`.

    Raises:
        InputError: it cannot be read, or is none of these.
    """
    path = Path(path)
    try:
        return _open_npz(path) if path.suffix.lower() == ".npz" else _open_parquet(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"cannot read {path}: {reason(error)}") from None
    except (LookupError, ValueError, TypeError):
        raise InputError(
            f"{path} holds no rows of perch-run; make some with `perch-run SOUNDSCAPES --model perch.onnx "
            "--outputs embedding,label -o out.parquet`"
        ) from None


def _open_parquet(path: Path) -> RowFile:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
        schema = file.schema_arrow
    except pyarrow.ArrowInvalid as error:
        raise ValueError(error) from None
    for name in (*TEXTS, *TIMES):
        schema.field(name)  # or it is another file
    shapes, classes = {}, {}
    for column in schema:
        if column.metadata and b"shape" in column.metadata:
            shapes[column.name] = tuple(json.loads(column.metadata[b"shape"]))
            classes[column.name] = tuple(json.loads(column.metadata[b"classes"]))
    about = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    return RowFile(path, file.metadata.num_rows, shapes, classes, about, file)


def _open_npz(path: Path) -> RowFile:
    with np.load(path) as saved:
        arrays = {name: saved[name] for name in saved.files}
    classes = {name: tuple(names) for name, names in json.loads(str(arrays.pop("classes"))).items()}
    about = json.loads(str(arrays.pop("about")))
    own = {name: arrays.pop(f"{name}s" if name == "row_id" else name) for name in (*TEXTS, *TIMES)}
    shapes = {name: values.shape[1:] for name, values in arrays.items()}
    return RowFile(path, len(own["row_id"]), shapes, classes, about, own | arrays)


def _floats(column: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A list column as an array; its nulls as NaN."""
    values = column.values.to_numpy(zero_copy_only=False)[: (column.offset + len(column)) * int(np.prod(shape))]
    found = values[column.offset * int(np.prod(shape)) :].astype(np.float32).reshape(-1, *shape)
    if column.null_count:
        found[column.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return found
