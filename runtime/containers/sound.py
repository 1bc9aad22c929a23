"""A sound file that is open, and what it claims of itself."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import soundfile

from runtime.containers import flac, mp3, ogg
from runtime.containers.reading import Decoded, Opener, nothing_behind, opener, read_blocks
from runtime.containers.stream import Stream
from runtime.errors import RecordingError

SEEKABLE = frozenset({"AIFF", "AU", "CAF", "FLAC", "RF64", "W64", "WAV", "WAVEX"})
"""Formats in which a sample is found without decoding what comes before it; the others are read in one part."""
MOST_FRAMES_A_BYTE = 4096
"""More than silence compresses to: a header that promises more is damaged."""
WAV_STREAMED = 0x7FFFF000
"""Lengths from here on are what programs write that do not know the length yet."""
WAV_LENGTHS = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)


@dataclass(frozen=True)
class Sound:
    """One stream of a file.

    `promised` is how many frames the file says it has, None where it says nothing that can be believed. `seekable` is
    whether a frame is found without decoding those before it. `notes` are what a user should know of a file that is
    read all the same, each a phrase that follows its path ("was never finished: …"). `whole` is false where the file
    lacks its end. `behind` goes on behind damage.
    """

    file: soundfile.SoundFile
    promised: int | None
    seekable: bool
    whole: bool = True
    notes: tuple[str, ...] = ()
    behind: Opener = nothing_behind
    enterable: bool = False
    """Whether it can be read from any frame on: exactly if it is `seekable`, else nearly."""

    def blocks(self, begin: int, size: int) -> Iterator[Decoded]:
        """See `read_blocks`."""
        return read_blocks(self.file, self.promised, self.behind, begin, size)


def open_streams(path: Path) -> Generator[Sound, None, None]:
    """Each stream of a file in turn, open until the next is asked for: one, but for OGG files that chain several.

    Raises:
        RecordingError: the file is empty.
        OSError, soundfile.SoundFileError: it cannot be opened.
    """
    with path.open("rb") as file:  # the system's own reason, where libsndfile only says "System error"
        if not file.read(1):
            raise RecordingError("is an empty file")
    streams: list[Stream] = []
    try:
        with soundfile.SoundFile(os.fsencode(path) if os.name == "posix" else path) as file:
            streams = _look(file, path)
            if not streams or streams[0].entry is None:
                stream = streams[0] if streams else Stream()
                promised = _promised_frames(file, path) if stream.promised is None else stream.promised
                behind = opener(path, stream, file.samplerate)
                yield Sound(file, promised, _is_seekable(file), stream.whole, stream.notes, behind, enterable=True)
                return
    except soundfile.SoundFileError:
        streams = [stream for stream in _look_closer(path) if stream.entry is not None]
        if not streams:
            raise
    for stream in streams:
        assert stream.entry is not None
        with stream.entry.open(path) as file:
            promised = int(file.frames) if stream.promised is None else stream.promised
            seekable = len(streams) == 1 and _is_seekable(file)
            behind = opener(path, stream, file.samplerate)
            yield Sound(file, _believed(promised, path), seekable, stream.whole, stream.notes, behind, seekable)


def _look(file: soundfile.SoundFile, path: Path) -> list[Stream]:
    if file.format == "FLAC":
        return flac.streams(path)
    if file.format == "OGG":
        return ogg.streams(path)
    if file.format == "MP3" or file.subtype.startswith("MPEG"):
        return mp3.streams(path, plain=file.format == "MP3")
    return []


def _look_closer(path: Path) -> list[Stream]:
    """The streams of a file that libsndfile does not know: FLAC in OGG, MP3 that begins in the middle of a frame."""
    with path.open("rb") as file:
        is_ogg = file.read(len(ogg.MARK)) == ogg.MARK
    return ogg.streams(path) if is_ogg else mp3.streams(path, plain=False) if path.suffix.lower() == ".mp3" else []


def _is_seekable(file: soundfile.SoundFile) -> bool:
    return file.format in SEEKABLE and bool(file.seekable())


def _promised_frames(file: soundfile.SoundFile, path: Path) -> int | None:
    """Frames that the header promises.

    libsndfile corrects a truncated WAV's length in silence, and says so in its log.
    """
    frames = int(file.frames)
    lengths = WAV_LENGTHS.search(file.extra_info)
    if lengths and frames > 0:
        promised, found = map(int, lengths.groups())
        if found < promised < WAV_STREAMED:
            frames = round(frames * promised / found)
    return _believed(frames, path)


def _believed(frames: int, path: Path) -> int | None:
    return frames if 0 < frames <= path.stat().st_size * MOST_FRAMES_A_BYTE else None
