"""Finds the sound in a file made of chunks, by its header.

WAV (RIFF, and RIFX in the other order of bytes), RF64 and BW64 (EBU Tech 3306, ITU-R BS.2088), Sony's W64, AIFF, AU and
Apple's CAF: all describe the sound first, and then say how many bytes of it follow. Recorders of WAV say more about a
recording in chunks before the sound or behind it.
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

MOST_HEADER, MOST_CHUNKS = 4 * 2**20, 4096
"""Sound that begins after more bytes or chunks than this is not sought."""
NAME = re.compile(rb"[\x20-\x7e]{4}(?<!    )", re.DOTALL)
W64_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")
"""The end of all names in W64 except that of the file itself."""
NAMES = """fmt data fact ds64 r64m JUNK junk PAD FLLR LIST INFO adtl bext iXML axml chna cart guan GUAN wamd _PMX id3
ID3 cue smpl inst plst ltxt note labl PEAK afsp minf elm1 regn umid levl AFAn DISP acid strc COMM SSND FVER MARK COMT
ANNO NAME AUTH (c) APPL INST desc chan info free uuid strg mark ovvw edct"""
KNOWN = frozenset(name.encode().ljust(4) for name in NAMES.split())
"""Names of chunks that recorders and editors write."""


@dataclass(frozen=True)
class Chunk:
    """Its content is bytes `start` to `end` of the file, the next one begins at `next`."""

    name: bytes
    start: int
    end: int
    next: int


@dataclass(frozen=True)
class Chunks:
    """How the chunks of a container are written: a name, then a size, as `struct` unpacks them together."""

    head: str
    own: bool = False
    """Whether a size includes the name and itself."""
    align: int = 2

    def at(self, file: BinaryIO, place: int, size: int) -> Chunk | None:
        """The chunk at byte `place` of a file of `size` bytes; None if there is none."""
        if place >= size:  # seek fails far beyond a file's end
            return None
        file.seek(place)
        start = place + struct.calcsize(self.head)
        head = file.read(start - place)
        if len(head) < start - place:
            return None
        name, length = struct.unpack(self.head, head)
        if not (NAME.match(name) and (len(name) == 4 or name.endswith(W64_TAIL))):
            return None
        end = max(start, (place if self.own else start) + length)
        return Chunk(name[:4], start, end, self._behind(file, end, size))

    def walk(self, file: BinaryIO, place: int, size: int) -> Iterator[Chunk]:
        """The chunks from a byte on."""
        for _ in range(MOST_CHUNKS):
            if (chunk := self.at(file, place, size)) is None:
                return
            yield chunk
            place = chunk.next

    def _behind(self, file: BinaryIO, end: int, size: int) -> int:
        """Where the next chunk begins: odd sizes should be padded, but not all programs do it."""
        pad = -end % self.align
        if not pad or end >= size:
            return end
        file.seek(end)
        behind = file.read(pad + 4)
        unpadded, padded = behind[:4], behind[pad:]
        if padded in KNOWN or unpadded not in KNOWN:
            return end + pad
        return end


MPEG = 0x50, 0x55
"""Codecs of MPEG audio, which `mp3` reads."""
RIFF, RIFX, AIFF = Chunks("<4sI"), Chunks(">4sI"), Chunks(">4sI")
W64, CAF = Chunks("<16sQ", own=True, align=8), Chunks(">4sQ", align=1)


@dataclass(frozen=True)
class Layout:
    """Where sound lies in a file.

    It begins at byte `start` and has `declared` bytes, None where the header does not say. `header` makes the header of
    a given number of bytes of sound. `chunks` is the format of chunks that may follow. `rate` is in Hz, None where
    only libsndfile finds it. `block` is about how many bytes are decoded at once. `mono16` is whether it is WAV of one
    channel in 16 bits.
    """

    start: int
    declared: int | None
    header: Callable[[int], bytes]
    chunks: Chunks | None
    rate: int | None = None
    block: int = 8
    mono16: bool = False


MOST_SAID = 2**16
"""Bytes of all chunks of one name, in which something is said of a recording."""
SAYING = frozenset({b"guan", b"LIST", b"wamd"})
"""Chunks of GUANO, of AudioMoth's comment and of Wildlife Acoustics."""


def read_layout(file: BinaryIO, size: int) -> Layout | None:
    """Where the sound of a file lies; None if it is another kind of file, or its sound cannot be located."""
    file.seek(0)
    head = file.read(64)
    try:
        layout = _layout(file, size, head)
    except struct.error:  # the file ends within its header
        return None
    return layout if layout is not None and layout.start <= min(size, MOST_HEADER) else None


def _layout(file: BinaryIO, size: int, head: bytes) -> Layout | None:
    if is_wav(head):
        return _riff(file, size, RIFX if head.startswith(b"RIFX") else RIFF)
    if head.startswith(b"riff") and head[24:28] == b"wave":
        return _w64(file, size)
    if head.startswith(b"FORM") and head[8:12] in (b"AIFF", b"AIFC"):
        return _aiff(file, size)
    if head.startswith(b".snd"):
        return _au(file, head)
    return _caf(file, size) if head.startswith(b"caff") else None


def read_said(file: BinaryIO, size: int, layout: Layout, end: int) -> dict[bytes, bytes]:
    """What is said of a recording in a WAV, by the names of chunks; its sound ends at byte `end`."""
    said: dict[bytes, bytes] = {}
    for chunks in (layout.chunks,) if layout.chunks in (RIFF, RIFX) else ():
        before, behind = chunks.walk(file, 12, layout.start), chunks.walk(file, chunks._behind(file, end, size), size)
        for chunk in itertools.chain(before, behind):
            if chunk.name in SAYING:
                file.seek(chunk.start)
                so_far = said.get(chunk.name, b"")
                said[chunk.name] = so_far + file.read(min(chunk.end - chunk.start, MOST_SAID - len(so_far)))
    return said


def is_wav(head: bytes) -> bool:
    """Whether a WAV, or one of its relatives with larger sizes, begins with these bytes."""
    return head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE"


def _find(file: BinaryIO, size: int, chunks: Chunks, at: int, wanted: bytes) -> dict[bytes, Chunk]:
    """The chunks up to the one wanted, by name."""
    by_name: dict[bytes, Chunk] = {}
    for here in chunks.walk(file, at, size):
        by_name.setdefault(here.name, here)
        if here.name == wanted or here.next > MOST_HEADER:
            break
    return by_name


def _read(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(max(0, min(end - start, MOST_HEADER)))


def _riff(file: BinaryIO, size: int, chunks: Chunks) -> Layout | None:
    by_name = _find(file, size, chunks, 12, b"data")
    order = chunks.head[0]
    if b"fmt " not in by_name:
        return None
    fmt = _read(file, by_name[b"fmt "].start, by_name[b"fmt "].end)
    if b"data" not in by_name:  # a chunk between the two lies about its size
        at = _read(file, 0, MOST_HEADER).find(b"data", by_name[b"fmt "].end)
        by_name |= _find(file, size, chunks, at, b"data") if at >= 0 else {}
    if b"data" not in by_name:
        return None
    tag, channels, rate, _, block, bits = struct.unpack_from(order + "HHIIHH", fmt)
    if tag in MPEG:
        return None
    start = by_name[b"data"].start
    declared: int | None = by_name[b"data"].end - start
    if b"ds64" in by_name and declared in (0, 0xFFFFFFFF):
        declared = struct.unpack_from("<Q", _read(file, by_name[b"ds64"].start, by_name[b"ds64"].end), 8)[0] or None
    if declared is not None and declared >= 2**62:
        declared = None

    def header(count: int) -> bytes:
        body = struct.pack(chunks.head, b"fmt ", len(fmt)) + fmt + bytes(len(fmt) % 2)
        riff_size = len(body) + 12 + count
        if order == ">" or riff_size < 2**32:
            riff_size, count = (min(each, 0xFFFFFFFF) for each in (riff_size, count))
            riff = struct.pack(chunks.head, b"RIFF" if order == "<" else b"RIFX", riff_size)
            return riff + b"WAVE" + body + struct.pack(chunks.head, b"data", count)
        riff = struct.pack("<4sI4s4sIQQQI", b"RF64", 0xFFFFFFFF, b"WAVE", b"ds64", 28, riff_size + 36, count, 0, 0)
        return riff + body + struct.pack("<4sI", b"data", 0xFFFFFFFF)

    return Layout(start, declared, header, chunks, rate, max(1, block), (tag, channels, bits, order) == (1, 1, 16, "<"))


def _w64(file: BinaryIO, size: int) -> Layout | None:
    by_name = _find(file, size, W64, 40, b"data")
    if b"data" not in by_name or b"fmt " not in by_name:
        return None
    start, end = by_name[b"data"].start, by_name[b"data"].end
    before = _read(file, 0, start)

    def header(count: int) -> bytes:
        return before[:16] + struct.pack("<Q", start + count) + before[24:-8] + struct.pack("<Q", 24 + count)

    _, rate, _, block = struct.unpack_from("<IIIH", _read(file, by_name[b"fmt "].start, by_name[b"fmt "].end))
    return Layout(start, end - start if end - start < 2**62 else None, header, W64, rate, max(1, block))


def _aiff(file: BinaryIO, size: int) -> Layout | None:
    by_name = _find(file, size, AIFF, 12, b"SSND")
    if b"SSND" not in by_name or b"COMM" not in by_name:
        return None
    place, end = by_name[b"SSND"].start, by_name[b"SSND"].end
    start = place + 8 + struct.unpack(">I", _read(file, place, place + 4))[0]
    before = _read(file, 0, start)

    def header(count: int) -> bytes:
        form, sound = (struct.pack(">I", min(size + count, 0xFFFFFFFF)) for size in (start - 8, start - place))
        return before[:4] + form + before[8 : place - 4] + sound + before[place:]

    return Layout(start, end - start if end >= start else None, header, AIFF)


def _au(file: BinaryIO, head: bytes) -> Layout:
    start, declared, _, rate = struct.unpack_from(">IIII", head, 4)
    before = _read(file, 0, start)

    def header(count: int) -> bytes:
        return before[:8] + struct.pack(">I", min(count, 0xFFFFFFFF)) + before[12:]

    return Layout(start, declared, header, None, rate)


def _caf(file: BinaryIO, size: int) -> Layout | None:
    by_name = _find(file, size, CAF, 8, b"data")
    if b"data" not in by_name or b"desc" not in by_name or b"pakt" in by_name:
        return None
    place, end = by_name[b"data"].start, by_name[b"data"].end
    start = place + 4  # a count of edits comes first
    before = _read(file, 0, start)
    rate, codec = struct.unpack(">d4s", _read(file, by_name[b"desc"].start, by_name[b"desc"].start + 12))

    def header(count: int) -> bytes:
        return before[: place - 8] + struct.pack(">Q", 4 + count) + before[place:]

    if codec not in (b"lpcm", b"ulaw", b"alaw"):
        return None
    declared = end - start if 0 <= end - start < 2**62 else None
    return Layout(start, declared, header, CAF, round(rate) if 0 <= rate < 2**32 else 0)
