"""`manifest.parquet`: all units of a dataset, in the order of their rows, and what the rows depend on."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.archive.folder import Folder
from runtime.archive.plan import Plan
from runtime.archive.unit import Unit
from runtime.errors import InputError, first_line
from runtime.files import utf8
from runtime.rows.arrow import import_pyarrow, read_table

NAME = "manifest.parquet"
PLAN, PLAN_SHA256 = b"perch_onnx_plan", b"perch_onnx_plan_sha256"
ROW_GROUP = 100_000
TEXTS = "path", "below", "name"
NUMBERS = "size", "mtime_ns", "part", "parts", "windows", "work", "channel", "channels"


def manifest_schema() -> Any:
    """One row a unit. `exact` holds the names in bytes where they are not UTF-8."""
    pa = import_pyarrow()
    return pa.schema(
        [
            ("unit_id", pa.string()),
            *((name, pa.string()) for name in TEXTS),
            ("size", pa.int64()),
            ("mtime_ns", pa.int64()),
            ("part", pa.int32()),
            ("parts", pa.int32()),
            ("windows", pa.int64()),
            ("first_window", pa.int64()),
            ("last_window", pa.int64()),
            ("work", pa.float32()),
            ("channel", pa.int32()),
            ("channels", pa.int32()),
            ("exact", pa.binary()),
        ]
    )


def unit_columns(units: Iterable[Unit], part_windows: int) -> dict[str, list[Any]]:
    """Units as columns of a manifest."""
    rows = list(units)
    columns: dict[str, list[Any]] = {name: [utf8(getattr(unit, name)) for unit in rows] for name in TEXTS}
    columns["unit_id"] = [unit.id for unit in rows]
    for name in NUMBERS:
        columns[name] = [getattr(unit, name) for unit in rows]
    columns["first_window"] = [unit.part * part_windows for unit in rows]
    columns["last_window"] = [_last_window(unit, part_windows) for unit in rows]
    columns["exact"] = [_exact(unit) for unit in rows]
    return columns


def _last_window(unit: Unit, part_windows: int) -> int | None:
    if unit.part < unit.parts - 1:
        return (unit.part + 1) * part_windows - 1
    return None if unit.windows is None else unit.windows - 1


def _exact(unit: Unit) -> bytes | None:
    texts = [getattr(unit, name) for name in TEXTS]
    return None if all(text == utf8(text) for text in texts) else b"\0".join(map(os.fsencode, texts))


@dataclass(frozen=True)
class Manifest:
    """The units of a dataset, as an Arrow table with the columns of `manifest_schema`."""

    plan: Plan
    table: Any

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def work(self) -> NDArray[np.float32]:
        """What each unit is expected to cost, `float32 [units]`, in windows."""
        return np.asarray(self.table["work"].to_numpy(), np.float32)

    def units(self, rows: NDArray[np.int64] | None = None) -> Iterator[Unit]:
        """The units at these rows of the table, or all."""
        table = self.table if rows is None else self.table.take(rows)
        names = ("unit_id", *TEXTS, *NUMBERS, "exact")
        for batch in table.select(names).to_batches(max_chunksize=10_000):
            for id, path, below, name, *rest, exact in zip(*(column.to_pylist() for column in batch.columns)):
                if exact is not None:
                    path, below, name = map(os.fsdecode, exact.split(b"\0"))
                yield Unit(id, below, path, name, *rest)

    def among(self, ids: Any) -> NDArray[np.bool_]:
        """Which units are among these, an Arrow array of unit ids."""
        import pyarrow.compute as pc

        return np.asarray(pc.is_in(self.table["unit_id"], value_set=ids).to_numpy(), np.bool_)

    def to_bytes(self) -> bytes:
        """The file."""
        from pyarrow import parquet

        buffer = io.BytesIO()
        plan = self.plan.to_json().encode()
        table = self.table.replace_schema_metadata({PLAN: plan, PLAN_SHA256: _sha256(plan)})
        parquet.write_table(table, buffer, row_group_size=ROW_GROUP, compression="zstd", write_page_checksum=True)
        return buffer.getvalue()


def read_manifest(folder: Folder) -> Manifest | None:
    """The manifest of a dataset; None if there is none.

    Raises:
        InputError: it is damaged, or of another version.
    """
    pa = import_pyarrow()

    try:
        data = folder.read(NAME)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{folder}/{NAME} cannot be read ({first_line(error)})") from None
    try:
        table = read_table(data)
        about = table.schema.metadata or {}
        if not {PLAN, PLAN_SHA256} <= about.keys():
            raise ValueError("it does not say what its rows depend on")
        if _sha256(about[PLAN]) != about[PLAN_SHA256]:  # pages have checksums, what describes them has none
            raise ValueError("its description does not match its SHA-256")
        plan = Plan.from_json(about[PLAN].decode())
        table = table.replace_schema_metadata(None)
        for name in {"channel", "channels"}.difference(table.column_names):  # of the first version
            table = table.append_column(name, pa.nulls(len(table), pa.int32()))
        table = table.select(manifest_schema().names)
        return Manifest(plan, table.cast(manifest_schema()))
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder}/{NAME} is damaged, or not one of this version ({first_line(error)}); delete it to plan anew: "
            "what is done stays done"
        ) from None


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()
