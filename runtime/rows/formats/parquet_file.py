"""Parquet: any outputs, for data frames and for archives."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from runtime.rows.arrow import arrow_schema, import_pyarrow, record_batch
from runtime.rows.block import Block, Columns
from runtime.rows.formats.format import FileFormat

ROW_GROUP_BYTES = 32 * 2**20


class ParquetFile(FileFormat):
    """row_id, path, start_s, end_s, status, recorded_at and site, and each output as a list of fixed size, null in rows
    without a score.
    """

    def check_columns(self, columns: Columns) -> None:
        import_pyarrow()

    def write_file(self, blocks: Iterable[Block], path: Path, columns: Columns, fill: float) -> None:
        with path.open("wb") as file:  # pyarrow opens only files whose names are UTF-8
            write_parquet(blocks, file, columns)


def write_parquet(blocks: Iterable[Block], opened: BinaryIO, columns: Columns, **more: Any) -> None:
    """Writes the rows to an open file. `more` are options of `pyarrow.parquet.ParquetWriter`."""
    pa = import_pyarrow()
    from pyarrow import parquet

    schema = arrow_schema(columns)
    group = max(1, ROW_GROUP_BYTES // (4 * columns.numbers))
    # dictionaries of floats that never repeat, and statistics of lists, are work for nothing
    options: dict[str, Any] = {
        "compression": "zstd",
        "use_dictionary": ["path", "status", "site"],
        "write_statistics": False,
    }
    with parquet.ParquetWriter(opened, schema, **options, **more) as file:
        waiting, rows = [], 0
        for block in blocks:
            waiting.append(record_batch(schema, block))
            rows += len(block)
            del block  # it would stay in memory while the next one is read
            if rows >= group:
                file.write_table(pa.Table.from_batches(waiting, schema), row_group_size=2 * group)
                waiting, rows = [], 0
        if waiting:
            file.write_table(pa.Table.from_batches(waiting, schema))
