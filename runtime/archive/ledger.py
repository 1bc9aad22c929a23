"""What is done of a dataset: the units whose rows stand in committed parts, whoever wrote them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtime.archive.folder import Folder
from runtime.archive.manifest import Manifest
from runtime.archive.part import BYTES, PART, ROWS, STATUS, UNITS, UnitStatus, drop_units, status_schema, write_statuses
from runtime.errors import InputError, first_line
from runtime.rows.arrow import import_pyarrow, read_table, sort_table


@dataclass(frozen=True)
class Ledger:
    """The statuses of all units that are done, an Arrow table with the columns of `status_schema`, each unit once.

    Of a unit that was done several times, the one that did not fail counts, then the one in the part that comes first
    by name. `entries` also holds the others.
    """

    table: Any
    entries: Any

    @property
    def repeats(self) -> int:
        """How often a unit was done that was done already."""
        return len(self.entries) - len(self.table)

    def ids(self, state: str | None = None) -> Any:
        """The ids of the units that are done, or of those in one state: an Arrow array."""
        table = self.table if state is None else self.of_state(state)
        return table["unit_id"].combine_chunks()

    def of_state(self, state: str) -> Any:
        """The part of the table that is in one state."""
        import pyarrow.compute as pc

        return self.table.filter(pc.equal(self.table["state"], state))

    def statuses(self, table: Any = None) -> Iterator[UnitStatus]:
        """The statuses one by one, of all units or of a part of the table."""
        for batch in (self.table if table is None else table).to_batches(max_chunksize=10_000):
            for row in batch.to_pylist():
                yield UnitStatus(**row)

    def clear(self, folder: Folder, ids: set[str], ending: str = "") -> None:
        """Takes units out of the parts whose names have this ending.

        Raises:
            OutputError: a part cannot be written.
        """
        files: dict[str, list[UnitStatus]] = {}
        for status in self.statuses(self.entries) if ids else ():
            if status.file.removesuffix(".parquet").endswith(ending):
                files.setdefault(status.file, []).append(status)
        for name, statuses in files.items():
            if ids.intersection(status.unit_id for status in statuses):
                drop_units(folder, name, sorted(statuses, key=lambda status: status.at), ids)


def read_ledger(folder: Folder, manifest: Manifest | None = None) -> Ledger:
    """What is done. A part whose status was never written, since its run was killed then, gets one.

    Raises:
        InputError: a part is damaged, or holds units that are not in the manifest.
    """
    pa = import_pyarrow()
    parts = {name.removeprefix(ROWS): size for name, size in folder.files(ROWS).items()}
    written = {name.removeprefix(STATUS) for name in folder.files(STATUS)}
    tables = [status_schema().empty_table()]
    for name in sorted(parts):
        if not name.startswith(PART):
            raise InputError(f"{folder}/{ROWS}{name} is no part of this dataset; move it to another folder")
        table = _read_status(folder, name, parts[name]) if name in written else None
        tables.append(_recovered(folder, name, parts[name]) if table is None else table)
    every = pa.concat_tables(tables)
    if manifest is not None:
        _check_units(folder, every, manifest)
    ordered = sort_table(every, ("unit_id", "ascending"), ("state", "descending"), ("file", "ascending"))
    ids = ordered["unit_id"].to_numpy(zero_copy_only=False)
    first = np.ones(len(ids), np.bool_)
    first[1:] = ids[1:] != ids[:-1]
    return Ledger(ordered.filter(pa.array(first)).combine_chunks(), ordered)


def _read_status(folder: Folder, name: str, part_bytes: int) -> Any:
    """The status of a part's units; None if its file is damaged.

    Raises:
        InputError: the part has not `part_bytes` bytes as when it was written.
    """
    pa = import_pyarrow()
    try:
        table = read_table(folder.read(STATUS + name))
        written, table = int(table.schema.metadata[BYTES]), table.replace_schema_metadata(None).cast(status_schema())
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError):
        return None
    if written != part_bytes:
        raise damaged(folder, name, f"it has {part_bytes:,} bytes, and was written with {written:,}")
    return table


def _recovered(folder: Folder, name: str, part_bytes: int) -> Any:
    """The status of a part's units, from the part itself."""
    pa = import_pyarrow()
    from pyarrow import parquet

    try:
        metadata = parquet.read_schema(pa.BufferReader(folder.read(ROWS + name))).metadata
        statuses = [UnitStatus(**fields) for fields in json.loads(metadata[UNITS.encode()])]
        table = pa.Table.from_pylist(json.loads(metadata[UNITS.encode()]), status_schema())
    except FileNotFoundError:  # another run has just cleared it away
        return status_schema().empty_table()
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError) as error:
        raise damaged(folder, name, first_line(error)) from None
    write_statuses(folder, name, statuses, part_bytes)
    return table


def damaged(folder: Folder, name: str, why: str) -> InputError:
    """The error of a part that cannot be read."""
    return InputError(
        f"{folder}/{ROWS}{name} is damaged, or is no part of a dataset ({why}); delete it, "
        "then repeat the run: its units are done again"
    )


def _check_units(folder: Folder, table: Any, manifest: Manifest) -> None:
    import pyarrow.compute as pc

    foreign = table.filter(pc.invert(pc.is_in(table["unit_id"], value_set=manifest.table["unit_id"].combine_chunks())))
    if len(foreign):
        (name, path), count = (foreign[column][0].as_py() for column in ("file", "path")), len(foreign)
        raise InputError(
            f"{folder}/{ROWS}{name} holds {count} units that the manifest does not have (the first is of {path}): they "
            "are of another run, or of recordings that are gone; move that file to another folder"
        )
