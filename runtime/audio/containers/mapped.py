"""Access to a file's bytes without reading all of them."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from typing import overload

from runtime.blocks import GRAIN
from runtime.remote import Location, RemoteFile

LONGEST_MATCH = 16
"""More bytes than any pattern matches that `places` seeks."""


class RemoteBytes:
    """The bytes of a file at a URL, fetched where they are looked at."""

    def __init__(self, file: RemoteFile) -> None:
        self._file = file
        self._at, self._held = 0, b""

    def __len__(self) -> int:
        return self._file.size

    @overload
    def __getitem__(self, key: int) -> int: ...
    @overload
    def __getitem__(self, key: slice) -> bytes: ...
    def __getitem__(self, key: int | slice) -> int | bytes:
        if isinstance(key, int):
            return self._bytes(key, key + 1)[0]
        start, end, _ = key.indices(len(self))
        return self._bytes(start, end)

    def find(self, wanted: bytes, start: int = 0, end: int | None = None) -> int:
        """Where the first occurrence between these bytes begins; -1 if there is none."""
        end = len(self) if end is None else min(end, len(self))
        for at in range(start, end, GRAIN):
            found = self._bytes(at, min(at + GRAIN + len(wanted) - 1, end)).find(wanted)
            if found >= 0:
                return at + found
        return -1

    def _bytes(self, start: int, end: int) -> bytes:
        if not (self._at <= start and end <= self._at + len(self._held)):
            self._at = start // GRAIN * GRAIN
            self._held = self._file.read(self._at, -(-end // GRAIN) * GRAIN)
        return self._held[start - self._at : max(start, end) - self._at]


Bytes = bytes | mmap.mmap | RemoteBytes


def mapped(location: Location) -> Bytes:
    """Maps a file into memory, or reads it where its file system cannot do that. Raises OSError."""
    if isinstance(location, RemoteFile):
        return RemoteBytes(location)
    with location.open("rb") as file:
        try:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):
            return file.read()


def places(pattern: re.Pattern[bytes], data: Bytes, begin: int = 0, end: int | None = None) -> Iterator[int]:
    """Where a pattern matches between these bytes; it matches fewer than `LONGEST_MATCH` of them."""
    end = len(data) if end is None else end
    if not isinstance(data, RemoteBytes):
        yield from (match.start() for match in pattern.finditer(data, begin, end))
        return
    while begin < end:
        after = begin + GRAIN
        for match in pattern.finditer(data[begin : min(after + LONGEST_MATCH, end)]):
            if begin + match.start() >= after:
                break
            yield begin + match.start()
            after = max(after, begin + match.end())
        begin = after
