"""Rows as Arrow: what Parquet files hold, and what pandas, polars and DuckDB take from memory."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.audio.channels import channel_of
from runtime.errors import InputError
from runtime.files import utf8
from runtime.rows.block import Block, Columns


def import_pyarrow() -> Any:
    """The package `pyarrow`, which running does not need otherwise.

    Raises:
        InputError: it is not installed.
    """
    try:
        import pyarrow
    except ImportError:
        raise InputError(
            "Parquet and Arrow need pyarrow: `pip install pyarrow` (or '.[parquet]' in the project's folder)"
        ) from None
    return pyarrow


def read_table(data: bytes) -> Any:
    """The table that a Parquet file holds. Raises pyarrow.ArrowException or OSError if it is damaged.

    It is read by this thread alone, which `pyarrow.parquet.read_table` cannot: once Arrow has started threads, some
    processes abort when they exit (apache/arrow#34314).
    """
    pa = import_pyarrow()
    from pyarrow import parquet

    return parquet.ParquetFile(pa.BufferReader(data), page_checksum_verification=True).read(use_threads=False)


def sort_table(table: Any, *columns: tuple[str, str]) -> Any:
    """A table in the order of these columns, each "ascending" or "descending". `Table.sort_by` does it with threads."""
    import pyarrow.compute as pc

    return table.take(pc.sort_indices(table, list(columns)))


def arrow_schema(columns: Columns) -> Any:
    """row_id, path, start_s, end_s, status, recorded_at and site, and each output as a list of fixed size.

    Where each channel has rows of its own, `channel` follows the path.

    An output of more than one dimension is flattened; its shape stands in the field's metadata, as do the names of a
    class head's columns. The schema's own metadata says what made the rows.
    """
    pa = import_pyarrow()
    fields = [
        pa.field("row_id", pa.string()),
        pa.field("path", pa.string()),
        *([pa.field("channel", pa.int32())] if columns.by_channel else []),
        pa.field("start_s", pa.float64()),
        pa.field("end_s", pa.float64()),
        pa.field("status", pa.dictionary(pa.int8(), pa.string())),
        *(pa.field(name, pa.string()) for name in columns.more),
    ]
    for name, shape in columns.shapes.items():
        about = {"shape": json.dumps(shape), "classes": json.dumps(columns.classes.get(name, ()))}
        dtype = pa.from_numpy_dtype(np.dtype(columns.dtypes.get(name, "float32")))
        fields.append(pa.field(name, pa.list_(dtype, int(np.prod(shape))), metadata=about))
    return pa.schema(fields, metadata={name: utf8(text) for name, text in columns.about.items()})


def output_values(column: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """A list column of an output as an array `[rows, *shape]` of its own type; nulls become NaN."""
    width = int(np.prod(shape))
    values = column.values.to_numpy(zero_copy_only=False)
    values = values[column.offset * width : (column.offset + len(column)) * width].reshape(-1, *shape)
    if column.null_count:
        values = values.copy()
        values[column.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return values


def record_batch(schema: Any, block: Block) -> Any:
    """A block's rows. Its outputs are not copied; in rows without a score they are null."""
    pa = import_pyarrow()
    arrays = [
        pa.array([utf8(row_id) for row_id in block.row_ids], pa.string()),
        pa.array([utf8(path) for path in block.paths] or [utf8(block.path)] * len(block), pa.string()),
        *([pa.array(map(channel_of, block.row_ids), pa.int32())] if "channel" in schema.names else []),
        pa.array(block.start_s),
        pa.array(block.end_s),
        pa.array(block.status.tolist(), pa.string()).dictionary_encode().cast(schema.field("status").type),
    ]
    for name in schema.names[len(arrays) : len(schema.names) - len(block.outputs)]:
        texts = getattr(block, name)
        arrays.append(pa.array([text if text is None else utf8(text) for text in texts], pa.string()))
    for name, values in block.outputs.items():
        flat, mask = pa.array(np.ascontiguousarray(values).reshape(-1)), pa.array(~block.holds(name))
        arrays.append(pa.FixedSizeListArray.from_arrays(flat, type=schema.field(name).type, mask=mask))
    return pa.record_batch(arrays, schema=schema)
