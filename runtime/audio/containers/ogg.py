"""The pages of an OGG file (RFC 3533, section 6), which tell where sound belongs when some of them are lost.

libsndfile skips missing and damaged pages, so that all sound after them comes too early; each page holds its position.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import soundfile

from runtime.audio.containers import flac
from runtime.audio.containers.mapped import Bytes, mapped
from runtime.audio.containers.stream import Entry, Piece, Stream
from runtime.remote import Location

HEADER = 27
MARK = b"OggS"
FIRST, LAST = 2, 4
"""Flags of pages that begin and end a stream."""
NO_POSITION = -1
OPUS_RATE = 48_000
OPUS = b"OpusHead"
FLAC = b"\x7fFLAC"
FLAC_INFO = 17
"""Where STREAMINFO begins in a first page."""
CODECS = (b"\x01vorbis", OPUS, FLAC)
LONGEST_PACKET = 8192
"""In frames."""
MOST_LOST = 16
"""A stream that lacks more pages than this right after its headers, and no bytes, was recorded from its middle on."""
MORE_THAN_OTHERS = 1.5
"""The most by which the last page's packets can be longer than those of any other page."""
BACKWARDS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Each byte with its bits reversed: a page's checksum takes bits in the opposite order to zlib's."""


@dataclass(frozen=True)
class Page:
    """A page: the bytes where it begins and ends, and what its header says."""

    at: int
    end: int
    flags: int
    position: int
    serial: int
    number: int
    segments: int
    packets: int


@dataclass(frozen=True)
class Link:
    """One of the streams that a file chains: the pages of its headers, then runs of pages with lost ones between them.

    `complete` is whether its last page is there; `head` is the content of its first one.
    """

    headers: list[Page]
    runs: list[list[Page]]
    complete: bool
    head: bytes

    @property
    def end(self) -> int:
        """The position at which it ends."""
        return next((page.position for page in reversed(self.runs[-1]) if page.position != NO_POSITION), 0)

    def frames(self, position: int, rate: int) -> int:
        """How many frames come before a position."""
        if not self.head.startswith(OPUS):
            return position
        pre_skip = int.from_bytes(self.head[10:12], "little")  # dropped by the decoder
        return round((position - pre_skip) * rate / OPUS_RATE)

    def pieces(self, run: list[Page]) -> list[Piece]:
        """The pieces of the file that a decoder needs to read a run."""
        return [(page.at, page.end) for page in (*self.headers, *run)]


def streams(path: Location) -> list[Stream]:
    """The streams of a file: one, or several that are chained; libsndfile reads only the first."""
    data = mapped(path)
    links = [link for pages in _chained(_pages(data)) if (link := _link(data, pages)) is not None]
    return [_stream(path, link, len(links) == 1, link is links[-1]) for link in links]


def _stream(path: Location, link: Link, alone: bool, last: bool) -> Stream:
    notes = () if link.complete or last else ("chains streams of which one lacks its end",)
    complete = link.complete or not last
    if link.head.startswith(FLAC):  # libsndfile reads FLAC only without pages
        info = link.head[FLAC_INFO : FLAC_INFO + flac.INFO]
        frames = [(page.at + HEADER + page.segments, page.end) for page in link.runs[0]]
        return Stream(Entry(0, [flac.header_with_total(info, link.end), *frames]), link.end, complete, notes)
    if len(link.runs) == 1 and link.complete:
        pieces = [(link.headers[0].at, link.runs[0][-1].end)]
        return Stream(None if alone else Entry(0, pieces), None, complete, notes)
    entry = Entry(0, link.pieces(link.runs[0]))
    with contextlib.suppress(soundfile.SoundFileError), entry.open(path) as file:
        promised = link.frames(link.end, file.samplerate)
        entry_after = functools.partial(_entry_after, path, link, file.samplerate)
        return Stream(entry, promised, complete, notes, entry_after)
    return Stream(entry, None, complete, notes)


def _entry_after(path: Location, link: Link, rate: int, frame: int) -> Entry | None:
    """The start of the first run that reaches beyond a frame.

    Its last page says where the run ends, libsndfile how many frames it has.
    """
    for run in link.runs[1:]:
        position = next((page.position for page in reversed(run) if page.position != NO_POSITION), 0)
        if (end := link.frames(position, rate)) <= frame:
            continue
        entry = Entry(0, link.pieces(run))
        with contextlib.suppress(soundfile.SoundFileError), entry.open(path) as file:
            start = end - int(file.frames)
            return replace(entry, start=max(start, frame), skip=max(0, frame - start))
    return None


def _link(data: Bytes, pages: list[Page]) -> Link | None:
    """The stream of sound among interleaved ones; None if there is none."""
    firsts = {page.serial: data[page.at + HEADER + page.segments : page.end] for page in pages if page.flags & FIRST}
    serial = next((serial for serial, head in firsts.items() if head.startswith(CODECS)), next(iter(firsts), None))
    own = [page for page in pages if page.serial == serial]
    headers = list(itertools.takewhile(lambda page: page.position in (0, NO_POSITION), own))
    sound = own[len(headers) :]
    if serial is None or not sound:
        return None
    complete = bool(sound[-1].flags & LAST) and all(page.serial in firsts for page in pages)
    if not _is_plausible(sound):
        sound, complete = sound[:-1], False
    runs: list[list[Page]] = [[]]
    for before, page in zip([headers[-1], *sound], sound, strict=False):
        lost = page.number - before.number - 1
        if lost > 0 and (runs[-1] or page.at > before.end or lost <= MOST_LOST):
            runs.append([])
        runs[-1].append(page)
    return Link(headers, runs, complete, firsts[serial])


def _is_plausible(sound: list[Page]) -> bool:
    """Whether the last page's position, the stream's length, fits its number of packets as those of other pages do."""
    placed = [page for page in sound if page.position != NO_POSITION]
    if len(placed) < 2 or placed[-1].number != placed[-2].number + 1:
        return True
    steps = [(page.position - before.position) / max(1, page.packets) for before, page in itertools.pairwise(placed)]
    most = max(steps[:-1], default=LONGEST_PACKET)
    return 0 <= steps[-1] <= max(most, 1) * MORE_THAN_OTHERS


def _chained(pages: Iterator[Page]) -> Iterator[list[Page]]:
    """The pages of each link: the first pages of its interleaved streams, then the others."""
    link: list[Page] = []
    for page in pages:
        if page.flags & FIRST and link and not link[-1].flags & FIRST:
            yield link
            link = []
        if link or page.flags & FIRST:
            link.append(page)
    if link:
        yield link


def _pages(data: Bytes) -> Iterator[Page]:
    """All pages with a correct checksum."""
    at = 0
    while (at := data.find(MARK + b"\0", at)) >= 0:
        page = _page(data, at)
        if page is not None:
            yield page
        at = page.end if page is not None else at + 1


def _page(data: Bytes, at: int) -> Page | None:
    head = data[at : at + HEADER]
    if len(head) < HEADER or head[4]:
        return None
    table = data[at + HEADER : at + HEADER + head[26]]
    end = at + HEADER + head[26] + sum(table)
    page = head[:22] + bytes(4) + data[at + 26 : end]
    if end > len(data) or checksum(page) != int.from_bytes(head[22:26], "little"):
        return None
    packets = sum(size < 255 for size in table)
    position = int.from_bytes(head[6:14], "little", signed=True)
    serial, number = int.from_bytes(head[14:18], "little"), int.from_bytes(head[18:22], "little")
    return Page(at, end, head[5], position, serial, number, head[26], packets)


def checksum(page: bytes) -> int:
    """The checksum of a page whose own checksum is replaced by zeros."""
    crc = zlib.crc32(page.translate(BACKWARDS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)
