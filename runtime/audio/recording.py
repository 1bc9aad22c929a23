"""One recording as a lazy stream of windows.

A long one can be read in parts, by several workers. A damaged one gives the windows that could be read, and then says
what is wrong with it.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import soundfile
from numpy.typing import NDArray

from runtime.audio.channels import Channel, loudest
from runtime.audio.containers import Sound
from runtime.audio.mono import MonoReader, find_gaps, reading_error
from runtime.audio.overlap import Overlap
from runtime.audio.source import Source, open_source
from runtime.audio.times import LONGEST_S, Wanted, only
from runtime.audio.windows import Normalization, are_unrecorded, count_windows, has_window, normalize_peak
from runtime.errors import RecordingError

PART_S, MOST_PART_BYTES = 600.0, 48 * 2**20
"""Windows that start within this many seconds are read as one part, or fewer if their rows have more bytes: the rows of
a part wait in memory until all are there."""
CANNOT_OPEN = (soundfile.SoundFileError, OSError, TypeError, RecordingError)


@dataclass(frozen=True)
class Window:
    """Samples of one window, `float32 [window]`, or None where it cannot be scored.

    It starts at the sample `start`, which is `index` hops, rounded down. A window that was not `recorded`, or less than
    0.05 s of it, has no samples either, but that is no failure.
    """

    index: int
    start: int
    samples: NDArray[np.float32] | None
    recorded: bool = True


@dataclass(frozen=True)
class Part:
    """Consecutive windows of a recording: from `first` to before `end`, or to the recording's end if that is None.

    Borders depend on the recording and the hop alone, so that rows are the same bits however many workers share it.
    """

    first: int = 0
    end: int | None = None


def count_part_windows(sample_rate: int, hop: int, row_bytes: int = 4) -> int:
    """How many windows a part has, if each makes a row of `row_bytes` bytes."""
    return max(1, min(round(PART_S * sample_rate) // hop, MOST_PART_BYTES // row_bytes))


class Recording:
    """A recording, to be read once.

    Args:
        source: a sound file (whatever libsndfile reads, or PyAV if it is installed), or samples in memory; at any
            rate, with any number of channels.
        sample_rate: rate of the windows in Hz.
        window: samples of a window.
        hop: samples from one window's start to the next; `window` if None.
        normalize: "raw" leaves amplitudes as decoded (about ±1); "peak" see `normalize_peak`. Padding stays zero.
        part_windows: how many windows every part but the last has; see `count_part_windows`.
        overlap: the windows that are read for each of those that are counted here; those themselves if None.
        channel: the mean of its channels ("mix"), one of them, counted from 1, or in each window the "loudest".
    """

    def __init__(
        self,
        source: Source,
        sample_rate: int,
        window: int,
        hop: int | None = None,
        normalize: Normalization = "raw",
        part_windows: int | None = None,
        overlap: Overlap | None = None,
        channel: Channel = "mix",
    ) -> None:
        self.source = source
        self.sample_rate = sample_rate
        self.window = window
        self.hop = hop or window
        self.normalize = normalize
        self.overlap = overlap
        self.part_windows = part_windows or count_part_windows(sample_rate, self.hop)
        self.failure: str | None = None
        """After reading: why the recording could not be read, or not to its end."""
        self.count: int | None = None
        """After reading its last part without a failure: how many windows the recording has."""
        self.unrecorded: tuple[tuple[int, int], ...] = ()
        """After `count_parts`: runs of windows that were not recorded, each from the first to before the second."""
        self._written: datetime | None = None
        self._reader = MonoReader(source, sample_rate, channel)
        self._is_read_in_parts = False

    @property
    def notes(self) -> list[str]:
        """After reading: what a user should know of a recording that was read all the same."""
        return self._reader.notes(complete=not self._is_read_in_parts)

    @property
    def written(self) -> datetime | None:
        """Once it was opened: when it began, by what its recorder wrote into the file; None if that says nothing."""
        return self._written or self._reader.written

    @property
    def channels(self) -> int:
        """While it is read: how many channels it has, 0 if unknown."""
        return self._reader.channels

    def promised_windows(self) -> int | None:
        """How many windows the file's header promises; None if unknown (in OGG it follows from the file's end)."""
        try:
            first, *more = [(self._promised_by(sound), sound.complete) for sound in open_source(self.source)]
        except CANNOT_OPEN:
            return None
        return first[0] if first[1] and not more else None

    def count_parts(self) -> tuple[int, int | None]:
        """In how many parts the recording is read, and if in more than one, how many windows it promises."""
        windows = None
        try:
            with contextlib.closing(open_source(self.source)) as streams:
                sound = next(streams)
                self._written = sound.written
                promised = self._promised_by(sound)
                windows = promised if sound.seekable else None
                if sound.gaps:
                    gaps = find_gaps(sound, self.sample_rate / sound.file.samplerate)
                    unrecorded = self._are_unrecorded(gaps, np.arange(promised or 0) * self.hop)
                    edges = np.flatnonzero(np.diff(unrecorded.astype(np.int8), prepend=0, append=0))
                    self.unrecorded = tuple((first, end) for first, end in edges.reshape(-1, 2).tolist())
        except CANNOT_OPEN:
            return 1, None  # reading will say why
        parts = self._parts(windows)
        return (parts, windows) if parts > 1 else (1, None)

    def outline(self) -> tuple[int | None, int, int]:
        """How many windows the header promises, None if unknown, in how many parts the recording is read, and how many
        channels it begins with, 0 if unknown.
        """
        try:
            with contextlib.closing(open_source(self.source)) as streams:
                sound = next(streams)
                self._written = sound.written
                promised = self._promised_by(sound)
                return promised, self._parts(promised if sound.seekable else None), sound.file.channels
        except CANNOT_OPEN as error:
            self.failure = reading_error(error)
            return None, 1, 0

    def _parts(self, windows: int | None) -> int:
        return max(1, math.ceil((windows or 0) / self.part_windows))

    def is_enterable(self) -> bool:
        """Whether reading can begin in its middle, not only at its start."""
        try:
            with contextlib.closing(open_source(self.source)) as streams:
                return next(streams).enterable
        except CANNOT_OPEN:
            return True  # reading will say why

    def part(self, number: int, parts: int) -> Part:
        """The windows of one part of `parts`, counted from 0."""
        return Part(number * self.part_windows, None if number == parts - 1 else (number + 1) * self.part_windows)

    def windows(
        self,
        part: Part = Part(),
        offset: int = 0,
        step: int = 1,
        wanted: Wanted | None = None,
        span_s: tuple[float, float] = (0, LONGEST_S),
    ) -> Iterator[Window]:
        """A part's windows in order: every `step`-th, from the one at `offset` on, or of these only the `wanted` ones,
        which start within `span_s`. With an overlap, the windows of all these rows, each once.

        `failure` is set, if anything failed, by the time the last window came. Where the recording ends too early, the
        other windows that its header promises follow without samples.
        """
        end = part.end if part.end is not None else sys.maxsize
        self._is_read_in_parts = part != Part()
        rows: Iterable[int] = (every := range(part.first + offset, end, step))
        if wanted is not None:
            first, end = (math.ceil(each * self.sample_rate / self.hop) for each in span_s)
            rows = only(every, wanted, (first - 1, end + 1))
        if self.overlap is None:
            return self._cut((row * self.hop for row in rows), part.first * self.hop)
        return self._cut(self.overlap.starts(rows), min(self.overlap.starts_of(part.first)))

    def samples(self) -> Iterator[NDArray[np.float32]]:
        """The entire recording in mono blocks at the windows' rate, with zeros for samples that are not finite.

        `failure` is set, if anything failed, by the time the last block came. Windows can be cut afterwards.
        """
        total = 0
        try:
            for block in self._blocks(0):
                total += len(block)
                yield block
            if not total:
                raise RecordingError("holds no samples")
        except RecordingError as error:
            self._fail(error)

    def windows_at(self, indices: Sequence[int]) -> Iterator[Window]:
        """The windows at `indices`, which ascend; windows that cannot be read have no samples."""
        return self._cut([index * self.hop for index in indices], 0)

    def _cut(self, starts: Iterable[int], begin: int) -> Iterator[Window]:
        """Windows from these starts, which ascend; reading begins at `begin`. Both are samples of the windows' rate."""
        pending: list[NDArray[np.float32]] = []
        first = total = begin  # of pending[0], and of the next block
        remaining = iter(starts)
        start = next(remaining, sys.maxsize)
        try:
            for block in self._blocks(begin):
                pending.append(block)
                total += len(block)
                while total >= start + self.window and self._is_there(start, total):
                    joined = np.concatenate(pending)
                    at = start - first
                    yield self._window(start, joined[at : at + self.window])
                    start = next(remaining, sys.maxsize)
                    keep = min(start - first, len(joined))
                    pending, first = [joined[keep:]], first + keep
                if start == sys.maxsize:  # never of the last part
                    return
                if total <= start:  # the next window starts later
                    pending, first = [], total
            if not total:
                raise RecordingError("holds no samples")
        except RecordingError as error:
            self._fail(error)
            promised = self._count(self._reader.promised) if self._reader.promised > 0 else 0
            for missing in self._up_to(promised, itertools.chain([start], remaining)):
                yield Window(missing // self.hop, missing, None)
            return
        self.count = self._count(total)
        for padded in self._up_to(self.count, itertools.chain([start], remaining)):
            yield self._window(padded, np.concatenate(pending)[padded - first :][: self.window])

    def _is_there(self, start: int, total: int) -> bool:
        """Whether so many samples show that the last counted window does not start before `start`."""
        return has_window(-(-start // self.hop), total, self.window, self.hop, self.sample_rate)

    def _up_to(self, count: int, starts: Iterable[int]) -> Iterator[int]:
        """Of ascending starts, those up to that of the last of `count` windows."""
        return itertools.takewhile(((count - 1) * self.hop).__ge__, starts)

    def _blocks(self, begin: int) -> Iterator[NDArray[np.float32]]:
        for block in self._reader.blocks(begin):
            self.failure = self._reader.damage or self.failure
            yield block

    def _fail(self, error: RecordingError) -> None:
        self.failure = "; ".join(filter(None, (self._reader.damage, str(error))))

    def _window(self, start: int, samples: NDArray[np.float32]) -> Window:
        index = start // self.hop
        if not self._reader.is_usable(start, start + self.window):
            self.failure = self.failure or "holds samples that are not finite numbers"
            return Window(index, start, None)
        if len(self._reader.gaps) and self._are_unrecorded(self._reader.gaps, np.array([start]))[0]:
            return Window(index, start, None, recorded=False)
        if samples.ndim > 1:
            samples = loudest(samples)
        if self.normalize == "peak":
            samples = normalize_peak(samples)
        if len(samples) < self.window:
            samples = np.pad(samples, (0, self.window - len(samples)))
        return Window(index, start, samples)

    def _promised_by(self, sound: Sound) -> int | None:
        if (frames := sound.believed) is None:
            return None
        return self._count(round(frames * self.sample_rate / sound.file.samplerate))

    def _count(self, samples: int) -> int:
        return count_windows(samples, self.window, self.hop, self.sample_rate)

    def _are_unrecorded(self, gaps: NDArray[np.float64], begins: NDArray[np.int64]) -> NDArray[np.bool_]:
        return are_unrecorded(gaps, begins, self.window, self.sample_rate)
