"""The frames of a FLAC file (RFC 9639), which libsndfile does not look at: it believes the file's header.

Each frame's header holds its number and a checksum, so that decoding can go on exactly from any frame.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from runtime.audio.containers.mapped import Bytes, mapped, places
from runtime.audio.containers.stream import Entry, Stream
from runtime.audio.containers.tags import tag_size
from runtime.remote import Location

MARK, INFO_HEADER, INFO = b"fLaC", 4, 34
START, START_SIZE = re.compile(MARK + b"[\x00\x80]\x00\x00\x22"), 8
_CODES = bytes(byte for byte in range(256) if byte >> 4 and byte & 15 != 15)
_CHANNELS = bytes(byte for byte in range(256) if byte >> 4 <= 10 and not byte & 1)
SYNC = re.compile(b"\xff[\xf8\xf9][%b][%b]" % (re.escape(_CODES), re.escape(_CHANNELS)))
"""A frame's first four bytes: sync code, sizes, channels."""
LONGEST_HEADER = 16
LONGEST_FRAME = 1 << 17
"""Bytes of the last frame and of what follows it, in which its checksum is sought."""
AHEAD = 8
"""A frame's successor is sought among this many further headers; few of them are false."""
FIRST_LOOK, MOST_LOOK = 1 << 17, 1 << 24
"""Bytes at the end in which the last frame is sought, first and at most."""
PLACES = 8
"""At how many places frame numbers are compared, to tell one stream from several."""


@dataclass(frozen=True)
class Frame:
    """A frame: its byte in the file, and how many samples (of each channel) come before it and are in it."""

    at: int
    sample: int
    block: int

    @property
    def end(self) -> int:
        return self.sample + self.block


@dataclass(frozen=True)
class Header:
    """STREAMINFO: `at` is the byte where the stream begins, `end` where the file ends or another stream begins."""

    at: int
    frames_at: int
    end: int
    block: int
    rate: int
    channels: int
    total: int

    @classmethod
    def read(cls, data: Bytes, at: int, end: int) -> Header | None:
        """The header at byte `at`; None if there is none."""
        if not START.match(data[at : at + START_SIZE]):
            return None
        info = data[at + 8 : at + 8 + INFO]
        frames_at, last = at + len(MARK), False
        while not last and frames_at + INFO_HEADER <= end:
            last = bool(data[frames_at] & 0x80)
            frames_at += INFO_HEADER + int.from_bytes(data[frames_at + 1 : frames_at + INFO_HEADER], "big")
        bits = int.from_bytes(info[10:18], "big")  # 20 of the rate, 3 channels, 5 sample size, 36 total
        block = int.from_bytes(info[0:2], "big")
        channels = (bits >> 41 & 7) + 1
        return cls(at, min(frames_at, end), end, block, bits >> 44, channels, bits & (1 << 36) - 1)

    def patched(self, data: Bytes, total: int) -> bytes:
        """The bytes of this header with another total."""
        return header_with_total(data[self.at + 8 : self.at + 8 + INFO], total)


def header_with_total(info: bytes, total: int) -> bytes:
    """A stream's beginning: STREAMINFO with a total of samples, and no checksum of the sound."""
    bits = int.from_bytes(info[10:18], "big") >> 36 << 36 | min(total, (1 << 36) - 1)
    return MARK + b"\x80\x00\x00\x22" + info[:10] + bits.to_bytes(8, "big") + bytes(16)


def streams(path: Location) -> list[Stream]:
    """The streams of a file: one, or several that were joined."""
    data = mapped(path)
    at = tag_size(data, 0)
    header = Header.read(data, at, len(data))
    if header is None:
        return [Stream()]
    last = _last(data, header, len(data))
    ends_well = last is not None and last.end == header.total and next(places(START, data, last.at), None) is None
    if ends_well and _ascends(data, header):
        return [Stream(None, header.total, entry_after=_Search(path, header))]
    starts = list(places(START, data, at))
    headers = [Header.read(data, start, end) for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]
    return [
        _stream(path, data, header)
        for header in headers
        if header is not None and header.frames_at + LONGEST_HEADER < header.end
    ]


def _stream(path: Location, data: Bytes, header: Header) -> Stream:
    last = _last(data, header, header.end)
    there = last.end if last is not None else 0
    notes: tuple[str, ...] = ()
    promised = there
    if header.total > there and not (last is not None and _is_complete(data, last, header.end)):
        promised = header.total
    elif header.total and header.total != there:
        promised_s, there_s = header.total / max(1, header.rate), there / max(1, header.rate)
        notes = (f"was read to its end: its header promises {promised_s:.1f} s, {there_s:.1f} s are there",)
    pieces = (header.patched(data, promised), (header.frames_at, header.end))
    return Stream(Entry(0, pieces), promised, notes=notes, entry_after=_Search(path, header))


class _Search:
    """Finds the first frame that ends after a sample, and the frames that follow it without a gap.

    It only moves forwards, so that all calls together read the file twice at most.
    """

    def __init__(self, path: Location, header: Header) -> None:
        self._path, self._header = path, header
        self._frame = Frame(header.frames_at, 0, 0)  # the last one found
        self._run = Frame(header.frames_at, 0, 0)  # after the frames that follow it without a gap

    def __call__(self, sample: int) -> Entry | None:
        header = self._header
        data = mapped(self._path)
        frames = _linked(_frames(data, header, self._frame.at, header.end), self._frame.sample)
        frame = next((frame for frame in frames if sample < frame.end), None)
        if frame is None:
            return None
        self._frame = frame
        if frame.sample >= self._run.sample:
            self._run = _end_of_run(frame, frames, header.end)
        start, left = max(sample, frame.sample), self._run.sample - frame.sample
        pieces = (header.patched(data, left), (frame.at, self._run.at))
        return Entry(start, pieces, start - frame.sample)


def _end_of_run(frame: Frame, frames: Iterator[Frame], end: int) -> Frame:
    """Where the frames end that follow one without a gap, as a frame without samples."""
    for following in frames:
        if following.sample != frame.end:
            return Frame(following.at, frame.end, 0)
        frame = following
    return Frame(end, frame.end, 0)


def _last(data: Bytes, header: Header, end: int, most: int = MOST_LOOK) -> Frame | None:
    """The last frame that begins before `end`, sought in the last bytes first and in no more than about `most`."""
    look = FIRST_LOOK
    while True:
        begin = max(header.frames_at, end - look)
        first = 0 if begin == header.frames_at else -1
        frames = list(_linked(_frames(data, header, begin, end), first))
        if frames or begin == header.frames_at or look >= most:
            return frames[-1] if frames else None
        look *= 8


def _ascends(data: Bytes, header: Header) -> bool:
    """Whether frame numbers ascend through all of the file, as those of one stream do."""
    size = header.end - header.frames_at
    if size < FIRST_LOOK * PLACES:
        return len(list(places(START, data, header.at))) == 1
    ends = (header.frames_at + size * k // PLACES for k in range(1, PLACES + 1))
    frames = [_last(data, header, end, most=FIRST_LOOK) for end in ends]
    samples = [frame.sample for frame in frames if frame is not None]
    return all(one <= other for one, other in itertools.pairwise(samples))


def _linked(frames: Iterator[Frame], expected: int) -> Iterator[Frame]:
    """Frames that follow one another. What looks like a header but has no neighbour is chance.

    `expected` is the sample at which the first one begins, -1 if unknown.
    """
    ahead: list[Frame] = []
    while True:
        ahead += itertools.islice(frames, AHEAD - len(ahead))
        if not ahead:
            return
        frame = ahead.pop(0)
        if frame.sample == expected or any(other.sample == frame.end for other in ahead):
            yield frame
            expected = frame.end


def _frames(data: Bytes, header: Header, begin: int, end: int) -> Iterator[Frame]:
    """Everything that looks like a frame's header and has its checksum."""
    for at in places(SYNC, data, begin, end):
        frame = _frame(data[at : at + LONGEST_HEADER], at, header)
        if frame is not None:
            yield frame


def _frame(head: bytes, at: int, header: Header) -> Frame | None:
    if len(head) < 6:
        return None
    code, rate, channels = head[2] >> 4, head[2] & 15, head[3] >> 4
    if (channels + 1 if channels < 8 else 2) != header.channels:
        return None
    ones = 8 - (head[4] ^ 0xFF).bit_length()  # as in UTF-8: how many bytes the number has
    if ones in (1, 8):
        return None
    number, more = head[4] & 0x7F >> ones, max(0, ones - 1)
    for byte in head[5 : 5 + more]:
        number = number << 6 | byte & 0x3F
    after = 5 + more
    wide = {6: 1, 7: 2}.get(code, 0)
    block = int.from_bytes(head[after : after + wide], "big") + 1 if wide else _BLOCKS[code]
    after += wide + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if after >= len(head) or _crc8(head[:after]) != head[after]:
        return None
    return Frame(at, number if head[1] & 1 else number * header.block, block)


_BLOCKS = {1: 192, **{n: 576 << n - 2 for n in range(2, 6)}, **{n: 256 << n - 8 for n in range(8, 16)}}


def _is_complete(data: Bytes, last: Frame, end: int) -> bool:
    """Whether the last frame is complete and followed by zeros or tags alone; then nothing was cut off."""
    frame = data[last.at : min(end, last.at + LONGEST_FRAME)]
    if frame[-128:].startswith(b"TAG"):
        frame = frame[:-128]
    return _crc16(frame.rstrip(b"\0") + b"\0\0") == 0  # zeros do not change a checksum that is 0


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = _CRC8[crc ^ byte]
    return crc


def _crc16(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = (crc << 8 & 0xFF00) ^ _CRC16[crc >> 8 ^ byte]
    return crc


def _crc_table(polynomial: int, bits: int) -> list[int]:
    table = []
    for byte in range(256):
        crc = byte << bits - 8
        for _ in range(8):
            crc = crc << 1 ^ (polynomial if crc >> bits - 1 else 0)
            crc &= (1 << bits) - 1
        table.append(crc)
    return table


_CRC8, _CRC16 = _crc_table(0x07, 8), _crc_table(0x8005, 16)
