"""A sound file that is open, and what it claims of itself."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import soundfile

from runtime.containers import ogg
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
    lacks its end.
    """

    file: soundfile.SoundFile
    promised: int | None
    seekable: bool
    whole: bool = True
    notes: tuple[str, ...] = ()


def open_streams(path: Path) -> Generator[Sound, None, None]:
    """Each stream of a file in turn, open until the next is asked for: one, but for OGG files that chain several.

    Raises:
        RecordingError: the file is empty.
        OSError, soundfile.SoundFileError: it cannot be opened.
    """
    with path.open("rb") as file:  # the system's own reason, where libsndfile only says "System error"
        if not file.read(1):
            raise RecordingError("is an empty file")
    with soundfile.SoundFile(os.fsencode(path) if os.name == "posix" else path) as file:
        links = ogg.links(path) if file.format == "OGG" else []
        if len(links) <= 1:
            whole = file.format != "OGG" or ogg.ends_whole(path)
            yield Sound(file, _promised_frames(file, path), file.format in SEEKABLE, whole)
            return
    for start, end in links:
        with ogg.Section(path, start, end) as section, soundfile.SoundFile(section) as file:
            whole = (start, end) != links[-1] or ogg.ends_whole(path)
            yield Sound(file, _promised_frames(file, path), False, whole)


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
    return frames if 0 < frames <= path.stat().st_size * MOST_FRAMES_A_BYTE else None
