"""Streams of a file, and the pieces of the file that a decoder reads them from."""

from __future__ import annotations

import bisect
import io
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import soundfile

from runtime.audio.containers.opened import CheckedFile, ForwardFile
from runtime.remote import Location

BUFFER = 1 << 16
Piece = bytes | int | tuple[int, int]
"""Bytes, a number of zeros, or the bytes of a file from the first number to before the second."""


@dataclass(frozen=True)
class Entry:
    """Where decoding can begin: a decoder that is given these pieces of the file starts at frame `start` of the stream.

    It gives `skip` frames before that one. `claimed` is a file size to report to decoders that would
    guess too short a length from the real one.
    """

    start: int
    pieces: Sequence[Piece]
    skip: int = 0
    claimed: int = 0

    def open(self, path: Location) -> soundfile.SoundFile:
        """Raises OSError, soundfile.SoundFileError."""
        kind = ForwardFile if self.start else CheckedFile
        file = kind(io.BufferedReader(Pieces(path, self.pieces, self.claimed), BUFFER))
        left = self.skip
        while left > 0 and (got := len(file.read(min(left, 1 << 16), dtype="float32"))):
            left -= got
        return file


def _nowhere(frame: int) -> Entry | None:
    return None


@dataclass(frozen=True)
class Stream:
    """How to read a stream: from `entry`, or from the file as it is if that is None.

    `promised`, `complete` and `notes` are as in `Sound`; where `promised` is None the decoder's length is taken.
    `entry_after` gives the first place at or after a frame where decoding can begin anew.
    """

    entry: Entry | None = None
    promised: int | None = None
    complete: bool = True
    notes: tuple[str, ...] = ()
    entry_after: Callable[[int], Entry | None] = _nowhere


def size_of(piece: Piece) -> int:
    """How many bytes a piece has."""
    if isinstance(piece, bytes):
        return len(piece)
    return piece if isinstance(piece, int) else piece[1] - piece[0]


class Pieces(io.RawIOBase):
    """A file that consists of pieces of another one, in order."""

    def __init__(self, path: Location, pieces: Sequence[Piece], claimed: int = 0) -> None:
        self._file = path.open("rb")
        self._pieces = pieces
        self._starts = [0, *itertools.accumulate(map(size_of, pieces))]
        self._claimed = max(claimed, self._starts[-1])
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        end = self._starts[-1] if offset else self._claimed  # a search for tags needs the real end
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: end}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        done = 0
        while done < len(buffer) and self._at < self._starts[-1]:
            number = bisect.bisect_right(self._starts, self._at) - 1
            piece, within = self._pieces[number], self._at - self._starts[number]
            most = min(len(buffer) - done, self._starts[number + 1] - self._at)
            if isinstance(piece, bytes):
                data = piece[within : within + most]
            elif isinstance(piece, int):
                data = bytes(most)
            else:
                self._file.seek(piece[0] + within)
                data = self._file.read(most)
            if not data:
                break
            buffer[done : done + len(data)] = data
            done += len(data)
            self._at += len(data)
        return done

    def close(self) -> None:
        self._file.close()
        super().close()
