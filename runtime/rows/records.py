"""Records in a file: a text of JSON and a body of bytes each, with checksums that tell whether they are intact.

A record is two lengths (of the text and of the body, 8 bytes each, little-endian), the text, the CRC-32 of all this
(4 bytes), and the body, whose own CRC-32 stands in the text as `crc32`. Neither writing nor reading one takes more
memory than its text and body.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from typing import Any

LENGTH, CRC = 8, 4
MOST_TEXT = 2**30
"""Bytes; the class list of a hundred thousand names and the row_ids of a year in one recording fit."""


@dataclass(frozen=True)
class Record:
    """A record whose text is intact, `crc32` its checksum; the body lies in the file from `body` to `end`."""

    text: Mapping[str, Any]
    crc32: int
    body: int
    end: int


@dataclass(frozen=True)
class Extent:
    """The records of a file up to `end`: how many, and the CRC-32 of their checksums."""

    end: int = 0
    records: int = 0
    crc32: int = 0

    def plus(self, record: Record) -> Extent:
        """The same records and the next one."""
        crc32 = zlib.crc32(record.crc32.to_bytes(CRC, "little"), self.crc32)
        return Extent(record.end, self.records + 1, crc32)


def size_of(file: FileIO) -> int:
    """The size of an open file in bytes."""
    return os.fstat(file.fileno()).st_size


def read_record(file: FileIO, start: int, size: int) -> Record | None:
    """The record at `start` of a file of `size` bytes; None if it does not fit in or its text is not intact."""
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
        parsed = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return Record(parsed, crc32, begin, begin + body) if isinstance(parsed, dict) else None


def read_body(file: FileIO, record: Record) -> bytearray | None:
    """A record's body; None if it is not intact."""
    file.seek(record.body)
    body = bytearray(record.end - record.body)
    left = memoryview(body)
    while left and (count := file.readinto(left)):  # the system hands out less than 2 GiB at once
        left = left[count:]
    return body if zlib.crc32(body) == record.text.get("crc32") and not left else None


def intact_records(file: FileIO) -> Iterator[Record]:
    """The records from the file's start to the first that is not intact."""
    end, size = 0, size_of(file)
    while (record := read_record(file, end, size)) is not None:
        if read_body(file, record) is None:
            return
        yield record
        end = record.end


def write_record(file: FileIO, start: int, text: Mapping[str, Any], body: Sequence[memoryview]) -> Record:
    """Writes a record at `start`, the end of a file, completely or not at all. The record returned has an empty text.

    Raises:
        OSError: the disk is full, or fails.
    """
    length = sum(map(len, body))
    body_crc32 = functools.reduce(lambda crc32, piece: zlib.crc32(piece, crc32), body, 0)
    data = json.dumps({**text, "crc32": body_crc32}).encode()
    head = len(data).to_bytes(LENGTH, "little") + length.to_bytes(LENGTH, "little") + data
    crc32 = zlib.crc32(head)
    try:
        file.seek(start)
        for piece in (memoryview(head + crc32.to_bytes(CRC, "little")), *body):
            written = 0
            while written < len(piece):
                written += file.write(piece[written:])
    except OSError:
        with contextlib.suppress(OSError):
            file.truncate(start)
        raise
    begin = start + len(head) + CRC
    return Record({}, crc32, begin, begin + length)
