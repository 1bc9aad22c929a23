"""How much sound a file of chunks really holds, whatever its header says.

Recorders write the size of the sound last, and may lose power before that; sizes of 32 bits overflow at 4 GiB; copies
are cut short.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

import numpy as np
import soundfile

from runtime.audio.clock import time_in_chunks
from runtime.audio.containers import audiomoth
from runtime.audio.containers.chunks import KNOWN, MOST_CHUNKS, NAME, Chunks, Layout, is_wav, read_layout, read_said
from runtime.audio.containers.stream import BUFFER, Piece, Pieces, size_of
from runtime.remote import Location

UNFINISHED, NEARLY = (0x7FFFFFFF, 0x7FFFF000, 0x80000000, 0xFFFFFFFF), 0x1000
"""Sizes that programs write while they do not know the real one yet, and by how much others differ from these."""
SAMPLE_BYTES = {
    **{"PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4},
    **{"FLOAT": 4, "DOUBLE": 8, "ULAW": 1, "ALAW": 1},
}
SECTOR = 512
"""Fewer bytes than this after the declared sound are not taken for more sound."""
TAGS = b"ID3", b"TAG", b"APETAGEX"
"""The first bytes of tags from other formats, which some programs append."""
TEXT = re.compile(rb"[\t\n\r\x20-\x7e]*")
TAIL, STEP = 4 * 2**20, 2**20
"""Bytes at the end of a file in which chunks are sought that no header leads to, and bytes read at once."""
MOST_LAST = 32
"""The most chunks sought there."""
MOST_ZEROS = 2**30
"""The most zeros that are counted."""
LEAST_ZEROS_S = 5.0
"""Zeros of this length at the end of a recording are worth a note."""


@dataclass(frozen=True)
class Extent:
    """Where sound lies: from the layout's `start` to byte `end`.

    `declared` is how many bytes of sound the header promises, None where that was never written; `available` counts all
    bytes after `start`. `zeros` counts the zeros at the end of the sound, or after it where the header
    does not say where it ends. `junk` counts bytes after it that are neither sound nor chunks. Files may be joined:
    this one begins at byte `base` of the file on disk, the next one at `joined`.
    """

    layout: Layout
    end: int
    declared: int | None
    available: int
    zeros: int
    junk: int = 0
    base: int = 0
    joined: int | None = None
    timeline: audiomoth.Timeline | None = None
    """When the sound was recorded, where the recorder left out silence."""
    written: datetime | None = None
    """When the recording began, by what the recorder wrote."""

    @property
    def size(self) -> int:
        """Bytes of sound."""
        return self.end - self.layout.start

    @property
    def is_longer(self) -> bool:
        """Whether there is more sound than the header says."""
        return self.declared is None or self.declared < self.size

    def agrees_with(self, file: soundfile.SoundFile) -> bool:
        """Whether libsndfile finds the same sound on its own."""
        if self.timeline is not None or self.base:
            return False
        if file.subtype in SAMPLE_BYTES:
            return bool(file.frames == self._frames(file, self.size))
        return self.size == min(self.available if self.declared is None else self.declared, self.available)

    def open(self, path: Location) -> io.BufferedReader:
        """The file with a corrected header."""
        pieces: Sequence[Piece] = [(self.base + self.layout.start, self.base + self.end)]
        if self.timeline is not None:
            pieces = self.timeline.pieces
        header = self.layout.header(sum(map(size_of, pieces)))
        return io.BufferedReader(Pieces(path, [header, *pieces]), BUFFER)

    def promised(self, file: soundfile.SoundFile) -> int | None:
        """How many frames there should be; None if there should be none."""
        if self.declared is None or self.declared <= self.available:
            return int(file.frames) or None
        if self.timeline is not None:
            return int(file.frames) + self._frames(file, self.declared - self.available)
        return self._frames(file, self.declared)

    def notes(self, file: soundfile.SoundFile) -> list[str]:
        """What a user should know of it."""
        rate = file.samplerate
        there_s, zeros_s = (self._frames(file, count) / rate for count in (self.size, self.zeros))
        notes = []
        if self.is_longer:
            says = "was never finished"
            if self.declared is not None:
                says = f"says {self._frames(file, self.declared) / rate:.1f} s"
            rest = f", except {zeros_s:.1f} s of zeros after it" if zeros_s >= LEAST_ZEROS_S else ""
            notes.append(f"has a header that {says}; its sound of {there_s:.1f} s was read to the end{rest}")
        else:
            notes += notes_on_zeros(there_s, zeros_s)
        if self.junk:
            notes.append(f"has {self.junk} bytes after its sound that are neither sound nor chunks; they were not read")
        if self.timeline is not None:
            silent_s, all_s = self.timeline.silent / rate, file.frames / rate
            notes.append(
                f"is a triggered recording: {all_s - silent_s:.1f} s of sound in {all_s:.1f} s; windows in between "
                "were not recorded"
            )
        return notes

    def _frames(self, file: soundfile.SoundFile, size: int) -> int:
        """How many frames are in `size` bytes of its sound; an estimate where they are compressed."""
        if file.subtype in SAMPLE_BYTES:
            return size // (SAMPLE_BYTES[file.subtype] * int(file.channels))
        return round(int(file.frames) * size / max(self.size, 1))


def notes_on_zeros(sound_s: float, zeros_s: float) -> list[str]:
    """What a user should know of `sound_s` seconds of sound, the last `zeros_s` of them zeros."""
    if zeros_s < LEAST_ZEROS_S:
        return []
    return [f"holds nothing but zeros from {sound_s - zeros_s:.1f} s on, of {sound_s:.1f} s"]


def examine(path: Location, base: int = 0) -> Extent | None:
    """Finds the sound of the file that begins at byte `base`; None if that is no file of chunks.

    Raises:
        OSError: it cannot be read.
        RecordingError: its silent stretches are impossibly long.
    """
    stat = path.stat()
    return _examine(path, base, stat.st_size - base, stat.st_mtime_ns)


@functools.lru_cache(maxsize=8)  # once for all parts of a long recording
def _examine(path: Location, base: int, size: int, _: int) -> Extent | None:
    with path.open("rb") if not base else io.BufferedReader(Pieces(path, [(base, base + size)])) as file:
        layout = read_layout(file, size)
        if layout is None:
            return None
        extent = _extent(file, size, layout)
        joined = base + extent.joined if extent.joined is not None else None
        written = time_in_chunks(read_said(file, size, layout, extent.end))
        extent = dataclasses.replace(extent, base=base, joined=joined, written=written)
        if layout.mono16 and not base and audiomoth.may_be_triggered(path, file, layout.start):
            timeline = audiomoth.read_timeline(file, layout.start, extent.end, layout.rate or 1)
            extent = dataclasses.replace(extent, timeline=timeline)
        return extent


def _extent(file: BinaryIO, size: int, layout: Layout) -> Extent:
    start, declared, available = layout.start, layout.declared, size - layout.start
    if declared is not None and declared > available and any(abs(declared - each) <= NEARLY for each in UNFINISHED):
        declared = None
    if declared is not None:
        end = start + min(declared, available)
        junk, joined = _behind(file, layout.chunks, end, size)
        if junk is not None:
            return Extent(layout, end, declared, available, end - _written(file, start, end), junk, joined=joined)
    last = _first_chunk(file, layout.chunks, start, size)
    end = min(last, start + -(-(_written(file, start, last) - start) // layout.block) * layout.block)
    return Extent(layout, end, declared, available, last - end, joined=last if _is_wav(file, last) else None)


def _is_wav(file: BinaryIO, at: int) -> bool:
    file.seek(at)
    return is_wav(file.read(12))


def _behind(file: BinaryIO, chunks: Chunks | None, at: int, size: int) -> tuple[int | None, int | None]:
    """How many bytes from `at` on are neither chunks nor zeros, None if they are sound; where a joined file begins."""
    for number, chunk in enumerate(chunks.walk(file, at, size) if chunks is not None else ()):
        if _is_wav(file, at):
            return 0, at
        if number + 1 == MOST_CHUNKS:
            return size - at, None
        if chunk.end > size and chunk.name not in KNOWN:
            break
        at = chunk.next
    if at >= size or _written(file, at, size) == at:
        return 0, None
    file.seek(at)
    data = file.read(STEP)
    if data.startswith(TAGS):
        return 0, None
    is_no_sound = size - at < SECTOR or (size - at <= STEP and TEXT.fullmatch(data) is not None)
    return size - at if is_no_sound else None, None


def _written(file: BinaryIO, start: int, end: int) -> int:
    """Where the zeros at the end of bytes `start` to `end` of a file begin."""
    step = 4096  # there are seldom any
    start = max(start, end - MOST_ZEROS)
    while end > start:
        first = max(start, end - step)
        file.seek(first)
        if (data := file.read(end - first)) != bytes(len(data)):
            return first + len(data.rstrip(b"\0"))
        end, step = first, STEP
    return start


def _first_chunk(file: BinaryIO, chunks: Chunks | None, start: int, size: int) -> int:
    """Where the chunks at a file's end begin: their sizes lead exactly to that end."""
    if chunks is None or struct.calcsize(chunks.head) != 8:
        return size
    begin = max(start, size - TAIL)
    file.seek(begin)
    data, end = file.read(size - begin), size - begin
    if len(data) < 8:
        return size
    leads = np.zeros(
        (4, max(1, len(data) // 4)), np.int64
    )  # to where a chunk that begins at byte 4 * column + row leads
    for row, places in enumerate(leads):
        sizes = np.frombuffer(data[row + 4 : row + 4 + (len(data) - row - 4) // 4 * 4], chunks.head[0] + "u4")
        places[: len(sizes)] = sizes + (np.arange(len(sizes)) * 4 + row + 8)
    for _ in range(MOST_LAST):
        rows, columns = np.nonzero((leads == end) | (leads == end - 1))  # one that is padded, too
        starts = [place for place in (columns * 4 + rows).tolist() if place < end and NAME.match(data, place)]
        if not starts:
            break
        end = min(starts)  # chunks can be nested
    return begin + end
