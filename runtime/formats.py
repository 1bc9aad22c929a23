"""Rows as files: CSV for one output, Parquet for any."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from runtime.block import Block, Columns
from runtime.errors import InputError

Write = Callable[[Iterable[Block], Path, Columns, float], None]
ROW_GROUP_BYTES = 32 * 2**20


def row_writer(target: Path, columns: Columns) -> Write:
    """What writes rows under this name: `.csv` or `.parquet`.

    Raises:
        InputError: another ending; what a CSV cannot hold; or pyarrow is missing.
    """
    ending = (target.suffix or target.name).lower()
    if ending == ".parquet":
        _pyarrow()
        return write_parquet
    if ending != ".csv":
        raise InputError(f"cannot tell what to write from the name {target}; end it in .csv or .parquet")
    if not columns.fit_csv:
        names = ", ".join(columns.shapes)
        raise InputError(f"a CSV holds one vector a row, not {names}; write a .parquet or .npz instead")
    return write_csv


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
            rows = zip(block.row_ids, block.outputs[name], block.has_score, strict=True)
            for row_id, row, has_score in rows:
                file.write(_quoted(row_id) + (line % tuple(row.tolist()) if has_score else empty))


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
        fields.append(pa.field(name, pa.list_(pa.float32(), int(np.prod(shape))), metadata=about))
    schema = pa.schema(fields, metadata=dict(columns.about))
    group = max(1, ROW_GROUP_BYTES // (4 * columns.numbers))
    # dictionaries of floats that never repeat, and statistics of lists, are work for nothing
    options: dict[str, Any] = {"compression": "zstd", "use_dictionary": ["path", "status"], "write_statistics": False}
    with pq.ParquetWriter(path, schema, **options) as file:
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
    count, has_score = len(block), block.has_score
    arrays = [
        pa.array([_utf8(row_id) for row_id in block.row_ids], pa.string()),
        pa.array([_utf8(block.path)] * count, pa.string()),
        pa.array(block.start_s),
        pa.array(block.end_s),
        pa.array(block.status.tolist(), pa.string()).dictionary_encode().cast(schema.field("status").type),
    ]
    for name, values in block.outputs.items():
        flat = pa.array(np.ascontiguousarray(values).reshape(-1))
        arrays.append(pa.FixedSizeListArray.from_arrays(flat, type=schema.field(name).type, mask=pa.array(~has_score)))
    return pa.record_batch(arrays, schema=schema)


def _utf8(text: str) -> str:
    """Text that Parquet can hold: bytes of a file's name that are no UTF-8 as `\\xff`."""
    return re.sub("[\udc80-\udcff]", lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", text)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError(
            "writing Parquet needs pyarrow: `pip install pyarrow` (or '.[parquet]' in the project's folder)"
        ) from None
    return pyarrow, pyarrow.parquet
