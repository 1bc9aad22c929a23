"""Sound files as libsndfile opens them: those on a disk by itself, all others through Python."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import soundfile

from runtime.remote import Location, RemoteFile


def open_file(location: Location) -> soundfile.SoundFile:
    """Raises OSError, soundfile.SoundFileError."""
    if isinstance(location, RemoteFile):
        return CheckedFile(location.open("rb"))
    return soundfile.SoundFile(_name(location))


def _name(path: Path) -> Path | bytes:
    return os.fsencode(path) if os.name == "posix" else path


class CheckedFile(soundfile.SoundFile):
    """A sound file that is read through a Python file.

    libsndfile takes an error of that file for its end, and would give a part of the sound as if it was all. Here the
    call in which the error occurred raises it, and so do all later ones.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._source = _Source(file)
        with self._checked():
            super().__init__(self._source)

    def read(self, *args: Any, **options: Any) -> Any:
        with self._checked():
            return super().read(*args, **options)

    def seek(self, *args: Any, **options: Any) -> Any:
        with self._checked():
            return super().seek(*args, **options)

    @contextlib.contextmanager
    def _checked(self) -> Iterator[None]:
        try:
            yield
        except soundfile.SoundFileError:  # what libsndfile made of the error
            if self._source.error is None:
                raise
        if self._source.error is not None:
            raise self._source.error


class ForwardFile(CheckedFile):
    """A sound file that is only read forwards: `SoundFile` seeks after each read, which fails in FLAC without its first
    frame."""

    def seekable(self) -> bool:
        return False


class _Source:
    """A file that remembers its error: exceptions cannot pass through libsndfile."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell = file.seek, file.tell
        self._file = file
        self.error: Exception | None = None

    def readinto(self, buffer: Any) -> int:
        if self.error is None:
            try:
                return int(self._file.readinto(buffer))  # type: ignore[attr-defined]
            except Exception as error:
                self.error = error
        return 0
