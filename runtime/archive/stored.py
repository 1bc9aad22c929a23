"""Rows of units as they stand in the parts of a dataset."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from runtime.archive.folder import Folder
from runtime.archive.part import ROWS, UnitStatus, damaged, reading
from runtime.rows.arrow import arrow_schema, output_values, read_table
from runtime.rows.block import Columns
from runtime.rows.grid import Grid
from runtime.workers.protocol import Rows

OPEN_PARTS = 8
"""How many parts are kept in memory: neighbours in an archive mostly stand in the same part."""


class StoredRows:
    """Reads the rows of units, one unit after another.

    Args:
        folder: the dataset.
        columns: what rows hold.
        grid: how recordings are cut.
    """

    def __init__(self, folder: Folder, columns: Columns, grid: Grid) -> None:
        self._folder, self._columns, self._grid = folder, columns, grid
        self._schema = arrow_schema(columns)
        self._part = functools.lru_cache(OPEN_PARTS)(self._read)

    def rows(self, status: UnitStatus) -> Rows:
        """The rows of a unit, as the worker sent them that scored it.

        Raises:
            InputError: its part is damaged.
        """
        table = self._part(status.file).slice(status.at, status.rows)
        if len(table) != status.rows:
            raise damaged(self._folder, status.file, f"it lacks rows of {status.path}")
        kind = np.array(table["status"].to_pylist(), "<U12")
        sent = np.isin(kind, ("scored", "failed"))
        starts = table["start_s"].to_numpy()[sent]
        indices = np.rint(starts * self._grid.sample_rate / self._grid.hop).astype(np.int64)
        shapes = self._columns.shapes
        outputs = {name: output_values(table[name].combine_chunks(), shape)[sent] for name, shape in shapes.items()}
        return Rows(indices, outputs, (kind == "scored")[sent])

    def _read(self, name: str) -> Any:
        """A part."""
        with reading(self._folder, name):
            table = read_table(self._folder.read(ROWS + name))
            return table.cast(self._schema.with_metadata(table.schema.metadata)).combine_chunks()
