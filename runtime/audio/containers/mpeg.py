"""Frames of MPEG audio: layers I to III of MPEG-1, 2 and 2.5 (ISO/IEC 11172-3 and 13818-3, and LAME's Xing header)."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from runtime.audio.containers.mapped import Bytes

BITRATES = {  # kbit/s by (MPEG-1 or not, layer)
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = (44_100, 48_000, 32_000)
LONGEST_FRAME = 4608
"""Bytes; more than any frame has."""
DECODER_DELAY = 529
"""Samples that a decoder drops at the start of a file with a Xing header, besides the encoder's delay."""


@dataclass(frozen=True)
class Kind:
    """What all frames of a stream have in common."""

    mpeg1: bool
    layer: int
    rate: int
    mono: bool

    @property
    def samples(self) -> int:
        """Samples of each channel in a frame."""
        return 384 if self.layer == 1 else 576 if self.layer == 3 and not self.mpeg1 else 1152

    @property
    def xing_at(self) -> int:
        """The byte of a frame at which a Xing header begins."""
        return 4 + ((17 if self.mono else 32) if self.mpeg1 else (9 if self.mono else 17))


@dataclass(frozen=True)
class Xing:
    """The first frame, which describes the others: how many there are, and how many samples to drop at both ends."""

    at: int
    size: int
    frames: int
    delay: int = 0
    padding: int = 0


@functools.cache
def _read(one: int, two: int, mono: bool) -> tuple[Kind, int] | None:
    """Kind and size in bytes of a frame, by its header's second and third bytes; size 0 if its bit rate is free."""
    version, layer, bitrate, rate = one >> 3 & 3, 4 - (one >> 1 & 3), two >> 4, two >> 2 & 3
    if one & 0xE0 != 0xE0 or version == 1 or layer == 4 or bitrate == 15 or rate == 3:
        return None
    kind = Kind(version == 3, layer, RATES[rate] >> {3: 0, 2: 1, 0: 2}[version], mono)
    bits = BITRATES[kind.mpeg1, layer][bitrate] * 1000
    slot = 4 if layer == 1 else 1
    size = kind.samples // 8 // slot * bits // kind.rate
    return kind, size * slot + _padding(two, kind) if bits else 0


def _padding(two: int, kind: Kind) -> int:
    return (two >> 1 & 1) * (4 if kind.layer == 1 else 1)


class Frames:
    """Reads the headers of frames at places of a file."""

    def __init__(self, data: Bytes) -> None:
        self._data, self._size = data, len(data)
        self._free: dict[Kind, int] = {}

    def frame(self, at: int) -> tuple[Kind, int] | None:
        """Kind and size in bytes of the frame that begins here; None if there is none."""
        head = self._data[at : at + 4]
        if len(head) < 4 or head[0] != 0xFF or (parsed := _read(head[1], head[2], head[3] >> 6 == 3)) is None:
            return None
        kind, size = parsed
        if size:
            return parsed
        size = self._free.get(kind) or self._free_size(at, head, kind)
        return (kind, size + _padding(head[2], kind)) if size else None

    def xing(self, at: int, kind: Kind, size: int) -> Xing | None:
        """The Xing, Info or VBRI header in this frame; None if there is none."""
        data, mark = self._data, at + kind.xing_at
        if data[mark : mark + 4] in (b"Xing", b"Info"):
            flags = int.from_bytes(data[mark + 4 : mark + 8], "big")
            frames = int.from_bytes(data[mark + 8 : mark + 12], "big") if flags & 1 else 0
            tool = mark + 8 + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
            if tool + 24 > at + size:
                return Xing(at, size, frames, DECODER_DELAY)
            ends = int.from_bytes(data[tool + 21 : tool + 24], "big")
            return Xing(at, size, frames, (ends >> 12) + DECODER_DELAY, max(0, (ends & 0xFFF) - DECODER_DELAY))
        if data[at + 36 : at + 40] == b"VBRI":
            return Xing(at, size, int.from_bytes(data[at + 50 : at + 54], "big"))
        return None

    def _free_size(self, at: int, head: bytes, kind: Kind) -> int:
        """The size, without padding, of frames of free bit rate: the distance to the next; 0 if there is none."""
        data, slot = self._data, _padding(0xFF, kind)
        place = data.find(head[:2], at + 1, at + LONGEST_FRAME)
        if place < at + kind.xing_at:  # none, or no room for a frame between
            return 0
        size = place - at - _padding(head[2], kind)
        for following in (place + size, place + size + slot):
            if data[following : following + 2] == head[:2] and following + 2 < self._size:
                self._free[kind] = size
                return size
        return 0
