"""MPEG audio files, their frames counted: where no Xing header tells of them, or a wrong one, libsndfile guesses."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from runtime.audio.containers.mapped import Bytes, mapped
from runtime.audio.containers.mpeg import Frames, Kind, Xing
from runtime.audio.containers.stream import Entry, Stream
from runtime.audio.containers.tags import tag_size

SYNC = re.compile(rb"\xff[\xe2-\xff][\x00-\xef]")
ALIKE, ANOTHER = 3, 6
"""So many frames in a row are sound again behind what is none: of the same kind, or of another."""
RESERVOIR = 1024
"""Bytes before a frame from which it borrows (511 at most), and what the decoder's filters need."""
MUCH = 4096
"""Bytes at the end that are neither sound nor a tag nor zeros, from which on a user is told."""
MOST_BY_GUESS = 256
"""So many times larger than its mean frame the first one can be, by which libsndfile reckons the length."""


@dataclass
class Run:
    """Frames one after another: the stream's frame that is first, how many there are, where they lie in the file."""

    first: int
    count: int
    pieces: list[tuple[int, int]]

    @property
    def end(self) -> int:
        return self.first + self.count


@dataclass
class Track:
    """A stream as it lies in the file: runs of frames, others between them lost. `cut` is whether it ends in one."""

    kind: Kind
    xing: Xing | None
    runs: list[Run] = field(default_factory=list)
    cut: bool = False
    _frames: int = 0  # without those that are lost
    _bytes: int = 0

    @property
    def frames(self) -> int:
        return self.runs[-1].end if self.runs else 0

    def add(self, begin: int, end: int, count: int, lost: int) -> None:
        """Frames that follow those there are, after some that are lost."""
        self._frames += count
        self._bytes += end - begin
        if not self.runs or lost:
            self.runs.append(Run(self.frames + lost, count, [(begin, end)]))
        else:
            self.runs[-1].count += count
            self.runs[-1].pieces.append((begin, end))

    def frames_in(self, size: int) -> int:
        """How many frames so many bytes are, by the mean of those there are."""
        return round(size * self._frames / max(1, self._bytes))


class Walk:
    """Goes through a file from frame to frame: `tracks` is what there is of sound, in order.

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
            begin, whole = (None, True) if track.cut else self._next(last, at, track.kind)
            if begin is not None and not whole and count:  # the size of the last frame is not to be trusted
                at, count = last, count - 1
            if count:
                track.add(first, at, count, lost)
            lost = 0 if begin is None or whole else max(1, track.frames_in(begin - at))
        self.tracks = [track for track in tracks if track.runs]
        self.junk = 0 if not self.tracks or self.tracks[-1].cut else self._count_junk(self._past_tags(at))

    def _enter(self, tracks: list[Track], begin: int) -> int:
        """Sees to it that the last track is the one whose frames begin here; returns where its sound does."""
        found = self._frames.frame(begin)
        assert found is not None
        xing = self._frames.xing(begin, *found)
        if not tracks or self._is_another(begin, tracks[-1].kind):
            tracks.append(Track(found[0], xing))
        return begin + (xing.size if xing is not None else 0)

    def _is_another(self, begin: int, kind: Kind) -> bool:
        """Whether frames that begin here are of another stream."""
        found = self._frames.frame(begin)
        return found is not None and (found[0] != kind or self._frames.xing(begin, *found) is not None)

    def _run(self, at: int, kind: Kind) -> tuple[int, int, int]:
        """Frames from here on: where the last one begins, where it ends, how many there are."""
        last, count = at - 1, 0
        while (found := self._frames.frame(at)) is not None and found[0] == kind and at + found[1] <= self._size:
            if self._frames.xing(at, *found) is not None:
                break
            last, at, count = at, at + found[1], count + 1
        return last, at, count

    def _is_cut(self, at: int, kind: Kind) -> bool:
        """Whether the file ends in the middle of the frame that begins here."""
        if at < self._size < at + 4:
            return self._data[at] == 0xFF
        found = self._frames.frame(at)
        return found is not None and found[0] == kind and at + found[1] > self._size

    def _next(self, last: int, at: int, kind: Kind) -> tuple[int | None, bool]:
        """Where sound goes on behind a run, and whether the run's last frame is whole; None if there is no more."""
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
        """Where frames begin again."""
        found = (match.start() for match in SYNC.finditer(self._data, at))
        return next((place for place in found if self._begins(place, kind)), None)

    def _begins(self, at: int, kind: Kind | None) -> bool:
        """Whether frames begin here: one alone is chance, unless the file's end or a tag follows it."""
        first = found = self._frames.frame(at)
        for _ in range(ALIKE if first is not None and kind in (None, first[0]) else ANOTHER):
            if found is None or first is None or found[0] != first[0]:
                return False
            at += found[1]
            if at == self._size or tag_size(self._data, at):
                return True
            found = self._frames.frame(at)
        return True

    def _count_junk(self, at: int) -> int:
        blocks = range(at, self._size, 1 << 20)
        return self._size - at if any(self._data[k : k + (1 << 20)].strip(b"\0") for k in blocks) else 0


def streams(path: Path, plain: bool = True) -> list[Stream]:
    """The streams of a file: one, or several that were joined; none if it holds no frames.

    `plain` is whether libsndfile takes the file for MPEG audio, and not for a WAV that holds some, or for nothing.
    """
    data = mapped(path)
    walk = Walk(data)
    found = [_stream(path, track, plain and len(walk.tracks) == 1) for track in walk.tracks]
    if found and walk.junk > MUCH:
        track, note = walk.tracks[-1], f"ends in {walk.junk:,} bytes that are no sound"
        sure = track.xing is not None and track.xing.frames in (track.frames, track.frames + 1)
        found[-1] = replace(found[-1], whole=sure, notes=(*found[-1].notes, note))
    return found


def _stream(path: Path, track: Track, alone: bool) -> Stream:
    samples, xing, runs = track.kind.samples, track.xing, track.runs
    told, delay, padding = (xing.frames, xing.delay, xing.padding) if xing is not None else (0, 0, 0)
    if told and len(runs) == 2 and not track.cut:  # surer than the bytes between, where bit rates vary
        runs[1].first = max(runs[0].end, runs[1].first + told - track.frames)
    notes: tuple[str, ...] = ()
    if len(runs) > 1:
        notes = ("lacks frames here and there: how many was reckoned from the bytes between those that are there",)
    frames = told if track.cut and told > track.frames else track.frames
    if told and not frames <= told <= frames + 1:
        seconds = told * samples / track.kind.rate, frames * samples / track.kind.rate
        notes += ("was read to its end: its header promises {:.1f} s, {:.1f} s are there".format(*seconds),)
    entry = None
    if xing is None or told < track.frames or len(runs) > 1:
        entry = _entry(0, runs[0].pieces, delay)
    elif told > track.frames or not alone or len(runs[0].pieces) > 1:
        entry = Entry(0, [(xing.at, xing.at + xing.size), *runs[0].pieces])
    promised = max(1, frames * samples - delay - padding)
    return Stream(entry, promised, not track.cut or told >= track.frames, notes, _Search(path, track, delay))


def _entry(start: int, pieces: Sequence[tuple[int, int]], skip: int) -> Entry:
    """One without a header in front, whose length the decoder must not reckon too short."""
    size = sum(end - begin for begin, end in pieces)
    return Entry(start, pieces, skip, claimed=MOST_BY_GUESS * size)


class _Search:
    """Finds the first place at or behind a sample where a frame can be decoded that lacks nothing of those before it.

    It only goes on, so that all of its calls together read the file once.
    """

    def __init__(self, path: Path, track: Track, delay: int) -> None:
        self._path, self._samples, self._delay = path, track.kind.samples, delay
        self._runs = list(track.runs)
        self._number, self._at = 0, 0  # of the first run's frames, one from which on it is looked

    def __call__(self, sample: int) -> Entry | None:
        frames = Frames(mapped(self._path))
        wanted = -(-(sample + self._delay) // self._samples)
        while self._runs:
            run, before = self._runs[0], deque[int]()  # frames whose bytes it may need
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
    """Where each frame of a run begins, from a place in the file on."""
    for begin, end in run.pieces:
        at = max(begin, start)
        while at < end and (found := frames.frame(at)):
            yield at
            at += found[1]
