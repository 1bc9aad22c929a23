"""Counts the frames of MPEG audio files: where the Xing header is missing or wrong, libsndfile guesses the length."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from runtime.audio.containers.mapped import Bytes, mapped, places
from runtime.audio.containers.mpeg import Frames, Kind, Xing
from runtime.audio.containers.stream import Entry, Stream
from runtime.audio.containers.tags import tag_size
from runtime.remote import Location

SYNC = re.compile(rb"\xff[\xe2-\xff][\x00-\xef]")
ALIKE, ANOTHER = 3, 6
"""How many frames in a row, of the same kind or of another, count as sound again after bytes that are not sound."""
RESERVOIR = 1024
"""Bytes before a frame that decoding it needs: those it borrows (511 at most), and for the decoder's filters."""
MUCH = 4096
"""More bytes than this at the end, neither sound nor tags nor zeros, are worth a note."""
MOST_BY_GUESS = 256
"""The most by which a file's first frame, from whose size libsndfile guesses the length, can exceed the mean one."""


@dataclass
class Run:
    """Consecutive frames: the number of the first in its stream, how many there are, and where they lie in the file."""

    first: int
    count: int
    pieces: list[tuple[int, int]]

    @property
    def end(self) -> int:
        return self.first + self.count


@dataclass
class Track:
    """A stream: runs of frames with lost ones between them. `cut` is whether the file ends within one of its frames."""

    kind: Kind
    xing: Xing | None
    runs: list[Run] = field(default_factory=list)
    cut: bool = False
    _frames: int = 0  # without lost ones
    _bytes: int = 0

    @property
    def frames(self) -> int:
        return self.runs[-1].end if self.runs else 0

    def add(self, begin: int, end: int, count: int, lost: int) -> None:
        """Appends `count` frames, after `lost` ones that are missing."""
        self._frames += count
        self._bytes += end - begin
        if not self.runs or lost:
            self.runs.append(Run(self.frames + lost, count, [(begin, end)]))
        else:
            self.runs[-1].count += count
            self.runs[-1].pieces.append((begin, end))

    def frames_in(self, size: int) -> int:
        """How many frames `size` bytes are likely to hold, by the mean size of a frame."""
        return round(size * self._frames / max(1, self._bytes))


class Walk:
    """Goes through a file from frame to frame; `tracks` are the streams it holds, in order.

    `junk` counts bytes at the end that are neither sound nor tags; zeros alone are none.
    """

    def __init__(self, data: Bytes) -> None:
        self._data, self._size, self._frames = data, len(data), Frames(data)
        tracks: list[Track] = []
        at, lost = self._past_tags(0), 0
        begin = at if self._begins(at, None) else self._resync(at, None)
        while begin is not None:
            begin = self._enter(tracks, begin)
            track, first = tracks[-1], begin
            last, at, count = self._run(first, track.kind)
            track.cut = self._is_cut(at, track.kind)
            begin, complete = (None, True) if track.cut else self._next(last, at, track.kind)
            if begin is not None and not complete and count:  # the last frame may be shorter than it says
                at, count = last, count - 1
            if count:
                track.add(first, at, count, lost)
            lost = 0 if begin is None or complete else max(1, track.frames_in(begin - at))
        self.tracks = [track for track in tracks if track.runs]
        self.junk = 0 if not self.tracks or self.tracks[-1].cut else self._count_junk(self._past_tags(at))

    def _enter(self, tracks: list[Track], begin: int) -> int:
        """Adds a track unless the frames that begin here continue the last one; returns where their sound begins."""
        frame = self._frames.frame(begin)
        assert frame is not None
        xing = self._frames.xing(begin, *frame)
        if not tracks or self._is_another(begin, tracks[-1].kind):
            tracks.append(Track(frame[0], xing))
        return begin + (xing.size if xing is not None else 0)

    def _is_another(self, begin: int, kind: Kind) -> bool:
        """Whether the frames that begin here are of another stream."""
        frame = self._frames.frame(begin)
        return frame is not None and (frame[0] != kind or self._frames.xing(begin, *frame) is not None)

    def _run(self, at: int, kind: Kind) -> tuple[int, int, int]:
        """Follows the frames from here on; returns where the last one begins and ends, and how many there are."""
        last, count = at - 1, 0
        while (frame := self._frames.frame(at)) is not None and frame[0] == kind and at + frame[1] <= self._size:
            if self._frames.xing(at, *frame) is not None:
                break
            last, at, count = at, at + frame[1], count + 1
        return last, at, count

    def _is_cut(self, at: int, kind: Kind) -> bool:
        """Whether the file ends in the middle of the frame that begins here."""
        if at < self._size < at + 4:
            return self._data[at] == 0xFF
        frame = self._frames.frame(at)
        return frame is not None and frame[0] == kind and at + frame[1] > self._size

    def _next(self, last: int, at: int, kind: Kind) -> tuple[int | None, bool]:
        """Where sound continues after a run, None if nowhere; and whether the run's last frame is complete."""
        after = self._past_tags(at)
        if self._begins(after, kind):
            return after, True
        begin = self._resync(after if after > at else last + 1, kind)
        return begin, after > at or begin is None or self._is_another(begin, kind)

    def _past_tags(self, at: int) -> int:
        while at < self._size and (size := tag_size(self._data, at)):
            at += size
        return min(at, self._size)

    def _resync(self, at: int, kind: Kind | None) -> int | None:
        """The next place where frames begin; None if there is none."""
        return next((place for place in places(SYNC, self._data, at) if self._begins(place, kind)), None)

    def _begins(self, at: int, kind: Kind | None) -> bool:
        """Whether frames begin here: a single one is chance, unless the file's end or a tag follows it."""
        first = frame = self._frames.frame(at)
        for _ in range(ALIKE if first is not None and kind in (None, first[0]) else ANOTHER):
            if frame is None or first is None or frame[0] != first[0]:
                return False
            at += frame[1]
            if at == self._size or tag_size(self._data, at):
                return True
            frame = self._frames.frame(at)
        return True

    def _count_junk(self, at: int) -> int:
        blocks = range(at, self._size, 1 << 20)
        return self._size - at if any(self._data[k : k + (1 << 20)].strip(b"\0") for k in blocks) else 0


def streams(path: Location, plain: bool = True) -> list[Stream]:
    """The streams of a file: one, or several that were joined; none if it holds no frames.

    `plain` is whether libsndfile recognises the file as MPEG audio: false for a WAV that holds some, and for a file
    that it does not recognise.
    """
    data = mapped(path)
    walk = Walk(data)
    result = [_stream(path, track, plain and len(walk.tracks) == 1) for track in walk.tracks]
    if result and walk.junk > MUCH:
        track, note = walk.tracks[-1], f"ends with {walk.junk:,} bytes that are no sound"
        sure = track.xing is not None and track.xing.frames in (track.frames, track.frames + 1)
        result[-1] = replace(result[-1], complete=sure, notes=(*result[-1].notes, note))
    return result


def _stream(path: Location, track: Track, alone: bool) -> Stream:
    samples, xing, runs = track.kind.samples, track.xing, track.runs
    declared, delay, padding = (xing.frames, xing.delay, xing.padding) if xing is not None else (0, 0, 0)
    if declared and len(runs) == 2 and not track.cut:  # more exact than the bytes lost, where bit rates vary
        runs[1].first = max(runs[0].end, runs[1].first + declared - track.frames)
    notes: tuple[str, ...] = ()
    if len(runs) > 1:
        notes = ("lacks frames in places: how many was estimated from the bytes between the others",)
    frames = declared if track.cut and declared > track.frames else track.frames
    if declared and not frames <= declared <= frames + 1:
        seconds = declared * samples / track.kind.rate, frames * samples / track.kind.rate
        notes += ("was read to its end: its header promises {:.1f} s, {:.1f} s are there".format(*seconds),)
    entry = None
    if xing is None or declared < track.frames or len(runs) > 1:
        entry = _entry(0, runs[0].pieces, delay)
    elif declared > track.frames or not alone or len(runs[0].pieces) > 1:
        entry = Entry(0, [(xing.at, xing.at + xing.size), *runs[0].pieces])
    promised = max(1, frames * samples - delay - padding)
    return Stream(entry, promised, not track.cut or declared >= track.frames, notes, _Search(path, track, delay))


def _entry(start: int, pieces: Sequence[tuple[int, int]], skip: int) -> Entry:
    """An entry without a Xing header, claiming a size from which the decoder cannot guess too short a length."""
    size = sum(end - begin for begin, end in pieces)
    return Entry(start, pieces, skip, claimed=MOST_BY_GUESS * size)


class _Search:
    """Finds the first frame at or after a sample that can be decoded: all bytes that it borrows are there.

    It only moves forwards, so that all calls together read the file once.
    """

    def __init__(self, path: Location, track: Track, delay: int) -> None:
        self._path, self._samples, self._delay = path, track.kind.samples, delay
        self._runs = list(track.runs)
        self._number, self._at = 0, 0  # of the frame in the first run at which the search continues

    def __call__(self, sample: int) -> Entry | None:
        frames = Frames(mapped(self._path))
        wanted = -(-(sample + self._delay) // self._samples)
        while self._runs:
            run, before = self._runs[0], deque[int]()  # frames whose bytes a later one may need
            first = max(run.first, self._number)
            for number, at in enumerate(_offsets(frames, run, self._at), first) if run.end > wanted else ():
                while len(before) > 1 and at - before[1] >= RESERVOIR:
                    before.popleft()
                if number >= wanted and before and at - before[0] >= RESERVOIR:
                    self._number, self._at = number - len(before), before[0]
                    pieces = [(max(begin, before[0]), end) for begin, end in run.pieces if end > before[0]]
                    return _entry(number * self._samples - self._delay, pieces, len(before) * self._samples)
                before.append(at)
            del self._runs[0]
        return None


def _offsets(frames: Frames, run: Run, start: int) -> Iterator[int]:
    """Where each frame of a run begins, from byte `start` of the file on."""
    for begin, end in run.pieces:
        at = max(begin, start)
        while at < end and (frame := frames.frame(at)):
            yield at
            at += frame[1]
