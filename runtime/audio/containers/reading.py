"""Reading a stream past what is damaged in it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from runtime.audio.containers.stream import Stream

CLOSER = 25
"""Into so many pieces a block is divided that cannot be decoded in one go."""
MOST_TRIES, PATIENT_TRIES = 2000, 64
"""So many places that cannot be decoded end a recording; after so many in a row steps grow longer and longer."""


class AudioFile(Protocol):
    """What of `soundfile.SoundFile` is needed to read sound; rates are in Hz, `frames` counts samples of a channel."""

    @property
    def samplerate(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def frames(self) -> int: ...
    @property
    def subtype(self) -> str: ...

    def seek(self, frames: int) -> int: ...
    def read(self, frames: int, dtype: str, always_2d: bool) -> NDArray[np.float32]:
        """The next frames, `[frames, channels]`; none at the end."""
        ...


Decoded = tuple[int, NDArray[np.float32] | None]
"""Frames: how many, and they themselves, `float32 [frames, channels]`, or None where they are lost."""
Opener = Callable[[int], tuple[int, soundfile.SoundFile] | None]
"""Opens a stream anew at the first place at or behind a frame where decoding can begin, and says which."""


def nothing_behind(frame: int) -> tuple[int, soundfile.SoundFile] | None:
    """Where a stream cannot be entered."""
    return None


def opener(path: Path, stream: Stream, rate: int, most: float) -> Opener:
    """That of a stream as it was looked at; frames that number themselves beyond `most` are damaged."""

    def behind(frame: int) -> tuple[int, soundfile.SoundFile] | None:
        step = max(1, rate // 50)
        while (entry := stream.behind(frame)) is not None and entry.start <= most:
            with contextlib.suppress(soundfile.SoundFileError):
                return entry.start, entry.open(path)
            frame, step = entry.start + step, 2 * step
        return None

    return behind


def read_blocks(file: AudioFile, promised: int | None, behind: Opener, begin: int, size: int) -> Iterator[Decoded]:
    """Frames from `begin` on, `size` at once or fewer.

    Raises:
        soundfile.SoundFileError: it cannot be decoded, here or behind.
    """
    at, closer = begin, max(1, size // CLOSER)
    near = -1  # up to this frame it is read in small pieces, to lose no more than must be
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
        else:  # it is here
            failed_here += 1
            frame, step = at + step, 2 * step if step < size or failed_here > PATIENT_TRIES else step
        sought = max(frame, sought + 1)
        if (found := behind(sought)) is None:
            break
        resumed, file = found
        while at < resumed:
            lost = min(size, resumed - at)
            yield lost, None
            at += lost
    if error is not None:
        raise error
