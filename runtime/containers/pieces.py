"""A file that is put together from pieces of another, for libraries that read from file objects."""

from __future__ import annotations

import bisect
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Piece:
    """So many bytes: those of the file from `start` on, those of `data`, or zeros where there is neither."""

    size: int
    start: int | None = None
    data: bytes | None = None


class Pieces(io.RawIOBase):
    """Pieces one after another, as if they were a file."""

    def __init__(self, path: Path, pieces: Sequence[Piece]) -> None:
        self._file = path.open("rb")
        self._pieces = pieces
        self._ends = list(itertools.accumulate(piece.size for piece in pieces))
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._ends[-1]}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fills the buffer, up to the end of the last piece: libsndfile takes less for the end of the file."""
        read = 0
        while read < len(buffer) and self._at < self._ends[-1]:
            index = bisect.bisect_right(self._ends, self._at)
            piece, left = self._pieces[index], self._ends[index] - self._at
            data = self._read(piece, piece.size - left, min(left, len(buffer) - read))
            if not data:  # the file is shorter than it was
                break
            buffer[read : read + len(data)] = data
            read += len(data)
            self._at += len(data)
        return read

    def _read(self, piece: Piece, within: int, count: int) -> bytes:
        if piece.data is not None:
            return piece.data[within : within + count]
        if piece.start is None:
            return bytes(count)
        self._file.seek(piece.start + within)
        return self._file.read(count)

    def close(self) -> None:
        self._file.close()
        super().close()
