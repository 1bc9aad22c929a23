"""The rows of an unfinished run on disk, so that they neither fill the memory nor are lost with the process.

`out.csv.partial` stands beside `out.csv` until that is whole. It is a series of records, each two lengths (8 bytes,
little-endian), a text of JSON and the bytes of arrays that it names: first one that says what run this is, then one a
finished part of a recording, in the order of the rows. A record that was not written to its end is cut off when the run
is taken up again. Neither writing nor reading a record takes more memory than its arrays have.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.block import Block
from runtime.errors import InputError, reason

FORMAT = 4
LENGTH = 8
MOST_HEADER = 2**26
"""Bytes; a class list of each name of a hundred thousand classes fits."""
PREFIX = "output."
ARRAYS = ("start_s", "end_s", "status")


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


def unfinished_run(target: Path) -> dict[str, Any]:
    """What the rows depend on that a run left unfinished beside `target`; nothing where none can be told."""
    try:
        with _beside(target).open("rb") as file:
            text, _ = (int.from_bytes(file.read(LENGTH), "little") for _ in range(2))
            header = json.loads(file.read(min(text, MOST_HEADER)))
        return dict(header["run"]) if header["format"] == FORMAT else {}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return {}


class Spool:
    """Rows on disk, appended as they are finished.

    Args:
        target: the file that the rows will become.
        run: what the rows depend on, for a later run to compare.
        resume: whether to take up what an earlier run left; `finished` says what that was.

    Raises:
        InputError: the folder cannot be written; an earlier run's rows are there and `resume` is false, or another
            run is writing them, or they are of a run with other options.
    """

    def __init__(self, target: Path, run: Mapping[str, Any], resume: bool) -> None:
        self.path = _beside(target)
        self.finished: list[tuple[Finished, dict[str, int]]] = []
        """What an earlier run finished, and how many rows of each status it had."""
        if resume and target.exists() and not self.path.exists():
            raise InputError(f"{target} is there, and no unfinished run beside it to resume; delete it to run anew")
        try:
            self._file: FileIO = self.path.open("r+b" if self.path.exists() else "x+b", buffering=0)
        except OSError as error:
            raise InputError(f"cannot write {self.path} ({reason(error)}); choose another output") from None
        self._end = 0
        try:
            _lock(self._file, self.path)
            before: dict[str, Any] = {}
            size = os.fstat(self._file.fileno()).st_size
            for start, header, after in self._records(size):
                if zlib.crc32(self._read(after - self._file.tell())) != header["crc32"]:
                    break  # what the machine did not get to write when it went down
                if start:
                    self.finished.append((Finished(**header["finished"]), header["counts"]))
                    self._end = after
                elif header["format"] != FORMAT:
                    raise InputError(self._foreign)
                else:
                    before = header["run"]
            if self.finished:
                self._compare(before, run, resume)
            elif not before and size:
                raise InputError(self._foreign)
            self._file.truncate(self._end)
            if not self._end:
                self._append({"format": FORMAT, "run": run}, [])
            self._empty = self._end
        except (LookupError, TypeError, AttributeError):  # JSON, but not what this version writes
            self._file.close()
            raise InputError(self._foreign) from None
        except BaseException:
            self._file.close()
            raise

    def append(self, block: Block, finished: Finished) -> None:
        """Adds a part's rows.

        Raises:
            InputError: the disk is full; what came before stays.
        """
        statuses, counts = np.unique(block.status, return_counts=True)
        named = {name: getattr(block, name) for name in ARRAYS} | _prefixed(block.outputs)
        arrays = {name: np.ascontiguousarray(values) for name, values in named.items()}
        header = {
            "finished": asdict(finished),
            "counts": dict(zip(statuses.tolist(), counts.tolist(), strict=True)),
            "path": block.path,
            "row_ids": block.row_ids,
            "arrays": {name: (values.dtype.str, values.shape) for name, values in arrays.items()},
        }
        self._append(header, [values.reshape(-1).view(np.uint8).data for values in arrays.values()])

    def blocks(self) -> Iterator[Block]:
        """The rows again, part by part."""
        for start, header, after in self._records(self._end):
            if start:
                yield self._block(header, after)  # not named here, where it would stay while the next one is read

    def _block(self, header: Mapping[str, Any], after: int) -> Block:
        arrays = _arrays(header["arrays"], self._read(after - self._file.tell()))
        own: dict[str, Any] = {name: arrays.pop(name) for name in ARRAYS}
        outputs = {name.removeprefix(PREFIX): values for name, values in arrays.items()}
        return Block(header["path"], header["row_ids"], **own, outputs=outputs)

    def close(self, keep: bool) -> None:
        """Lets go of the file, which stays if it is to be kept and holds rows."""
        remove = not keep or (self._end == self._empty and not self.finished)
        if remove and os.name == "posix":  # while it is locked, so that it is no other run's by then
            self.path.unlink(missing_ok=True)
        self._file.close()
        if remove:  # where a file that is open cannot be removed
            self.path.unlink(missing_ok=True)

    @property
    def _foreign(self) -> str:
        return f"{self.path} is in the way, and was not left by a run of this version; move it, or delete it"

    def _compare(self, before: Mapping[str, Any], run: Mapping[str, Any], resume: bool) -> None:
        if not resume:
            raise InputError(
                f"{self.path} holds the rows of a run that did not end; go on with it by `--resume` (resume=True), or "
                "delete it to start anew"
            )
        changes = [
            f"{name} was {_short(before.get(name))} and is {_short(now)}"
            for name, now in json.loads(json.dumps(run)).items()
            if before.get(name) != now
        ]
        if changes:
            raise InputError(
                f"cannot resume {self.path}: {'; '.join(changes)}; use what was used before, or delete it to start anew"
            )

    def _append(self, header: Mapping[str, Any], body: Sequence[memoryview]) -> None:
        length, crc32 = sum(map(len, body)), functools.reduce(lambda crc, data: zlib.crc32(data, crc), body, 0)
        text = json.dumps({**header, "crc32": crc32}).encode()
        lengths = len(text).to_bytes(LENGTH, "little") + length.to_bytes(LENGTH, "little")
        try:
            self._file.seek(self._end)
            for data in (memoryview(lengths + text), *body):
                written = 0
                while written < len(data):
                    written += self._file.write(data[written:])
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(self._end)
            raise InputError(
                f"cannot write to {self.path.parent} ({reason(error)}); the rows so far are in {self.path}: make room, "
                "then go on by `--resume` (resume=True)"
            ) from None
        self._end += len(lengths) + len(text) + length

    def _read(self, length: int) -> bytearray:
        """What follows; the system hands out less than 2 GiB at once."""
        data = bytearray(length)
        left = memoryview(data)
        while left and (count := self._file.readinto(left)):
            left = left[count:]
        return data

    def _records(self, size: int) -> Iterator[tuple[int, dict[str, Any], int]]:
        """Where each whole record starts, its header, and where it ends; the file then stands before its arrays."""
        start = 0
        while start + 2 * LENGTH <= size:
            self._file.seek(start)
            text, body = (int.from_bytes(self._file.read(LENGTH), "little") for _ in range(2))
            after = start + 2 * LENGTH + text + body
            if after > size:
                return
            try:
                header = json.loads(self._file.read(text))
            except ValueError:  # not what was written
                return
            yield start, header, after
            start = after


def _beside(target: Path) -> Path:
    return target.with_name(target.name + ".partial")


def _arrays(described: Mapping[str, tuple[str, Sequence[int]]], body: bytearray) -> dict[str, NDArray[Any]]:
    """Arrays that share the memory of `body`, in which they stand one after another."""
    arrays, start = {}, 0
    for name, (dtype, shape) in described.items():
        arrays[name] = np.frombuffer(body, dtype, math.prod(shape), start).reshape(shape)
        start += arrays[name].nbytes
    return arrays


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
