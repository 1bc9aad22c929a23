"""CSV: one output, a row a line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from runtime.errors import InputError
from runtime.rows.block import Block, Columns
from runtime.rows.formats.format import FileFormat


class CsvFile(FileFormat):
    """`row_id`, then one column a class (or `e0`, `e1`, … for an embedding). Rows without a score hold `fill`."""

    says_origin = False

    def check_columns(self, columns: Columns) -> None:
        if not columns.fit_csv:
            names = ", ".join(columns.shapes)
            raise InputError(f"a CSV holds one vector a row, not {names}; write a .parquet or .npz instead")

    def write_file(self, blocks: Iterable[Block], path: Path, columns: Columns, fill: float) -> None:
        write_csv(blocks, path, columns, fill)


def write_csv(blocks: Iterable[Block], path: Path, columns: Columns, fill: float) -> None:
    """Writes the file, in place. Numbers are written so that float32 reads back the same."""
    (name,) = columns.shapes
    header = columns.names(name)
    line = ",%.9g" * len(header) + "\n"
    empty = line % ((fill,) * len(header))
    # names of files, and so row ids, need not be UTF-8
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(",".join(map(_quoted, ("row_id", *header))) + "\n")
        for block in blocks:
            for row_id, row, holds in zip(block.row_ids, block.outputs[name], block.holds(name), strict=True):
                file.write(_quoted(row_id) + (line % tuple(row.tolist()) if holds else empty))


def _quoted(text: str) -> str:
    """A CSV field (RFC 4180): quoted only where it must be."""
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\n\r') else text
