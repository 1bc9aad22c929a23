"""The rows of an unfinished run on disk, so that they neither fill the memory nor are lost with the process.

`out.csv.partial` stands beside `out.csv` until that is whole. It is a series of records: two lengths (8 bytes each,
little-endian), a text of JSON, the CRC-32 of all this (4 bytes), and the bytes of arrays, whose own CRC-32 stands in
the text. The first record says what run this is, the others hold a finished part of a recording each, in the order of
the rows. Which arrays they are follows from the run: nothing in the file is taken for a type or a size. What comes
after the last record that is whole is cut off when the run is taken up again. Neither writing nor reading a record
takes more memory than its arrays have.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import re
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError, OutputError, reason
from runtime.rows.block import Block, Columns

FORMAT = 5
LENGTH, CRC = 8, 4
MOST_TEXT = 2**30
"""Bytes; the class list of a hundred thousand names and the row_ids of a year in one recording fit."""
PREFIX = "output."
OWN = {"start_s": "<f8", "end_s": "<f8", "status": "<U12"}
"""What each part has besides outputs."""


@dataclass(frozen=True)
class Finished:
    """A part of a recording whose rows are final. `size` and `mtime_ns` are the file's when it was begun."""

    path: str
    name: str
    size: int
    mtime_ns: int
    part: int
    parts: int
    windows: int | None
    """How many windows the recording promises where it has more than one part."""
    failure: str | None
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class _Record:
    """A record whose text is as it was written; its arrays stand from `body` to `end`."""

    text: dict[str, Any]
    crc32: int
    body: int
    end: int


class ChangedError(OutputError):
    """The rows on disk are not those that were written: another program wrote there."""


def unfinished_run(target: Path) -> dict[str, Any]:
    """What the rows depend on that a run left unfinished beside `target`; nothing where none can be told."""
    try:
        with _beside(target).open("rb", buffering=0) as file:
            first = _record(file, 0, os.fstat(file.fileno()).st_size)
    except (OSError, ValueError):
        return {}
    return dict(first.text["run"]) if first is not None and _says_run(first) else {}


class Spool:
    """Rows on disk, appended as they are finished.

    Args:
        target: the file that the rows will become.
        columns: what the rows hold.
        run: what the rows depend on, for a later run to compare.
        resume: whether to take up what an earlier run left; `finished` says what that was.

    Raises:
        InputError: an earlier run's rows are there and `resume` is false, or another run is writing them, or they are
            of a run with other options.
        OutputError: the folder cannot be written.
    """

    def __init__(self, target: Path, columns: Columns, run: Mapping[str, Any], resume: bool) -> None:
        self.path = _beside(target)
        self.finished: list[tuple[Finished, dict[str, int]]] = []
        """What an earlier run finished, and how many rows of each status it had."""
        self._arrays: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
            **{name: (np.dtype(kind), ()) for name, kind in OWN.items()},
            **{PREFIX + name: (_stored(columns.dtypes.get(name)), shape) for name, shape in columns.shapes.items()},
        }
        self._was_there = os.path.exists(self.path)  # which a name that is too long does not
        if resume and os.path.exists(target) and not self._was_there:
            raise InputError(f"{target} is there, and no unfinished run beside it to resume; delete it to run anew")
        try:
            self._file: FileIO = self.path.open("r+b" if self._was_there else "x+b", buffering=0)
        except OSError as error:
            raise OutputError(f"cannot write {self.path} ({reason(error)}); choose another output") from None
        self._end = self._records = self._crc32 = 0
        try:
            _lock(self._file, self.path)
            self._take_up(run, resume)
        except BaseException:
            self._file.close()
            raise

    def _take_up(self, run: Mapping[str, Any], resume: bool) -> None:
        """Finds what an earlier run finished, and cuts off what it did not."""
        size = os.fstat(self._file.fileno()).st_size
        before: dict[str, Any] = {}
        for record in self._whole(size):
            if self._end and not self.finished:
                self._compare(before, run, resume)
            if not (self._is_part(record) if self._end else _says_run(record)):
                raise self._foreign()
            if self._end:
                self.finished.append((Finished(**record.text["finished"]), record.text["counts"]))
            else:
                before = record.text["run"]
            self._note(record)
        if not self._end and not _broke_off(self._file, size):
            raise self._foreign()
        if not self.finished:
            self._end = self._records = self._crc32 = 0
        self._file.truncate(self._end)
        if not self._end:
            self._append({"format": FORMAT, "run": run}, [])

    def append(self, block: Block, finished: Finished) -> None:
        """Adds a part's rows.

        Raises:
            OutputError: the disk is full; what came before stays.
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
        if os.fstat(self._file.fileno()).st_size != self._end:
            raise self._changed()
        self._append(text, [values.reshape(-1).view(np.uint8).data for values in arrays])

    def blocks(self) -> Iterator[Block]:
        """The rows again, part by part.

        Raises:
            ChangedError: they are not those that were appended.
        """
        end = records = crc32 = 0
        while end < self._end:
            record = _record(self._file, end, self._end)
            if record is None:
                raise self._changed()
            if end:
                yield self._block(record)  # not named here, where it would stay while the next one is read
            end, records, crc32 = record.end, records + 1, _chained(crc32, record)
        if (records, crc32) != (self._records, self._crc32):
            raise self._changed()

    def _block(self, record: _Record) -> Block:
        body = self._body(record)
        if body is None or not self._is_part(record):
            raise self._changed()
        row_ids, start = record.text["row_ids"], 0
        arrays: dict[str, NDArray[Any]] = {}  # they share the memory of `body`
        for name, (kind, shape) in self._arrays.items():
            whole = (len(row_ids), *shape)
            arrays[name] = np.frombuffer(body, kind, math.prod(whole), start).reshape(whole)
            start += arrays[name].nbytes
        own: dict[str, Any] = {name: arrays.pop(name) for name in OWN}
        outputs = {name.removeprefix(PREFIX): values for name, values in arrays.items()}
        return Block(record.text["path"], row_ids, **own, outputs=outputs)

    def close(self, keep: bool | None) -> None:
        """Lets go of the file. `keep` is whether it stays; if None it does so where it holds rows or was found."""
        remove = keep is False or (keep is None and self._records <= 1 and not self._was_there)
        if remove and os.name == "posix":  # while it is locked, so that it is no other run's by then
            self.path.unlink(missing_ok=True)
        self._file.close()
        if remove:  # where a file that is open cannot be removed
            self.path.unlink(missing_ok=True)

    def _compare(self, before: Mapping[str, Any], run: Mapping[str, Any], resume: bool) -> None:
        if not resume:
            raise InputError(
                f"{self.path} holds the rows of a run that did not end; go on with it by `--resume` (resume=True), or "
                "delete it to start anew"
            )
        now = json.loads(json.dumps(run))
        changes = [  # an option that is at its default may not be named at all
            f"{name} was {_short(before.get(name))} and is {_short(now.get(name))}"
            for name in {**now, **before}
            if before.get(name) != now.get(name)
        ]
        if changes:
            raise InputError(
                f"cannot resume {self.path}: {'; '.join(changes)}; use what was used before, or delete it to start anew"
            )

    def _append(self, text: Mapping[str, Any], body: Sequence[memoryview]) -> None:
        """Adds a record, wholly or not at all."""
        length, crc32 = sum(map(len, body)), functools.reduce(lambda crc, data: zlib.crc32(data, crc), body, 0)
        data = json.dumps({**text, "crc32": crc32}).encode()
        head = len(data).to_bytes(LENGTH, "little") + length.to_bytes(LENGTH, "little") + data
        head_crc32 = zlib.crc32(head)
        try:
            self._file.seek(self._end)
            for piece in (memoryview(head + head_crc32.to_bytes(CRC, "little")), *body):
                written = 0
                while written < len(piece):
                    written += self._file.write(piece[written:])
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(self._end)
            raise OutputError(
                f"cannot write to {self.path.parent} ({reason(error)}); the rows so far are in {self.path}: make room, "
                "then go on by `--resume` (resume=True)"
            ) from None
        start = self._end + len(head) + CRC
        self._note(_Record({}, head_crc32, start, start + length))

    def _note(self, record: _Record) -> None:
        """Counts a record that is there."""
        self._end, self._records, self._crc32 = record.end, self._records + 1, _chained(self._crc32, record)

    def _whole(self, size: int) -> Iterator[_Record]:
        """The records that are as they were written, up to the first that is not."""
        end = 0
        while (record := _record(self._file, end, size)) is not None:
            if self._body(record) is None:
                return
            yield record
            end = record.end

    def _is_part(self, record: _Record) -> bool:
        """Whether a record is of a part, and its arrays are as large as this run's would be."""
        row_ids, counts, finished = (record.text.get(name) for name in ("row_ids", "counts", "finished"))
        if not (isinstance(row_ids, list) and isinstance(counts, dict) and isinstance(finished, dict)):
            return False
        numbers = [*counts.values(), *(finished.get(name) for name in ("size", "mtime_ns", "part", "parts"))]
        texts = [*row_ids, record.text.get("path"), finished.get("path"), finished.get("name")]
        notes, failure, windows = (finished.get(name) for name in ("notes", "failure", "windows"))
        row_bytes = sum(kind.itemsize * math.prod(shape) for kind, shape in self._arrays.values())
        return (
            finished.keys() == Finished.__dataclass_fields__.keys()
            and all(type(number) is int for number in numbers)
            and all(type(text) is str for text in texts)
            and isinstance(notes, list)
            and all(type(note) is str for note in notes)
            and (failure is None or type(failure) is str)
            and (windows is None or type(windows) is int)
            and sum(counts.values()) == len(row_ids)
            and record.end - record.body == len(row_ids) * row_bytes
        )

    def _body(self, record: _Record) -> bytearray | None:
        """The bytes of a record's arrays; None if they are not as they were written."""
        self._file.seek(record.body)
        body = bytearray(record.end - record.body)
        left = memoryview(body)
        while left and (count := self._file.readinto(left)):  # the system hands out less than 2 GiB at once
            left = left[count:]
        return body if zlib.crc32(body) == record.text.get("crc32") and not left else None

    def _foreign(self) -> InputError:
        return InputError(
            f"{self.path} is in the way, and was not left by a run of this version{_other_format(self._file)}, or is "
            "damaged; move it, or delete it"
        )

    def _changed(self) -> ChangedError:
        whole = sum(1 for _ in self._whole(os.fstat(self._file.fileno()).st_size))
        kept = (
            f"the first {whole - 1} are there as they were written; the same command with --resume (resume=True) keeps "
            "them and scores the others again"
            if whole
            else "none is left; delete it, and run anew"
        )
        return ChangedError(
            f"{self.path} was changed by another program during this run: of {self._records - 1} finished recordings "
            f"(or parts of long ones) {kept}"
        )


def _beside(target: Path) -> Path:
    return target.with_name(target.name + ".partial")


def _record(file: FileIO, start: int, size: int) -> _Record | None:
    """The record that starts there; None where there is none, or its text is not as it was written."""
    file.seek(start)
    lengths = file.read(2 * LENGTH)
    text, body = (int.from_bytes(lengths[i : i + LENGTH], "little") for i in (0, LENGTH))
    begin = start + 2 * LENGTH + text + CRC
    if len(lengths) < 2 * LENGTH or text > MOST_TEXT or begin + body > size:
        return None
    data, crc32 = file.read(text), int.from_bytes(file.read(CRC), "little")
    if zlib.crc32(lengths + data) != crc32:
        return None
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return _Record(found, crc32, begin, begin + body) if isinstance(found, dict) else None


def _says_run(record: _Record) -> bool:
    """Whether it can be the first record of a file."""
    return record.text.get("format") == FORMAT and isinstance(record.text.get("run"), dict)


def _broke_off(file: FileIO, size: int) -> bool:
    """Whether a file without a first record is a run's that was killed, or whose machine went down, in writing it."""
    file.seek(0)
    start = file.read(2 * LENGTH + 64)
    begins = start[2 * LENGTH :].startswith(f'{{"format": {FORMAT}, '.encode())
    return not start.strip(b"\0") or (begins and size < 2 * LENGTH + int.from_bytes(start[:LENGTH], "little") + CRC)


def _other_format(file: FileIO) -> str:
    """Which version's a file is, in parentheses, if that can be told. All begin with two lengths and a text."""
    file.seek(2 * LENGTH)
    found = re.match(rb'\{"format": (\d{1,9})\b', file.read(64))
    other = int(found[1]) if found else FORMAT
    return "" if other == FORMAT else f" (its format is {other}, this version's is {FORMAT})"


def _chained(crc32: int, record: _Record) -> int:
    """The CRC-32 of the checksums of all records up to this one."""
    return zlib.crc32(record.crc32.to_bytes(CRC, "little"), crc32)


def _stored(dtype: str | None) -> np.dtype[Any]:
    return np.dtype(dtype or "float32").newbyteorder("<")


def _prefixed(outputs: Mapping[str, Any]) -> dict[str, Any]:
    return {PREFIX + name: values for name, values in outputs.items()}


def _lock(file: FileIO, path: Path) -> None:
    """Keeps a second run from writing the same file; where the system knows no such locks, nothing does."""
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
        raise busy  # it ended, and took its file away, between our opening it and locking it


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
