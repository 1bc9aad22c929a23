"""Triggered recordings of AudioMoth (`…T.WAV`), in which silent blocks were counted instead of written.

A silent stretch is one block of 512 bytes, aligned in the file: 32 samples of 1 or -1 are the bits of a count of such
blocks, lowest first; zeros follow (as the firmware writes it and `AudioMoth-Utils` reads it).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from runtime.audio.containers.stream import Piece, size_of
from runtime.errors import RecordingError
from runtime.remote import Location

BLOCK, BITS = 512, 32
FRAMES = BLOCK // 2
NAME = re.compile(r"(^|_)\d{6}T$", re.IGNORECASE)
COMMENT = re.compile(rb"AudioMoth.*(threshold|trigger)", re.DOTALL)
MOST_S = 24 * 3600
"""A limit on the silent stretches of a file together: recorders begin a new file after twelve hours."""
STEP = 2**22
"""Bytes read at once."""


@dataclass(frozen=True)
class Timeline:
    """A recording's real timeline: `pieces` are the sound and its silent stretches, `gaps` the frames of the latter."""

    pieces: Sequence[Piece]
    gaps: tuple[tuple[int, int], ...]

    @property
    def silent(self) -> int:
        """How many frames were not recorded."""
        return sum(end - first for first, end in self.gaps)


def may_be_triggered(path: Location, file: BinaryIO, start: int) -> bool:
    """Whether the file's name, or the recorder's comment before the sound, says that it is a triggered recording."""
    file.seek(0)
    return NAME.search(path.stem) is not None or COMMENT.search(file.read(min(start, 2**16))) is not None


def read_timeline(file: BinaryIO, start: int, end: int, rate: int) -> Timeline | None:
    """Looks for counts of silent blocks in bytes `start` to `end`; None without any.

    Blocks of zeros, which the firmware writes at both ends, are silent as well.

    Raises:
        RecordingError: the silent blocks add up to more than a recording can last.
    """
    for first in (start + -start % BLOCK, start):  # unaligned where a program changed the header's length
        counts, is_coded = _counts(file, first, end)
        if is_coded:
            break
    else:
        return None
    silent = int(counts.sum()) * FRAMES
    if silent > MOST_S * rate:
        raise RecordingError(
            f"is damaged: its silent stretches add up to {silent / rate / 3600:.0f} h, more than "
            f"AudioMoth records ({MOST_S // 3600} h)"
        )
    last = first + len(counts) * BLOCK
    pieces: list[Piece] = []
    gaps: list[tuple[int, int]] = []
    frame = 0
    for piece in (_edge(file, start, first), *_stretches(counts, first), _edge(file, last, end)):
        there = frame + size_of(piece) // 2
        if isinstance(piece, int) and gaps and gaps[-1][1] == frame:
            gaps[-1] = gaps[-1][0], there
        elif isinstance(piece, int):
            gaps.append((frame, there))
        pieces.append(piece)
        frame = there
    return Timeline(pieces, tuple(gaps))


def _edge(file: BinaryIO, start: int, end: int) -> Piece:
    """An incomplete block at either end; silent if it holds zeros alone."""
    file.seek(start)
    return (start, end) if any(file.read(end - start)) else end - start


def _stretches(counts: NDArray[np.int64], first: int) -> Iterator[Piece]:
    """Alternating stretches of sound and silence, of blocks from byte `first` on."""
    silent = counts > 0
    for here, there in itertools.pairwise([0, *(np.flatnonzero(np.diff(silent)) + 1).tolist(), len(counts)]):
        if silent[here]:
            yield int(counts[here:there].sum()) * BLOCK
        else:
            yield first + here * BLOCK, first + there * BLOCK


def _counts(file: BinaryIO, start: int, end: int) -> tuple[NDArray[np.int64], bool]:
    """How many silent blocks each block stands for, 0 for sound and 1 for zeros; and whether any is a count."""
    file.seek(start)
    counts_so_far, is_coded = [np.zeros(0, np.int64)], False
    for at in range(start, end, STEP):
        data = file.read(min(STEP, end - at))
        blocks = np.frombuffer(data[: len(data) // BLOCK * BLOCK], "<i2").reshape(-1, FRAMES)
        bits = blocks[:, :BITS]
        coded = (np.abs(bits) == 1).all(axis=1) & ~blocks[:, BITS:].any(axis=1)
        counts = np.where(coded, (bits == 1) @ (1 << np.arange(BITS, dtype=np.int64)), 0)
        is_coded = is_coded or bool(counts.any())
        counts_so_far.append(np.where(blocks.any(axis=1), counts, 1))
    return np.concatenate(counts_so_far), is_coded
