"""The rows of an unfinished run on disk, so that they neither fill the memory nor are lost with the process.

`out.csv.partial` stands beside `out.csv` until that is written. The first of its records says what run this is; each of
the others holds a finished part of a recording, in the order of the rows. Which arrays a part has follows from the run:
nothing in the file is trusted with a type or a size. What follows the last intact record is cut off when a run resumes.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError, OutputError, reason
from runtime.rows.block import Block, Columns
from runtime.rows.changes import changes
from runtime.rows.finished import Finished
from runtime.rows.records import (
    CRC,
    LENGTH,
    Extent,
    Record,
    intact_records,
    read_body,
    read_record,
    size_of,
    write_record,
)

FORMAT = 5
PREFIX = "output."
OWN = {"start_s": "<f8", "end_s": "<f8", "status": "<U12"}
"""The arrays that each part has besides its outputs."""


class ChangedError(OutputError):
    """Another program wrote to the file: it no longer holds the rows that were appended."""


def unfinished_run(target: Path) -> dict[str, Any]:
    """What the rows of an unfinished run beside `target` depend on; empty if there is none that can be read."""
    try:
        with _beside(target).open("rb", buffering=0) as file:
            first = read_record(file, 0, size_of(file))
    except (OSError, ValueError):
        return {}
    return dict(first.text["run"]) if first is not None and _says_run(first) else {}


class Spool:
    """Rows on disk, appended part by part.

    Args:
        target: the file that the rows will become.
        columns: what the rows hold.
        run: what the rows depend on, for a later run to compare.
        resume: whether to keep the parts that an earlier run finished; they are in `finished`.

    Raises:
        InputError: an earlier run's rows are there and `resume` is false, another run is writing them, or their run
            had other options.
        OutputError: the folder cannot be written.
    """

    def __init__(self, target: Path, columns: Columns, run: Mapping[str, Any], resume: bool) -> None:
        self.path = _beside(target)
        self.finished: list[tuple[Finished, dict[str, int]]] = []
        """Parts that an earlier run finished, and how many rows of each status they have."""
        self._arrays: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
            **{name: (np.dtype(kind), ()) for name, kind in OWN.items()},
            **{PREFIX + name: (_stored(columns.dtypes.get(name)), shape) for name, shape in columns.shapes.items()},
        }
        self._about = columns.about
        self._was_there = os.path.exists(self.path)  # False, not an error, for a name that is too long
        if resume and os.path.exists(target) and not self._was_there:
            raise InputError(f"{target} is there, and no unfinished run beside it to resume; delete it to run anew")
        try:
            self._file: FileIO = self.path.open("r+b" if self._was_there else "x+b", buffering=0)
        except OSError as error:
            raise OutputError(f"cannot write {self.path} ({reason(error)}); choose another output") from None
        self._written = Extent()
        try:
            _lock(self._file, self.path)
            self._begin(run, resume)
        except BaseException:
            self._file.close()
            raise

    def _begin(self, run: Mapping[str, Any], resume: bool) -> None:
        """Keeps what an earlier run finished and cuts off the rest, or begins a new file."""
        before: dict[str, Any] = {}
        for record in intact_records(self._file):
            first = not self._written.records
            if not first and not self.finished:
                self._compare(before, run, resume)
            part = None if first else self._part(record)
            if part is not None:
                self.finished.append(part)
            elif first and _says_run(record):
                before = record.text["run"]
            else:
                raise self._foreign()
            self._written = self._written.plus(record)
        if not self._written.records and not _broke_off(self._file):
            raise self._foreign()
        if not self.finished:
            self._written = Extent()
        self._file.truncate(self._written.end)
        if not self._written.records:
            self._append({"format": FORMAT, "run": run}, [])

    def append(self, block: Block, finished: Finished) -> None:
        """Adds the rows of a part.

        Raises:
            OutputError: the disk is full; the parts before it stay.
            ChangedError: another program wrote to the file.
        """
        statuses, counts = np.unique(block.status, return_counts=True)
        text = {
            "finished": asdict(finished),
            "counts": dict(zip(statuses.tolist(), counts.tolist(), strict=True)),
            "path": block.path,
            "row_ids": block.row_ids,
        }
        named = {name: getattr(block, name) for name in OWN} | _prefixed(block.outputs)
        arrays = [np.ascontiguousarray(named[name], kind) for name, (kind, _) in self._arrays.items()]
        if size_of(self._file) != self._written.end:
            raise self._changed()
        self._append(text, [values.reshape(-1).view(np.uint8).data for values in arrays])

    def blocks(self) -> Iterator[Block]:
        """The rows of all parts, in order.

        Raises:
            ChangedError: the file no longer holds what was appended.
        """
        read = Extent()
        while read.end < self._written.end:
            record = read_record(self._file, read.end, self._written.end)
            if record is None:
                raise self._changed()
            if read.records:
                yield self._block(record)  # not named here, where it would stay while the next one is read
            read = read.plus(record)
        if read != self._written:
            raise self._changed()

    def _block(self, record: Record) -> Block:
        body, part = read_body(self._file, record), self._part(record)
        if body is None or part is None:
            raise self._changed()
        row_ids, start = record.text["row_ids"], 0
        arrays: dict[str, NDArray[Any]] = {}  # views of `body`
        for name, (kind, shape) in self._arrays.items():
            shape = (len(row_ids), *shape)
            arrays[name] = np.frombuffer(body, kind, math.prod(shape), start).reshape(shape)
            start += arrays[name].nbytes
        own: dict[str, Any] = {name: arrays.pop(name) for name in OWN}
        outputs = {name.removeprefix(PREFIX): values for name, values in arrays.items()}
        path = record.text["path"]
        return Block(path, row_ids, **own, outputs=outputs, origins={path: part[0].origin})

    def close(self, keep: bool | None) -> None:
        """Closes the file. `keep` is whether it stays; None: if it holds rows, or was there before."""
        remove = keep is False or (keep is None and self._written.records <= 1 and not self._was_there)
        posix = os.name == "posix"
        if remove and posix:  # while it is locked, so that it cannot be another run's
            self.path.unlink(missing_ok=True)
        self._file.close()
        if remove and not posix:  # there an open file cannot be removed
            self.path.unlink(missing_ok=True)

    def _compare(self, before: Mapping[str, Any], run: Mapping[str, Any], resume: bool) -> None:
        """Refuses to go on with an earlier run unless `resume` asks for it and the options are the same."""
        if not resume:
            raise InputError(
                f"{self.path} holds the rows of a run that did not end; go on with it by `--resume` (resume=True), or "
                "delete it to start anew"
            )
        found = changes(before, json.loads(json.dumps(run)), int(self._about["sample_rate"]))
        if found:
            raise InputError(
                f"cannot resume {self.path}: {'; '.join(found)}; use what was used before, or delete it to start anew"
            )

    def _append(self, text: Mapping[str, Any], body: Sequence[memoryview]) -> None:
        """Adds a record, completely or not at all."""
        try:
            record = write_record(self._file, self._written.end, text, body)
        except OSError as error:
            rows = f"the rows so far are in {self.path}: make room, then go on by `--resume` (resume=True)"
            if self._written.records <= 1:  # the first one holds no part
                rows = "there are no rows yet: make room, then repeat the command"
            raise OutputError(f"cannot write to {self.path.parent} ({reason(error)}); {rows}") from None
        self._written = self._written.plus(record)

    def _part(self, record: Record) -> tuple[Finished, dict[str, int]] | None:
        """The part that a record holds, and how many rows of each status it has.

        None if it holds none, or its arrays are not as large as this run's.
        """
        row_ids, counts, path = (record.text.get(name) for name in ("row_ids", "counts", "path"))
        finished = Finished.read(record.text.get("finished"))
        if finished is None or not (isinstance(row_ids, list) and isinstance(counts, dict)):
            return None
        row_bytes = sum(kind.itemsize * math.prod(shape) for kind, shape in self._arrays.values())
        fits = (
            all(type(text) is str for text in (path, *row_ids))
            and all(type(count) is int for count in counts.values())
            and sum(counts.values()) == len(row_ids)
            and record.end - record.body == len(row_ids) * row_bytes
        )
        return (finished, counts) if fits else None

    def _foreign(self) -> InputError:
        return InputError(
            f"{self.path} is in the way, and was not left by a run of this version{_other_format(self._file)}, or is "
            "damaged; move it, or delete it"
        )

    def _changed(self) -> ChangedError:
        finished = self._written.records - 1
        intact = sum(1 for _ in intact_records(self._file)) - 1  # the first one holds no part
        kept = (
            f"the first {intact} are there as they were written; the same command with --resume (resume=True) keeps "
            "them and scores the others again"
            if intact >= 0
            else "none is left; delete it, and run anew"
        )
        return ChangedError(
            f"{self.path} was changed by another program during this run: of {finished} finished recordings (or parts "
            f"of long ones) {kept}"
        )


def _beside(target: Path) -> Path:
    return target.with_name(target.name + ".partial")


def _says_run(record: Record) -> bool:
    """Whether it is the first record of a run in this format."""
    return record.text.get("format") == FORMAT and isinstance(record.text.get("run"), dict)


def _broke_off(file: FileIO) -> bool:
    """Whether a file without an intact record was left by a run that was killed while it wrote the first."""
    file.seek(0)
    start = file.read(2 * LENGTH + 64)
    begins = start[2 * LENGTH :].startswith(f'{{"format": {FORMAT}, '.encode())
    return not start.strip(b"\0") or (
        begins and size_of(file) < 2 * LENGTH + int.from_bytes(start[:LENGTH], "little") + CRC
    )


def _other_format(file: FileIO) -> str:
    """The format of a file, in parentheses, if it is another one. All begin with two lengths and a text."""
    file.seek(2 * LENGTH)
    match = re.match(rb'\{"format": (\d{1,9})\b', file.read(64))
    other = int(match[1]) if match else FORMAT
    return "" if other == FORMAT else f" (its format is {other}, this version's is {FORMAT})"


def _stored(dtype: str | None) -> np.dtype[Any]:
    return np.dtype(dtype or "float32").newbyteorder("<")


def _prefixed(outputs: Mapping[str, Any]) -> dict[str, Any]:
    return {PREFIX + name: values for name, values in outputs.items()}


def _lock(file: FileIO, path: Path) -> None:
    """Keeps a second run from writing the same file, where the system has such locks."""
    if sys.platform == "win32":
        return
    import fcntl

    busy = InputError(f"another run is writing {path}; wait for its end, or choose another output")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise busy from None
    except OSError:  # a file system without locks
        return
    if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
        raise busy  # the other run ended, and removed its file, between our opening and locking it
