"""Reads a stream, past damage where possible."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from runtime.audio.containers.stream import Stream
from runtime.remote import Location

MOST_S_A_BYTE = 1 / 16
"""Silence at 8 kHz in FLAC takes 22 bytes a second; a file that promises more seconds is damaged."""
CLOSER = 25
"""A block that cannot be decoded at once is read in this many pieces."""
MOST_TRIES, PATIENT_TRIES = 2000, 64
"""How many failures end the reading, and how many in a row it takes for its steps to grow ever longer."""


class AudioInfo(Protocol):
    """What `soundfile.SoundFile` says of a file; rates are in Hz, `frames` counts samples of a channel."""

    @property
    def samplerate(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def frames(self) -> int: ...
    @property
    def subtype(self) -> str: ...


class AudioFile(AudioInfo, Protocol):
    """The part of `soundfile.SoundFile` that reading needs."""

    def seek(self, frames: int) -> int: ...
    def read(self, frames: int, dtype: str, always_2d: bool) -> NDArray[np.float32]:
        """The next frames, `[frames, channels]`; none at the end."""
        ...


Decoded = tuple[int, NDArray[np.float32] | None]
"""A number of frames, and the frames, `float32 [frames, channels]`, or None where they are lost."""
Resume = Callable[[int], tuple[int, soundfile.SoundFile] | None]
"""Opens a stream anew at the first place, from a given frame on, where decoding can begin; returns its frame too."""


def never_resume(frame: int) -> tuple[int, soundfile.SoundFile] | None:
    """For streams that can only be read from their start."""
    return None


def resuming(path: Location, stream: Stream, rate: int, most: float) -> Resume:
    """How to resume a stream; frames whose number exceeds `most` are damaged."""

    def resume(frame: int) -> tuple[int, soundfile.SoundFile] | None:
        step = max(1, rate // 50)
        while (entry := stream.entry_after(frame)) is not None and entry.start <= most:
            with contextlib.suppress(soundfile.SoundFileError):
                return entry.start, entry.open(path)
            frame, step = entry.start + step, 2 * step
        return None

    return resume


def reader(
    file: AudioFile, promised: int | None, resume: Resume = never_resume
) -> Callable[[int, int], Iterator[Decoded]]:
    """`read_blocks` for a file; it takes the frame to begin with, and how many to read at once."""
    return functools.partial(read_blocks, file, promised, resume)


def read_blocks(file: AudioFile, promised: int | None, resume: Resume, begin: int, size: int) -> Iterator[Decoded]:
    """Frames from `begin` on, `size` at once or fewer.

    Raises:
        soundfile.SoundFileError: it cannot be decoded, and no later frame either.
    """
    at, closer = begin, max(1, size // CLOSER)
    near = -1  # up to this frame it is read in small pieces, to lose as little as possible
    resumed, sought, step, failed_here = -1, -1, closer, 0
    for _ in range(MOST_TRIES):
        count, error = closer if at < near else size, None
        try:
            if begin:
                file.seek(begin)
                begin = 0
            while len(block := file.read(count, dtype="float32", always_2d=True)):
                yield len(block), block
                at += len(block)
                count = closer if at < near else size
        except soundfile.SoundFileError as failed:
            error, begin = failed, 0
        if error is None and (promised is None or at >= promised):
            return
        if error is None or (at >= near and at > resumed):
            frame, near, step, failed_here = at, at + size, closer, 0
        else:  # the damage is right here
            failed_here += 1
            frame, step = at + step, 2 * step if step < size or failed_here > PATIENT_TRIES else step
        sought = max(frame, sought + 1)
        if (found := resume(sought)) is None:
            break
        resumed, file = found
        while at < resumed:
            lost = min(size, resumed - at)
            yield lost, None
            at += lost
    if error is not None:
        raise error
