"""What a recording is read from: a file, or samples in memory, which read as the same samples in a float WAV would."""

from __future__ import annotations

import numbers
from collections.abc import Generator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from runtime.audio.containers import LEAST_RATE, MOST_RATE, Sound, notes_on_zeros, open_streams, reader
from runtime.errors import InputError
from runtime.remote import Location

MOST_CHANNELS = 1024
"""More than libsndfile reads from a file; samples with more have their axes swapped."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Audio in memory: `samples` are `float32 [samples]` or `[channels, samples]`, about ±1, at `sample_rate` Hz.

    They are not copied, and must not change while they are read.

    Raises:
        InputError: another type or shape, or a rate that no recording has.
    """

    samples: NDArray[np.float32]
    sample_rate: int

    def __post_init__(self) -> None:
        samples, rate = self.samples, self.sample_rate
        if not isinstance(samples, np.ndarray) or samples.dtype != np.float32:
            kind = getattr(samples, "dtype", type(samples).__name__)
            raise InputError(
                f"samples are {kind}, but must be a NumPy array of float32, about ±1: read them with "
                "`soundfile.read(path, dtype='float32')`, or divide int16 by 32768"
            )
        if samples.ndim not in (1, 2) or not (samples.ndim == 1 or 1 <= len(samples) <= MOST_CHANNELS):
            raise InputError(
                f"samples have the shape {samples.shape}, but must be [samples] or [channels, samples]; soundfile "
                "reads [samples, channels], so give `samples.T`"
            )
        if not isinstance(rate, numbers.Real) or rate % 1 or not LEAST_RATE <= rate <= MOST_RATE:
            raise InputError(
                f"sample_rate is {rate!r}, but must be a whole number from {LEAST_RATE:,} to {MOST_RATE:,} Hz"
            )

    @cached_property
    def frames(self) -> NDArray[np.float32]:
        """`float32 [samples, channels]`, a view."""
        return np.atleast_2d(self.samples).T

    def open(self) -> Sound:
        """The samples as one stream, with the notes that a file would get."""
        file = _SampleFile(self.frames, int(self.sample_rate))
        notes = notes_on_zeros(file.frames / file.samplerate, self._zeros / file.samplerate)
        promised = file.frames or None
        return Sound(file, promised, True, reader(file, promised), enterable=True, notes=tuple(notes))

    @cached_property
    def _zeros(self) -> int:
        """How many frames of zeros the samples end with; -0.0, whose sign bit is set, does not count."""
        written = ((self.frames != 0) | np.signbit(self.frames)).any(axis=1)
        return int(written[::-1].argmax()) if written.any() else len(written)


class _SampleFile:
    """Samples, read as a sound file is."""

    subtype = "FLOAT"

    def __init__(self, frames: NDArray[np.float32], samplerate: int) -> None:
        self.samplerate = samplerate
        self.frames, self.channels = frames.shape
        self._frames, self._at = frames, 0

    def seek(self, frames: int) -> int:
        self._at = frames
        return frames

    def read(self, frames: int, dtype: str, always_2d: bool) -> NDArray[np.float32]:
        # Sums over channels round by the order of values in memory.
        block = np.ascontiguousarray(self._frames[self._at : self._at + frames])
        self._at += len(block)
        return block


Source = Location | Samples


def open_source(source: Source) -> Generator[Sound, None, None]:
    """Each stream of a source in turn; for files see `open_streams`."""
    if isinstance(source, Samples):
        yield source.open()
    else:
        yield from open_streams(source)
