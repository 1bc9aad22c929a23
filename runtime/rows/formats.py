"""Rows as files: CSV for one output, Parquet for any, and by what other modules write tables and databases."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime.detections import Detections
from runtime.errors import InputError
from runtime.files import check_folder, check_writable, replacing, utf8
from runtime.rows import hoplite
from runtime.rows.block import Block, Columns
from runtime.rows.detections import Tally, detections_writer

Write = Callable[[Iterable[Block], Path, Columns, float], None]
ROW_GROUP_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Format:
    """How rows are written to a file or folder, which appears whole or not at all; `check` finds out before the work
    whether it could be. Both raise InputError where it cannot be written. `ending` is that of a folder's files, one for
    each recording; `replaces` is whether what is there is written over."""

    write: Write
    check: Callable[[Path], None]
    ending: str | None = None
    replaces: bool = True

    def files(self, target: Path, names: Iterable[str]) -> list[Path]:
        """The files that are written for recordings of these names."""
        return [target] if self.ending is None else [target / f"{name}{self.ending}" for name in names]


def sink_path(sink: str | Path) -> Path:
    """The file or folder that a sink names.

    Raises:
        InputError: nothing can be called so.
    """
    path = Path(str(sink).removeprefix(hoplite.SINK))
    if "\0" in str(path):
        raise InputError(f"no file can be called {str(path)!r}, which holds a NUL")
    path = path if path.name not in ("", "..") else path.resolve()
    if not path.name:
        raise InputError(f"cannot write {path}: it has no name; name a file or folder in it")
    return path


def holds_all_rows(sink: str | Path | None, detections: Detections | None) -> bool:
    """Whether rows become a table of rows (or stay in memory), not of detections, nor a database."""
    return detections is None and not str(sink).startswith(hoplite.SINK)


def row_format(
    sink: str | Path, columns: Columns, recordings: int, detections: Detections | None, tally: Tally | None = None
) -> Format:
    """How rows are written to a sink; for the arguments see `run_soundscapes`.

    `recordings` is how many there are; `tally` learns how many detections were written.

    Raises:
        InputError: another ending; what the format cannot hold; or a package is missing.
    """
    if str(sink).startswith(hoplite.SINK):
        hoplite.check_columns(columns, detections is not None)
        return Format(hoplite.write_database, hoplite.check_folder, replaces=False)
    target = Path(sink)
    if detections is not None:
        write, ending = detections_writer(detections, target, columns, recordings, tally or Tally())
        return _file(write) if ending is None else Format(write, check_folder, ending)
    ending = (target.suffix or target.name).lower()
    if ending == ".parquet":
        _pyarrow()
        return _file(write_parquet)
    if ending != ".csv":
        raise InputError(f"cannot tell what to write from the name {target}; end it in .csv or .parquet")
    if not columns.fit_csv:
        names = ", ".join(columns.shapes)
        raise InputError(f"a CSV holds one vector a row, not {names}; write a .parquet or .npz instead")
    return _file(write_csv)


def _file(write: Write) -> Format:
    def write_whole(blocks: Iterable[Block], target: Path, columns: Columns, fill: float) -> None:
        with replacing(target) as temporary:
            write(blocks, temporary, columns, fill)

    return Format(write_whole, check_writable)


def write_csv(blocks: Iterable[Block], path: Path, columns: Columns, fill: float) -> None:
    """Writes `row_id`, then one column a class (or `e0`, `e1`, … for an embedding).

    Rows without a score hold `fill`. Numbers are written so that float32 reads back the same.
    """
    ((name, (width,)),) = columns.shapes.items()
    header = columns.classes.get(name) or tuple(f"e{i}" for i in range(width))
    line = ",%.9g" * width + "\n"
    empty = line % ((fill,) * width)
    # names of files, and so row ids, need not be UTF-8
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(",".join(map(_quoted, ("row_id", *header))) + "\n")
        for block in blocks:
            for row_id, row, holds in zip(block.row_ids, block.outputs[name], block.holds(name), strict=True):
                file.write(_quoted(row_id) + (line % tuple(row.tolist()) if holds else empty))


def _quoted(text: str) -> str:
    """A CSV field (RFC 4180): quoted only where it must be."""
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\n\r') else text


def write_parquet(blocks: Iterable[Block], path: Path, columns: Columns, fill: float) -> None:
    """Writes row_id, path, start_s, end_s, status and each output as a list of fixed size, null without a score.

    An output of more than one dimension is flattened; its shape stands in the field's metadata. `fill` is for CSV.
    """
    pa, pq = _pyarrow()
    fields = [
        pa.field("row_id", pa.string()),
        pa.field("path", pa.string()),
        pa.field("start_s", pa.float64()),
        pa.field("end_s", pa.float64()),
        pa.field("status", pa.dictionary(pa.int8(), pa.string())),
    ]
    for name, shape in columns.shapes.items():
        about = {"shape": json.dumps(shape), "classes": json.dumps(columns.classes.get(name, ()))}
        kind = pa.from_numpy_dtype(np.dtype(columns.dtypes.get(name, "float32")))
        fields.append(pa.field(name, pa.list_(kind, int(np.prod(shape))), metadata=about))
    schema = pa.schema(fields, metadata={name: utf8(text) for name, text in columns.about.items()})
    group = max(1, ROW_GROUP_BYTES // (4 * columns.numbers))
    # dictionaries of floats that never repeat, and statistics of lists, are work for nothing
    options: dict[str, Any] = {"compression": "zstd", "use_dictionary": ["path", "status"], "write_statistics": False}
    # names of files need not be UTF-8, as those that pyarrow opens itself must be
    with path.open("wb") as opened, pq.ParquetWriter(opened, schema, **options) as file:
        held, rows = [], 0
        for block in blocks:
            held.append(_record_batch(pa, schema, block))
            rows += len(block)
            del block  # it would stay while the next one is read
            if rows >= group:
                file.write_table(pa.Table.from_batches(held, schema), row_group_size=2 * group)
                held, rows = [], 0
        if held:
            file.write_table(pa.Table.from_batches(held, schema))


def _record_batch(pa: Any, schema: Any, block: Block) -> Any:
    arrays = [
        pa.array([utf8(row_id) for row_id in block.row_ids], pa.string()),
        pa.array([utf8(path) for path in block.paths] or [utf8(block.path)] * len(block), pa.string()),
        pa.array(block.start_s),
        pa.array(block.end_s),
        pa.array(block.status.tolist(), pa.string()).dictionary_encode().cast(schema.field("status").type),
    ]
    for name, values in block.outputs.items():
        flat, mask = pa.array(np.ascontiguousarray(values).reshape(-1)), pa.array(~block.holds(name))
        arrays.append(pa.FixedSizeListArray.from_arrays(flat, type=schema.field(name).type, mask=mask))
    return pa.record_batch(arrays, schema=schema)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError(
            "writing Parquet needs pyarrow: `pip install pyarrow` (or '.[parquet]' in the project's folder)"
        ) from None
    return pyarrow, pyarrow.parquet
