"""What is done of a dataset: the units whose rows stand in committed parts, whoever wrote them."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.archive.folder import Folder
from runtime.archive.manifest import NAME, Manifest
from runtime.archive.part import (
    BYTES,
    FAILED,
    PART,
    PLAN,
    ROWS,
    STATUS,
    UnitStatus,
    drop_units,
    reading,
    remove_part,
    status_schema,
    units_in,
    write_statuses,
)
from runtime.errors import InputError, OutputError
from runtime.rows.arrow import import_pyarrow, read_table, sort_table

PARALLEL = 16
"""Statuses read at once."""


@dataclass(frozen=True)
class Ledger:
    """The statuses of all units that are done, an Arrow table with the columns of `status_schema`, each unit once.

    Of a unit that was done several times, one that did not fail counts, then the latest. `entries` also holds the
    others. `strangers` counts units that the manifest no longer has, since their recordings changed or are gone.
    """

    table: Any
    entries: Any
    strangers: int = 0

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

    def clear(self, folder: Folder, ids: set[str]) -> None:
        """Takes units out of all parts.

        Raises:
            InputError: a part is damaged.
            OutputError: one cannot be written.
        """
        holding = self.entries.filter(np.isin(_ids(self.entries), list(ids)))
        for name in sorted(set(holding["file"].to_pylist())):
            drop_units(folder, name, ids)

    def clear_failed(self, folder: Folder, again: Collection[str] = ()) -> None:
        """Removes parts of units that failed and were done `again`, by this run or, as the entries show, by another."""
        failed: dict[str, set[str]] = {}
        for status in self.statuses(_of_failed(self.entries)):
            failed.setdefault(status.file, set()).add(status.unit_id)
        for status in self.statuses(_of_failed(self.table)):
            if status.unit_id not in again:
                failed[status.file].clear()  # it still counts
        for name, ids in failed.items():
            if ids:
                remove_part(folder, name)


def _of_failed(table: Any) -> Any:
    import pyarrow.compute as pc

    return table.filter(pc.match_substring(table["file"], FAILED))


def read_ledger(folder: Folder, manifest: Manifest | None = None) -> Ledger:
    """What is done. A part whose status was never written, since its run was killed then, gets one.

    Raises:
        InputError: a part is damaged, or of another run than the manifest.
    """
    pa = import_pyarrow()
    parts = {name.removeprefix(ROWS): size for name, size in folder.files(ROWS).items()}
    written = {name.removeprefix(STATUS) for name in folder.files(STATUS)}
    if foreign := next((name for name in parts if not name.startswith(PART)), None):
        raise InputError(f"{folder}/{ROWS}{foreign} is no part of this dataset; move it to another folder")

    def read(name: str) -> Any:
        return _read_status(folder, name, parts[name], name in written)

    with ThreadPoolExecutor(PARALLEL) as threads:  # a network makes each wait
        found = list(threads.map(read, sorted(parts)))
    for name, (_, fingerprint) in zip(sorted(parts), found):
        if manifest is not None and fingerprint not in ("", manifest.plan.fingerprint):
            raise InputError(
                f"{folder}/{ROWS}{name} was made by another model, or with other options, than {NAME} says; move it to "
                "another folder"
            )
    every = pa.concat_tables([status_schema().empty_table(), *(table for table, _ in found)])
    known = every if manifest is None else every.filter(pa.array(np.isin(_ids(every), _ids(manifest.table))))
    ordered = sort_table(known, ("unit_id", "ascending"), ("state", "descending"), ("finished", "descending"))
    ids = _ids(ordered)
    first = np.ones(len(ids), np.bool_)
    first[1:] = ids[1:] != ids[:-1]
    return Ledger(ordered.filter(pa.array(first)).combine_chunks(), ordered, len(every) - len(known))


def _ids(table: Any) -> NDArray[np.object_]:
    return np.asarray(table["unit_id"].to_numpy(zero_copy_only=False))


def _read_status(folder: Folder, name: str, part_bytes: int, written: bool) -> tuple[Any, str]:
    """The status of a part's units, and the fingerprint of its plan; from the part itself where its status is not
    there, is damaged, or is of another size.

    Raises:
        InputError: the part is damaged.
    """
    pa = import_pyarrow()
    with contextlib.suppress(pa.ArrowException, OSError, ValueError, LookupError, TypeError):
        table = read_table(folder.read(STATUS + name)) if written else None
        if table is not None and int(table.schema.metadata[BYTES.encode()]) == part_bytes:
            fingerprint = table.schema.metadata[PLAN.encode()].decode()
            return table.replace_schema_metadata(None).cast(status_schema()), fingerprint
    with reading(folder, name):
        try:
            data = folder.read(ROWS + name)
        except FileNotFoundError:  # another run has just cleared it away
            return status_schema().empty_table(), ""
        statuses, fingerprint = units_in(data)
        table = pa.Table.from_pylist([asdict(status) for status in statuses], status_schema())
    with contextlib.suppress(OutputError):  # who may only read does not need it
        write_statuses(folder, name, statuses, len(data), fingerprint)
    return table, fingerprint
