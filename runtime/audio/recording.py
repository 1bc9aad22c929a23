"""One recording as a lazy stream of windows: decoded block by block, mixed to mono, resampled, cut.

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
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from runtime.audio.containers import Decoded, Sound, open_streams
from runtime.audio.levels import Levels
from runtime.audio.windows import LEAST_REMAINDER_S, Normalization, count_windows, has_window, normalize_peak
from runtime.errors import RecordingError, reason

BLOCK_S, MOST_BLOCK = 0.5, 2**22
"""Seconds decoded at once, and samples of all channels: a decoder that fails loses the whole block."""
PART_S, MOST_PART_BYTES = 600.0, 48 * 2**20
"""Windows that start within this many seconds are read as one part, or fewer if their rows have more bytes, for those
wait in memory until all are there."""
PREROLL_S = 0.25
"""What a part's resampler hears before its first window, many times the length of its filter."""

MOST_SPANS = 3
"""So many stretches that cannot be decoded are named."""


@dataclass(frozen=True)
class Window:
    """Samples of one window, `float32 [window]`, or None where it cannot be scored.

    Where nothing of it was `recorded`, or less than 0.05 s, it has no samples either, and nothing has failed.
    """

    index: int
    samples: NDArray[np.float32] | None
    recorded: bool = True


@dataclass(frozen=True)
class Part:
    """Consecutive windows of a recording: `first` and those up to `end`, or to the recording's end if it is None.

    Borders depend on the recording and the hop alone, so that rows are the same bits however many workers share it.
    """

    first: int = 0
    end: int | None = None


def count_part_windows(sample_rate: int, hop: int, row_bytes: int = 4) -> int:
    """How many windows a part has, if each makes a row of so many bytes."""
    return max(1, min(round(PART_S * sample_rate) // hop, MOST_PART_BYTES // row_bytes))


class Recording:
    """A sound file, to be read once.

    Args:
        path: WAV, FLAC, OGG, MP3, Opus: whatever libsndfile reads, at any rate, with any number of channels.
        sample_rate: rate of the windows in Hz.
        window: samples of a window.
        hop: samples from one window's start to the next; `window` if None.
        normalize: "raw" leaves amplitudes as decoded (about ±1); "peak" see `normalize_peak`. Padding stays zero.
        part_windows: how many windows every part but the last has; see `count_part_windows`.
    """

    def __init__(
        self,
        path: Path,
        sample_rate: int,
        window: int,
        hop: int | None = None,
        normalize: Normalization = "raw",
        part_windows: int | None = None,
    ) -> None:
        self.path = path
        self.sample_rate = sample_rate
        self.window = window
        self.hop = hop or window
        self.normalize = normalize
        self.part_windows = part_windows or count_part_windows(sample_rate, self.hop)
        self.failure: str | None = None
        """After reading: why the recording could not be read, or not to its end."""
        self.count: int | None = None
        """After reading its last part without a failure: how many windows the recording has."""
        self._bad: list[tuple[int, int]] = []  # first and last of each run of samples that are no use
        self._lost: list[tuple[int, int]] = []  # those that could not be decoded
        self.unrecorded: tuple[tuple[int, int], ...] = ()
        """After counting its parts: windows that were not recorded, from the first to before the last of each run."""
        self._gaps = np.zeros((0, 2))  # in samples of the windows' rate, what was not recorded
        self._notes: list[str] = []
        self._levels: list[Levels] = []  # of each stream
        self._whole = True  # not read in parts
        self._promised = 0  # samples that the header promises, at the windows' rate
        self._before = 0  # samples of streams that come before the one being read

    @property
    def notes(self) -> list[str]:
        """After reading: what a user should know of a recording that was read all the same."""
        heard = (note for levels in self._levels for note in levels.notes(self._whole))
        return list(dict.fromkeys([*self._notes, *heard]))

    def promised_windows(self) -> int | None:
        """How many windows the file's header promises; None if that cannot be told (an OGG file's end tells it)."""
        try:
            first, *more = [(self._promised_windows(sound), sound.whole) for sound in open_streams(self.path)]
        except (soundfile.SoundFileError, OSError, TypeError, RecordingError):
            return None
        return first[0] if first[1] and not more else None

    def _promised_windows(self, sound: Sound) -> int | None:
        if (frames := sound.believed) is None:
            return None
        return self._count(round(frames * self.sample_rate / sound.file.samplerate))

    def count_parts(self) -> tuple[int, int | None]:
        """In how many parts the recording is read, and how many windows it promises if that is more than one."""
        windows = None
        try:
            with contextlib.closing(open_streams(self.path)) as streams:
                sound = next(streams)
                promised = self._promised_windows(sound)
                windows = promised if sound.seekable else None
                if sound.gaps:
                    self._gaps = self._gaps_of(sound)
                    steps = np.diff(self._is_silent(np.arange(promised or 0)).astype(np.int8), prepend=0, append=0)
                    self.unrecorded = tuple((a, b) for a, b in np.flatnonzero(steps).reshape(-1, 2).tolist())
        except (soundfile.SoundFileError, OSError, TypeError, RecordingError):
            return 1, None  # reading will say why
        parts = math.ceil((windows or 0) / self.part_windows)
        return (parts, windows) if parts > 1 else (1, None)

    def is_enterable(self) -> bool:
        """Whether it can be read from its middle on; else only from its start."""
        try:
            with contextlib.closing(open_streams(self.path)) as streams:
                return next(streams).enterable
        except (soundfile.SoundFileError, OSError, TypeError, RecordingError):
            return True  # reading will say why

    def part(self, number: int, parts: int) -> Part:
        """The windows of one part of `parts`, counted from 0."""
        return Part(number * self.part_windows, None if number == parts - 1 else (number + 1) * self.part_windows)

    def windows(self, part: Part = Part(), offset: int = 0, step: int = 1) -> Iterator[Window]:
        """A part's windows in order, of each `step` only the one at `offset`.

        `failure` is set by the time the last one came, if there is something to say. Where the recording ends too
        early, windows that its header promises follow without samples.
        """
        end = part.end if part.end is not None else sys.maxsize
        self._whole = part == Part()
        return self._cut(range(part.first + offset, end, step), part.first * self.hop)

    def samples(self) -> Iterator[NDArray[np.float32]]:
        """All of it in mono blocks at the windows' rate, with zeros for what is not finite.

        `failure` is set by the time the last one came, if there is something to say; windows can be cut afterwards.
        """
        total = 0
        try:
            for block in self._resampled(0):
                total += len(block)
                yield block
            if not total:
                raise RecordingError("holds no samples")
        except (soundfile.SoundFileError, OSError, RecordingError) as error:
            self.failure = "; ".join(filter(None, (self._losses(), _reason(error))))

    def windows_at(self, indices: Sequence[int]) -> Iterator[Window]:
        """Windows of some indices, which ascend; those that cannot be read come without samples."""
        return self._cut(indices, 0)

    def _cut(self, indices: Iterable[int], begin: int) -> Iterator[Window]:
        """Windows of these indices; `begin` is where reading starts, in samples of the windows' rate."""
        pending: list[NDArray[np.float32]] = []
        start = total = begin  # of pending[0], and of what comes
        held, wanted = 0, iter(indices)
        index = next(wanted, sys.maxsize)
        try:
            for block in self._resampled(begin):
                pending.append(block)
                held += len(block)
                total += len(block)
                while start + held >= index * self.hop + self.window:
                    joined = np.concatenate(pending)
                    at = index * self.hop - start
                    yield self._window(index, joined[at : at + self.window])
                    index = next(wanted, sys.maxsize)
                    keep = min(max(0, index * self.hop - start), len(joined))
                    pending, held, start = [joined[keep:]], len(joined) - keep, start + keep
                if index == sys.maxsize:  # never of the last part
                    return
                if start + held <= index * self.hop:  # nothing of it is in a window that is asked for
                    pending, held, start = [], 0, start + held
            if not total:
                raise RecordingError("holds no samples")
        except (soundfile.SoundFileError, OSError, RecordingError) as error:
            self.failure = "; ".join(filter(None, (self._losses(), _reason(error))))
            promised = self._count(self._promised) if self._promised > 0 else 0
            for missing in itertools.takewhile(promised.__gt__, itertools.chain([index], wanted)):
                yield Window(missing, None)
            return
        self.count = self._count(total)
        if has_window(index, total, self.window, self.hop, self.sample_rate):
            at = index * self.hop - start
            rest = np.concatenate(pending)[max(0, at) :]
            yield self._window(index, rest[: self.window])

    def _count(self, samples: int) -> int:
        return count_windows(samples, self.window, self.hop, self.sample_rate)

    def _window(self, index: int, samples: NDArray[np.float32]) -> Window:
        begin, end = index * self.hop, index * self.hop + self.window
        self._bad = [(first, last) for first, last in self._bad if last >= begin]
        if any(first < end for first, _ in self._bad):
            self.failure = self.failure or "holds samples that are not finite numbers"
            return Window(index, None)
        if len(self._gaps) and self._is_silent(np.array([index]))[0]:
            return Window(index, None, recorded=False)
        if self.normalize == "peak":
            samples = normalize_peak(samples)
        if len(samples) < self.window:
            samples = np.pad(samples, (0, self.window - len(samples)))
        return Window(index, samples)

    def _gaps_of(self, sound: Sound) -> NDArray[np.float64]:
        """What was not recorded of a stream, `[gaps, 2]`, in samples of the windows' rate."""
        gaps = np.array(sound.gaps, np.float64).reshape(-1, 2)
        scaled = gaps * (self.sample_rate / sound.file.samplerate)
        scaled[gaps[:, 1] == sound.file.frames, 1] += self.window  # the last window reaches beyond the sound
        return scaled

    def _is_silent(self, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these windows have less than 0.05 s that was recorded."""
        totals = np.concatenate([[0.0], np.cumsum(self._gaps[:, 1] - self._gaps[:, 0])])
        edges, until = self._gaps.reshape(-1), np.stack([totals[:-1], totals[1:]], axis=1).reshape(-1)
        begins = indices * self.hop
        silent = np.interp(begins + self.window, edges, until) - np.interp(begins, edges, until)
        return np.asarray(silent > self.window - LEAST_REMAINDER_S * self.sample_rate)

    def _resampled(self, begin: int) -> Iterator[NDArray[np.float32]]:
        """Mono blocks at the windows' rate, from sample `begin` of that rate on."""
        self._before, self._bad, self._lost, self._levels = 0, [], [], []
        self._gaps = np.zeros((0, 2))
        for sound in open_streams(self.path):
            self._notes += sound.notes
            yield from self._resampled_stream(sound, begin)
            if not sound.whole:
                there_s = self._before / self.sample_rate
                raise RecordingError(f"is truncated: it breaks off after {there_s:.1f} s")

    def _resampled_stream(self, sound: Sound, begin: int) -> Iterator[NDArray[np.float32]]:
        file, rate = sound.file, sound.file.samplerate
        scale = self.sample_rate / rate
        self._promised = self._before + round((sound.believed or 0) * scale)
        promised_s = (self._before + (sound.promised or 0) * scale) / self.sample_rate
        self._gaps = np.concatenate([np.minimum(self._gaps, self._before), self._gaps_of(sound) + self._before])
        read, skip = self._enter(file, begin, promised_s)
        resampler = None if rate == self.sample_rate else soxr.ResampleStream(rate, self.sample_rate, 1, "float32")
        levels = Levels(file.channels, file.subtype in ("FLOAT", "DOUBLE"), rate)
        self._levels += [] if sound.gaps else [levels]
        blocks = sound.blocks(read, max(1, min(round(BLOCK_S * rate), MOST_BLOCK // file.channels)))
        while (came := self._decoded(blocks, self._before / self.sample_rate + read / rate)) is not None:
            frames, block = came
            position = self._before / scale + read
            if block is None:
                mono = self._lost_samples(position, frames, scale)
            else:
                mono = self._finite(_mono(block), position, scale)
                levels.add(block, mono)
            read += frames
            mono = mono if resampler is None else resampler.resample_chunk(mono)
            yield mono[skip:]
            skip = max(0, skip - len(mono))
        if resampler is not None:
            yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)[skip:]
        self._before += round(read * scale)
        there_s = self._before / self.sample_rate
        if promised_s - there_s > LEAST_REMAINDER_S:
            raise RecordingError(f"is truncated: of {promised_s:.1f} s only {there_s:.1f} s are there")

    def _enter(self, file: soundfile.SoundFile, begin: int, promised_s: float) -> tuple[int, int]:
        """Where samples of both rates coincide, a little before `begin`.

        Returns that frame, and how many resampled samples come before `begin`.
        """
        if not begin:
            return 0, 0
        unit = math.gcd(file.samplerate, self.sample_rate)
        cycle = self.sample_rate // unit
        cycles = max(0, begin - round(PREROLL_S * self.sample_rate)) // cycle
        frame = cycles * (file.samplerate // unit)
        if frame >= file.frames:
            there_s = file.frames / file.samplerate
            raise RecordingError(f"is truncated: of {promised_s:.1f} s only {there_s:.1f} s are there")
        return frame, begin - cycles * cycle

    def _decoded(self, blocks: Iterator[Decoded], there_s: float) -> Decoded | None:
        """The next block, None if there is no more."""
        try:
            return next(blocks, None)
        except soundfile.SoundFileError as error:
            raise RecordingError(_reason(error, f" behind {there_s:.1f} s" if there_s else "")) from None

    def _lost_samples(self, position: float, frames: int, scale: float) -> NDArray[np.float32]:
        """Zeros in place of frames that cannot be decoded; see `_finite`."""
        first, last = int(position * scale), int((position + frames) * scale)
        self._bad.append((first, last))
        if self._lost and first - self._lost[-1][1] <= 1:
            first = self._lost.pop()[0]
        self._lost.append((first, last))
        self.failure = self._losses()
        return np.zeros(frames, np.float32)

    def _losses(self) -> str | None:
        """What could not be decoded between what could."""
        spans = [
            f"from {first / self.sample_rate:.1f} to {last / self.sample_rate:.1f} s" for first, last in self._lost
        ]
        more = [f"at {len(spans) - MOST_SPANS} more places"] if len(spans) > MOST_SPANS else []
        return f"is damaged: cannot be decoded {', '.join(spans[:MOST_SPANS] + more)}" if spans else None

    def _finite(self, mono: NDArray[np.float32], position: float, scale: float) -> NDArray[np.float32]:
        """The block with zeros for what is not finite; where that was is remembered (a resampler would smear it).

        `position` is the block's first sample in the file, `scale` the windows' rate over the file's.
        """
        finite = np.isfinite(mono)
        if finite.all():
            return mono
        bad = np.flatnonzero(~finite)
        for run in np.split(bad, np.flatnonzero(np.diff(bad) > 1) + 1):
            self._bad.append((int((position + run[0]) * scale), int((position + run[-1]) * scale)))
        return np.where(finite, mono, np.float32(0))


def _mono(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of a block's channels; of two with the bits of `mean`, which takes ten times as long."""
    if block.shape[1] == 1:
        return block[:, 0]
    return np.asarray((block[:, 0] + block[:, 1]) / 2 if block.shape[1] == 2 else block.mean(axis=1), np.float32)


def _reason(error: Exception, where: str = "") -> str:
    if isinstance(error, RecordingError):
        return str(error)
    if isinstance(error, soundfile.LibsndfileError):
        return f"cannot be decoded{where} ({error.error_string.strip().rstrip('.') or f'decoder error {error.code}'})"
    return reason(error)
