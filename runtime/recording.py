"""One recording as a lazy stream of windows: decoded block by block, mixed to mono, resampled, cut.

A damaged recording gives the windows that could be read, and then says what is wrong with it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from runtime.errors import RecordingError, reason
from runtime.windows import LEAST_REMAINDER_S, Normalization, count_windows, has_window, normalize_peak

BLOCK_S = 0.5
"""Seconds decoded at once: a decoder that fails loses the whole block."""
OGG_PAGE = 27 + 255 + 255 * 255
MOST_FRAMES_A_BYTE = 4096
"""More than silence compresses to: a header that promises more is damaged."""
WAV_STREAMED = 0x7FFFF000
"""Lengths from here on are what programs write that do not know the length yet."""
WAV_LENGTHS = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)


@dataclass(frozen=True)
class Window:
    """Samples of one window, `float32 [window]`, or None where it cannot be scored."""

    index: int
    samples: NDArray[np.float32] | None


class Recording:
    """A sound file, to be read once.

    Args:
        path: WAV, FLAC, OGG, MP3, Opus: whatever libsndfile reads, at any rate, with any number of channels.
        sample_rate: rate of the windows in Hz.
        window: samples of a window.
        hop: samples from one window's start to the next; `window` if None.
        normalize: "raw" leaves amplitudes as decoded (about ±1); "peak" see `normalize_peak`. Padding stays zero.
    """

    def __init__(
        self, path: Path, sample_rate: int, window: int, hop: int | None = None, normalize: Normalization = "raw"
    ) -> None:
        self.path = path
        self.sample_rate = sample_rate
        self.window = window
        self.hop = hop or window
        self.normalize = normalize
        self.failure: str | None = None
        """After reading: why the recording could not be read, or not to its end."""
        self._bad: list[tuple[int, int]] = []  # first and last of each run of samples that are not finite
        self._promised = 0  # samples that the header promises, at the windows' rate

    def promised_windows(self) -> int | None:
        """How many windows the file's header promises; None if that cannot be told (an OGG file's end tells it)."""
        try:
            with _opened(self.path) as file:
                frames, rate = _promised_frames(file, self.path), file.samplerate
                if file.format == "OGG" and not _ogg_ends(self.path):
                    return None
        except (soundfile.SoundFileError, OSError, TypeError, RecordingError):
            return None
        return self._count(round(frames * self.sample_rate / rate)) if frames > 0 else None

    def windows(self) -> Iterator[Window]:
        """The windows in order; `failure` is set by the time the last one came, if there is something to say.

        Of a recording that ends too early, windows that its header promises follow without samples.
        """
        pending: list[NDArray[np.float32]] = []
        held = start = index = total = 0  # `start`: position of pending[0]; all in samples of the windows' rate
        try:
            for block in self._resampled():
                pending.append(block)
                held += len(block)
                total += len(block)
                while start + held >= index * self.hop + self.window:
                    joined = np.concatenate(pending)
                    offset = index * self.hop - start
                    yield self._window(index, joined[offset : offset + self.window])
                    index += 1
                    keep = min(max(0, index * self.hop - start), len(joined))
                    pending, held, start = [joined[keep:]], len(joined) - keep, start + keep
            if not total:
                raise RecordingError("holds no samples")
        except (soundfile.SoundFileError, OSError, RecordingError) as error:
            self.failure = _reason(error)
            for missing in range(index, self._count(self._promised) if self._promised > 0 else index):
                yield Window(missing, None)
            return
        if has_window(index, total, self.window, self.hop, self.sample_rate):
            offset = index * self.hop - start
            rest = np.concatenate(pending)[max(0, offset) :]
            yield self._window(index, rest[: self.window])

    def _count(self, samples: int) -> int:
        return count_windows(samples, self.window, self.hop, self.sample_rate)

    def _window(self, index: int, samples: NDArray[np.float32]) -> Window:
        begin, end = index * self.hop, index * self.hop + self.window
        self._bad = [(first, last) for first, last in self._bad if last >= begin]
        if any(first < end for first, _ in self._bad):
            self.failure = self.failure or "holds samples that are not finite numbers"
            return Window(index, None)
        if self.normalize == "peak":
            samples = normalize_peak(samples)
        if len(samples) < self.window:
            samples = np.pad(samples, (0, self.window - len(samples)))
        return Window(index, samples)

    def _resampled(self) -> Iterator[NDArray[np.float32]]:
        """Mono blocks at the windows' rate."""
        with _opened(self.path) as file:
            rate = file.samplerate
            self._promised = round(_promised_frames(file, self.path) * self.sample_rate / rate)
            resampler = None if rate == self.sample_rate else soxr.ResampleStream(rate, self.sample_rate, 1, "float32")
            read = 0
            while len(block := file.read(max(1, round(BLOCK_S * rate)), dtype="float32", always_2d=True)):
                mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
                mono = self._finite(mono, read, self.sample_rate / rate)
                read += len(block)
                yield mono if resampler is None else resampler.resample_chunk(mono)
            if resampler is not None:
                yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
            promised_s = self._promised / self.sample_rate
            if promised_s - read / rate > LEAST_REMAINDER_S:
                raise RecordingError(f"is truncated: of {promised_s:.1f} s only {read / rate:.1f} s are there")
            if file.format == "OGG" and not _ogg_ends(self.path):
                raise RecordingError(f"is truncated: it breaks off after {read / rate:.1f} s, without its last page")

    def _finite(self, mono: NDArray[np.float32], position: int, scale: float) -> NDArray[np.float32]:
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


def _opened(path: Path) -> soundfile.SoundFile:
    with path.open("rb") as file:  # the system's own reason, where libsndfile only says "System error"
        if not file.read(1):
            raise RecordingError("is an empty file")
    return soundfile.SoundFile(os.fsencode(path) if os.name == "posix" else path)


def _promised_frames(file: soundfile.SoundFile, path: Path) -> int:
    """Frames that the header promises, 0 if it promises nothing that can be believed.

    libsndfile corrects a truncated WAV's length in silence, and says so in its log.
    """
    frames = int(file.frames)
    lengths = WAV_LENGTHS.search(file.extra_info)
    if lengths and frames > 0:
        promised, found = map(int, lengths.groups())
        if found < promised < WAV_STREAMED:
            frames = round(frames * promised / found)
    return frames if frames <= path.stat().st_size * MOST_FRAMES_A_BYTE else 0


def _ogg_ends(path: Path) -> bool:
    """Whether an OGG file's last page is whole and marked as the last of its stream (RFC 3533, section 6)."""
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - OGG_PAGE))
        tail = file.read()
    at = tail.rfind(b"OggS")
    if at < 0 or len(tail) < at + 27:
        return False
    segments = tail[at + 26]
    table = tail[at + 27 : at + 27 + segments]
    whole = len(table) == segments and len(tail) >= at + 27 + segments + sum(table)
    return whole and bool(tail[at + 5] & 4)


def _reason(error: Exception) -> str:
    if isinstance(error, soundfile.LibsndfileError):
        return f"cannot be decoded ({error.error_string.strip().rstrip('.') or f'decoder error {error.code}'})"
    return reason(error)
