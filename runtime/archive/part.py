"""Parts of a dataset: files of rows, each with a file beside it that says which units they are of.

A unit is done once its rows stand in a part. The part's own metadata lists its units, so that one without its file in
`status/`, left by a run that was killed between the two, can be told to be whole.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import platform
import time
import uuid
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

from runtime.archive.folder import Folder
from runtime.archive.plan import Plan
from runtime.archive.scoring import ScoredUnit
from runtime.errors import InputError, first_line, reason
from runtime.files import utf8
from runtime.rows.arrow import import_pyarrow, read_table
from runtime.rows.block import Block
from runtime.rows.formats.parquet_file import write_parquet

ROWS, STATUS, PART = "rows/", "status/", "part-"
FAILED = "-failed"
"""How the name of a part ends whose units failed: several without rows, or a single one. It can be removed alone."""
UNITS, BYTES, PLAN = "units", "part_bytes", "plan_sha256"
PART_BYTES, COMMIT_S = 32 * 2**20, 120.0
"""Rows are committed when they have so many bytes, or after so many seconds."""
OK, FAILURE = "ok", "failed"


@dataclass(frozen=True, slots=True)
class UnitStatus:
    """What became of a unit, a row of a file in `status/`.

    `rows` of it stand in `file` from row `at` on; `scored` of them have scores. `windows` is how many its recording has
    or promises, None if unknown. `seconds` is how long a worker had it; `finished` is when it was done, in seconds
    since 1970. `began` is when the recording was begun, in ISO 8601, None if unknown.
    """

    unit_id: str
    path: str
    part: int
    state: str
    reason: str | None
    notes: list[str]
    rows: int
    scored: int
    windows: int | None
    seconds: float
    finished: float
    host: str
    file: str = ""
    at: int = 0
    began: str | None = None


def status_schema() -> Any:
    """The columns of a file in `status/`."""
    pa = import_pyarrow()
    text, number = pa.string(), pa.int64()
    kinds = {"notes": pa.list_(text), "seconds": pa.float64(), "finished": pa.float64()}
    numbers = ("part", "rows", "scored", "windows", "at")
    return pa.schema(
        [(name, kinds.get(name, number if name in numbers else text)) for name in UnitStatus.__dataclass_fields__]
    )


class PartWriter:
    """Collects scored units, and commits them part by part, in a thread of its own.

    Args:
        folder: the dataset.
        plan: what rows hold.
        label: names the parts, such as the shard.
    """

    def __init__(self, folder: Folder, plan: Plan, label: str) -> None:
        self._folder, self._plan = folder, plan
        self._prefix = f"{PART}{label}-{uuid.uuid4().hex[:8]}"
        self._number = 0
        self._waiting: list[tuple[UnitStatus, Block]] = []
        self._bytes, self._since = 0, time.monotonic()
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._commit: Future[None] | None = None

    def add(self, scored: ScoredUnit) -> UnitStatus:
        """Takes a unit. Raises OutputError if those before it could not be committed."""
        status = self._status(scored)
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting.append((status, scored.block))
        self._bytes += sum(values.nbytes for values in scored.block.outputs.values())
        if self._bytes >= PART_BYTES or time.monotonic() - self._since >= COMMIT_S:
            self.commit()
        return status

    def commit(self) -> None:
        """Begins to write what is waiting, after what is being written. Raises OutputError if that failed."""
        self._settle()
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        self._commit = self._thread.submit(self._write, waiting)

    def close(self) -> None:
        """Writes the rest. Raises OutputError if anything could not be written."""
        try:
            self.commit()
            self._settle()
        finally:
            self._thread.shutdown()

    def _settle(self) -> None:
        if self._commit is not None:
            commit, self._commit = self._commit, None
            commit.result()

    def _status(self, scored: ScoredUnit) -> UnitStatus:
        unit, block = scored.unit, scored.block
        return UnitStatus(
            unit_id=unit.id,
            path=utf8(unit.path),
            part=unit.part,
            state=OK if scored.failure is None else FAILURE,
            reason=None if scored.failure is None else utf8(scored.failure),
            notes=[utf8(note) for note in scored.notes],
            rows=len(block),
            scored=int(block.has_score.sum()),
            windows=scored.windows,
            seconds=scored.seconds,
            finished=time.time(),
            host=platform.node(),
            began=None if scored.began is None else scored.began.isoformat(),
        )

    def _write(self, waiting: Sequence[tuple[UnitStatus, Block]]) -> None:
        """Writes a part of the units that are well, one of those without rows that failed, and one of each other."""
        well = [each for each in waiting if each[0].state == OK]
        empty = [each for each in waiting if each[0].state == FAILURE and not each[0].rows]
        others = [[each] for each in waiting if each[0].state == FAILURE and each[0].rows]
        for units, ending in ((well, ""), (empty, FAILED), *((unit, FAILED) for unit in others)):
            if units:
                self._number += 1
                write_part(self._folder, self._plan, f"{self._prefix}-{self._number:05d}{ending}.parquet", units)


def write_part(folder: Folder, plan: Plan, name: str, units: Sequence[tuple[UnitStatus, Block]]) -> None:
    """Writes the rows of units, then what became of them."""
    placed = _placed([status for status, _ in units], name)
    about = {**plan.columns.about, UNITS: _listed(placed), PLAN: plan.fingerprint}
    buffer = io.BytesIO()
    columns = replace(plan.columns, about=about)
    write_parquet([block for _, block in units], buffer, columns, write_page_checksum=True)
    _write(folder, name, buffer.getvalue(), placed, plan.fingerprint)


def damaged(folder: Folder, name: str, why: str) -> InputError:
    """The error of a part that cannot be read."""
    return InputError(
        f"{folder}/{ROWS}{name} is damaged, or is no part of a dataset ({why}); delete it, "
        "then repeat the run: its units are done again"
    )


@contextlib.contextmanager
def reading(folder: Folder, name: str) -> Iterator[None]:
    """Raises InputError if the part cannot be read in the `with` block: `damaged`, unless the system says why."""
    pa = import_pyarrow()
    try:
        yield
    except OSError as error:
        if error.errno is None:  # Arrow raises these for what is damaged
            raise damaged(folder, name, first_line(error)) from None
        raise InputError(f"cannot read {folder}/{ROWS}{name} ({reason(error)}); repeat the command") from None
    except (pa.ArrowException, ValueError, LookupError, TypeError) as error:
        raise damaged(folder, name, first_line(error)) from None


def units_in(data: bytes) -> tuple[list[UnitStatus], str]:
    """The units in the bytes of a part, and the fingerprint of its plan; call it while `reading`."""
    pa = import_pyarrow()
    from pyarrow import parquet

    metadata = parquet.read_schema(pa.BufferReader(data)).metadata or {}
    statuses = [UnitStatus(**fields) for fields in json.loads(metadata[UNITS.encode()])]
    return statuses, metadata[PLAN.encode()].decode()


def drop_units(folder: Folder, name: str, dropped: Collection[str]) -> None:
    """Takes units out of a part. What is left of it gets another name: a part never changes under its own.

    Raises:
        InputError: the part is damaged.
        OutputError: it cannot be written.
    """
    pa = import_pyarrow()
    from pyarrow import parquet

    with reading(folder, name):
        try:
            data = folder.read(ROWS + name)
        except FileNotFoundError:  # another run was faster
            return
        statuses, fingerprint = units_in(data)
        kept = [status for status in statuses if status.unit_id not in dropped]
        table = read_table(data) if kept else None
    if table is not None:
        table = pa.concat_tables([table.slice(status.at, status.rows) for status in kept])
        new = f"{PART}kept-{uuid.uuid4().hex[:8]}-{name.removeprefix(PART)}"
        placed = _placed(kept, new)
        buffer = io.BytesIO()
        table = table.replace_schema_metadata({**table.schema.metadata, UNITS.encode(): _listed(placed).encode()})
        parquet.write_table(table, buffer, compression="zstd", write_page_checksum=True)
        _write(folder, new, buffer.getvalue(), placed, fingerprint)
    remove_part(folder, name)


def remove_part(folder: Folder, name: str) -> None:
    """Removes a part and its status, if they are there."""
    folder.remove(ROWS + name)
    folder.remove(STATUS + name)


def write_statuses(
    folder: Folder, name: str, statuses: Sequence[UnitStatus], part_bytes: int, fingerprint: str
) -> None:
    """Writes what became of the units of a part of so many bytes."""
    pa = import_pyarrow()
    from pyarrow import parquet

    buffer = io.BytesIO()
    table = pa.Table.from_pylist([asdict(status) for status in statuses], status_schema())
    table = table.replace_schema_metadata({BYTES: str(part_bytes), PLAN: fingerprint})
    parquet.write_table(table, buffer, write_page_checksum=True)
    folder.write(STATUS + name, buffer.getvalue())


def _write(folder: Folder, name: str, data: bytes, placed: Sequence[UnitStatus], fingerprint: str) -> None:
    folder.write(ROWS + name, data)
    write_statuses(folder, name, placed, len(data), fingerprint)


def _listed(statuses: Sequence[UnitStatus]) -> str:
    return json.dumps([asdict(status) for status in statuses])


def _placed(statuses: Sequence[UnitStatus], name: str) -> list[UnitStatus]:
    """The statuses of units whose rows follow one another in a part."""
    starts = itertools.accumulate((status.rows for status in statuses), initial=0)
    return [replace(status, file=name, at=at) for status, at in zip(statuses, starts)]
