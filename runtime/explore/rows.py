"""The rows of a run, read again from the Parquet file or `.npz` that it wrote."""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
MOST_BLOCKS = 8
"""Row groups of more blocks than this are not read at once (that takes half the time, and memory for all of it)."""


@dataclass(frozen=True)
class RowFile:
    """What a file of rows holds, read when it is asked for. `shapes` are its outputs', without the rows; `classes`
    names the columns of class heads; `about` says what made the rows (see README, "Embeddings and scores as data").
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

    @cached_property
    def options(self) -> Mapping[str, Any]:
        """The options of the run that rows depend on."""
        try:
            options = json.loads(self.about.get("options", "{}"))
        except ValueError:
            options = None
        if not isinstance(options, dict):
            raise InputError(f"{self.source} tells its options wrongly; run perch-run again")
        return options

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
        self.check_holds(name)
        size = max(1, BLOCK_BYTES // (4 * int(np.prod(self.shapes[name]))))
        start = 0
        for values in self._pieces(name, size):
            yield start, values
            start += len(values)

    def row(self, name: str, index: int) -> NDArray[np.float32]:
        """An output of one row, float32 `[…]`, NaN if it has no score.

        Raises:
            InputError: the file does not hold it, or is damaged.
        """
        self.check_holds(name)
        if isinstance(self._file, dict):
            return self._file[name][index].astype(np.float32)
        groups = [self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups)]
        ends = np.cumsum(groups)
        group = int(np.searchsorted(ends, index, side="right"))
        with self._damage():
            column = self._file.read_row_group(group, columns=[name]).column(0)
        place = index - int(ends[group]) + groups[group]
        return _floats(column.slice(place, 1).combine_chunks(), self.shapes[name])[0]

    def check_holds(self, name: str) -> None:
        """Refuses a file without this output.

        Raises:
            InputError: the file does not hold it.
        """
        if name not in self.shapes:
            raise InputError(
                f"{self.source} holds no {name}, but {', '.join(self.shapes) or 'no output'}; run perch-run with "
                f"`--outputs {','.join([name, *self.shapes])}`"
            )

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
                    yield _floats(batch.column(0), self.shapes[name])

    @contextlib.contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(f"{self.source} is damaged ({reason(error)}); run perch-run again") from None

    def _column(self, name: str) -> NDArray[Any]:
        if isinstance(self._file, dict):
            return self._file[name]
        with self._damage():
            column = self._file.read(columns=[name]).column(0)
        if name in TIMES:
            return column.to_numpy()
        return np.concatenate([np.empty(0, object), *(_texts(chunk) for chunk in column.chunks)])


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
    except (LookupError, ValueError, TypeError, AttributeError, EOFError):
        raise InputError(
            f"{path} holds no rows of perch-run; make some with `perch-run SOUNDSCAPES --model perch.onnx "
            "--outputs embedding,label -o out.parquet`"
        ) from None


def open_runs(paths: Sequence[str | Path], output: str) -> list[RowFile]:
    """Opens files whose rows can stand together: of one SavedModel, with the same preprocessing.

    Raises:
        InputError: one cannot be read, has not this output, or is given twice; or two do not belong together.
    """
    files = [open_rows(path) for path in paths]
    first, sources = files[0], set()
    for file in files:
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
    """The recordings that rows are of, wherever they are looked for; not each has to be there."""
    for file in files:
        for path in dict.fromkeys(file.paths):
            yield Path(path)
            yield file.source.parent / path


def _short(value: object) -> str:
    """Of a fingerprint its beginning."""
    return str(value)[:12]


def _open_parquet(path: Path) -> RowFile:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path, read_dictionary=["path", "status"])
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
    count = len(own["row_id"])
    if not isinstance(about, dict) or any(len(values) != count for values in (*own.values(), *arrays.values())):
        raise ValueError("arrays that are not of the same rows")
    shapes = {name: values.shape[1:] for name, values in arrays.items()}
    return RowFile(path, count, shapes, classes, about, own | arrays)


def _floats(column: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A list column of floats or half floats as an array; its nulls as NaN."""
    width = int(np.prod(shape))
    values = column.values.to_numpy(zero_copy_only=False)
    values = values[column.offset * width : (column.offset + len(column)) * width]
    found: NDArray[np.float32] = values.astype(np.float32, copy=column.null_count > 0).reshape(-1, *shape)
    if column.null_count:
        found[column.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return found


def _texts(column: Any) -> NDArray[np.object_]:
    """Texts; those of a dictionary are the same objects wherever they stand again."""
    if hasattr(column, "dictionary"):
        return np.asarray(column.dictionary.to_pylist(), object)[column.indices.to_numpy()]
    return np.asarray(column.to_pylist(), object)
