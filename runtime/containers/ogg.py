"""The pages of an OGG file (RFC 3533, section 6), as far as libsndfile does not look at them itself."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

HEADER = 27
LONGEST_PAGE = HEADER + 255 + 255 * 255
FIRST, LAST = 2, 4
"""Flags of a page: it begins a stream, it ends one."""


def ends_whole(path: Path) -> bool:
    """Whether the last page is whole and marked as the last of its stream."""
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - LONGEST_PAGE))
        tail = file.read()
    at = tail.rfind(b"OggS")
    if at < 0 or len(tail) < at + HEADER:
        return False
    segments = tail[at + 26]
    table = tail[at + HEADER : at + HEADER + segments]
    whole = len(table) == segments and len(tail) >= at + HEADER + segments + sum(table)
    return whole and bool(tail[at + 5] & LAST)


def links(path: Path) -> list[tuple[int, int]]:
    """First byte and end of each of the streams that are chained in a file; libsndfile reads the first alone."""
    starts: list[int] = []
    within = False  # a stream: pages that begin one, as many as there are tracks, then others
    with path.open("rb") as file:
        for offset, flags in _pages(file):
            if flags & FIRST and (within or not starts):
                starts.append(offset)
            within = not flags & FIRST
        file.seek(0, 2)
        ends = [*starts[1:], file.tell()]
    return list(zip(starts, ends, strict=True))


def _pages(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Offset and flags of each page, until something else comes."""
    offset = 0
    while len(header := file.read(HEADER)) == HEADER and header.startswith(b"OggS"):
        yield offset, header[5]
        offset += HEADER + header[26] + sum(file.read(header[26]))
        file.seek(offset)


class Section(io.RawIOBase):
    """Bytes `start` to `end` of a file, as if they were all of it."""

    def __init__(self, path: Path, start: int, end: int) -> None:
        self._file = path.open("rb")
        self._start, self._end = start, end
        self.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: self._start, io.SEEK_CUR: self._file.tell(), io.SEEK_END: self._end}[whence]
        return self._file.seek(max(self._start, base + offset)) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._file.read(min(len(buffer), max(0, self._end - self._file.tell())))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
