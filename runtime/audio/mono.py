"""A recording as mono blocks at the rate of its windows: decoded, mixed or one channel of it, resampled."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from runtime.audio.channels import Channel, check_channel, chosen
from runtime.audio.containers import AudioInfo, Decoded, Sound
from runtime.audio.levels import Levels
from runtime.audio.source import Source, open_source
from runtime.audio.windows import LEAST_REMAINDER_S
from runtime.errors import RecordingError, reason

BLOCK_S, MOST_BLOCK = 0.5, 2**22
"""The most decoded at once, in seconds and in samples of all channels: a decoder that fails loses a whole block."""
PREROLL_S = 0.25
"""Seconds given to the resampler before the first sample wanted: many times the length of its filter."""
MOST_SPANS = 3
"""The most stretches that a message names as damaged."""


class MonoReader:
    """Reads a recording as the mean of its channels or as one of them, at the rate of its windows.

    Blocks hold zeros in place of samples that are damaged or not finite; the reader remembers where. All positions are
    in samples of the windows' rate, from the recording's start.

    Args:
        source: what is read.
        sample_rate: of the windows, in Hz.
        channel: what is read of its channels; "loudest" gives all, for windows to choose from.
    """

    def __init__(self, source: Source, sample_rate: int, channel: Channel = "mix") -> None:
        self._source, self._channel = source, channel
        self.sample_rate = sample_rate
        self.promised = 0
        """Samples that the headers read so far promise."""
        self.gaps = np.zeros((0, 2))
        """Stretches that were not recorded, `float64 [gaps, 2]`: from the first to before the second position."""
        self.channels = 0
        """The most channels that a stream read so far has."""
        self.written: datetime | None = None
        """When the recording began, by what its recorder wrote into the file."""
        self._unusable: list[tuple[int, int]] = []  # first and last of each run of samples
        self._damaged: list[tuple[int, int]] = []  # likewise, of samples that could not be decoded
        self._notes: list[str] = []
        self._levels: list[Levels] = []  # of each stream
        self._start = 0  # of the stream that is being read
        self._several: tuple[int, ...] = ()  # how many channels its blocks have, if not one

    def blocks(self, begin: int = 0) -> Iterator[NDArray[np.float32]]:
        """Blocks, `float32 [samples]`, from position `begin` on; `[samples, channels]` where several are read.

        Raises:
            RecordingError: the recording cannot be opened, or not be read to its end.
        """
        self._start, self._unusable, self._damaged, self._levels = 0, [], [], []
        self.gaps = np.zeros((0, 2))
        try:
            for number, sound in enumerate(open_source(self._source)):
                self._notes += sound.notes
                self.written = sound.written if number == 0 else self.written
                yield from self._stream(sound, begin)
                if not sound.complete:
                    raise RecordingError(f"is truncated: it breaks off after {self._start / self.sample_rate:.1f} s")
        except (soundfile.SoundFileError, OSError) as error:
            raise RecordingError(reading_error(error)) from None

    def is_usable(self, begin: int, end: int) -> bool:
        """Whether all samples from `begin` to before `end` are; `begin` never decreases from call to call."""
        self._unusable = [(first, last) for first, last in self._unusable if last >= begin]
        return not any(first < end for first, _ in self._unusable)

    @property
    def damage(self) -> str | None:
        """Names the stretches so far that could not be decoded, while later ones could; None if there are none."""
        spans = [
            f"from {first / self.sample_rate:.1f} to {last / self.sample_rate:.1f} s" for first, last in self._damaged
        ]
        more = [f"at {len(spans) - MOST_SPANS} more places"] if len(spans) > MOST_SPANS else []
        return f"is damaged: cannot be decoded {', '.join(spans[:MOST_SPANS] + more)}" if spans else None

    def notes(self, complete: bool) -> list[str]:
        """What a user should know of the sound that was read; `complete` is whether that is the entire recording."""
        on_levels = (note for levels in self._levels for note in levels.notes(complete))
        return list(dict.fromkeys([*self._notes, *on_levels]))

    def _stream(self, sound: Sound, begin: int) -> Iterator[NDArray[np.float32]]:
        """Blocks of one stream."""
        file, rate = sound.file, sound.file.samplerate
        self.channels = max(self.channels, file.channels)
        check_channel(file.channels, self._channel)
        several = (file.channels,) if self._channel == "loudest" and file.channels > 1 else ()
        if self._start and several != self._several:
            raise RecordingError("changes its number of channels on the way, so that none is the loudest throughout")
        self._several = several
        scale = self.sample_rate / rate
        self.promised = self._start + round((sound.believed or 0) * scale)
        promised_s = (self._start + (sound.promised or 0) * scale) / self.sample_rate
        self.gaps = np.concatenate([np.minimum(self.gaps, self._start), find_gaps(sound, scale) + self._start])
        read, skip = self._enter(file, begin, promised_s)
        resampler = None
        if rate != self.sample_rate:
            resampler = soxr.ResampleStream(rate, self.sample_rate, math.prod(several), "float32")
        levels = Levels(file.channels, file.subtype in ("FLOAT", "DOUBLE"), rate, self._channel)
        self._levels += [] if sound.gaps else [levels]
        blocks = sound.blocks(read, max(1, min(round(BLOCK_S * rate), MOST_BLOCK // file.channels)))
        while (decoded := _next(blocks, self._start / self.sample_rate + read / rate)) is not None:
            frames, block = decoded
            position = self._start / scale + read
            if block is None:
                mono = self._skip_damage(position, frames, scale)
            else:
                mono = self._only_finite(chosen(block, self._channel), position, scale)
                levels.add(block, mono)
            read += frames
            mono = mono if resampler is None else resampler.resample_chunk(mono)
            yield mono[skip:]
            skip = max(0, skip - len(mono))
        if resampler is not None:
            yield resampler.resample_chunk(np.zeros((0, *several), np.float32), last=True)[skip:]
        self._start += round(read * scale)
        there_s = self._start / self.sample_rate
        if promised_s - there_s > LEAST_REMAINDER_S:
            raise RecordingError(f"is truncated: of {promised_s:.1f} s only {there_s:.1f} s are there")

    def _enter(self, file: AudioInfo, begin: int, promised_s: float) -> tuple[int, int]:
        """A frame, a little before position `begin`, at which samples of both rates coincide.

        Returns that frame, and how many resampled samples come before `begin`.
        """
        if not begin:
            return 0, 0
        divisor = math.gcd(file.samplerate, self.sample_rate)
        period = self.sample_rate // divisor  # from one coincidence to the next
        periods = max(0, begin - round(PREROLL_S * self.sample_rate)) // period
        frame = periods * (file.samplerate // divisor)
        if frame >= file.frames:
            there_s = file.frames / file.samplerate
            raise RecordingError(f"is truncated: of {promised_s:.1f} s only {there_s:.1f} s are there")
        return frame, begin - periods * period

    def _skip_damage(self, position: float, frames: int, scale: float) -> NDArray[np.float32]:
        """Zeros in place of frames that cannot be decoded; see `_only_finite`."""
        first, last = int(position * scale), int((position + frames) * scale)
        self._unusable.append((first, last))
        if self._damaged and first - self._damaged[-1][1] <= 1:
            first = self._damaged.pop()[0]
        self._damaged.append((first, last))
        return np.zeros((frames, *self._several), np.float32)

    def _only_finite(self, mono: NDArray[np.float32], position: float, scale: float) -> NDArray[np.float32]:
        """The block with zeros for what is not finite, which a resampler would smear.

        `position` is the block's first frame, counted at the file's rate, `scale` the windows' rate over the file's.
        """
        finite = np.isfinite(mono)
        if finite.all():
            return mono
        bad = np.flatnonzero(~finite if mono.ndim == 1 else ~finite.all(axis=1))
        for run in np.split(bad, np.flatnonzero(np.diff(bad) > 1) + 1):
            self._unusable.append((int((position + run[0]) * scale), int((position + run[-1]) * scale)))
        return np.where(finite, mono, np.float32(0))


def find_gaps(sound: Sound, scale: float) -> NDArray[np.float64]:
    """Stretches of a stream that were not recorded, `float64 [gaps, 2]`, times `scale`; the last may have no end."""
    gaps = np.array(sound.gaps, np.float64).reshape(-1, 2)
    scaled = gaps * scale
    scaled[gaps[:, 1] == sound.file.frames, 1] = np.inf  # the last window reaches beyond the sound
    return scaled


def _next(blocks: Iterator[Decoded], there_s: float) -> Decoded | None:
    """The next block, None at the end; `there_s` is how many seconds were decoded before it."""
    try:
        return next(blocks, None)
    except soundfile.SoundFileError as error:
        raise RecordingError(reading_error(error, f" behind {there_s:.1f} s" if there_s else "")) from None


def reading_error(error: Exception, where: str = "") -> str:
    if isinstance(error, soundfile.LibsndfileError):
        return f"cannot be decoded{where} ({error.error_string.strip().rstrip('.') or f'decoder error {error.code}'})"
    return reason(error)
