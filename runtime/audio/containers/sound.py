"""A sound file that is open, and what it claims of itself."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import soundfile

from runtime.audio.containers import flac, mp3, ogg, wav
from runtime.audio.containers.reading import AudioFile, Decoded, Opener, nothing_behind, opener, read_blocks
from runtime.audio.containers.stream import Stream
from runtime.errors import RecordingError

SEEKABLE = frozenset({"AIFF", "AU", "CAF", "FLAC", "RF64", "W64", "WAV", "WAVEX"})
"""Formats in which a sample is found without decoding what comes before it; the others are read in one part."""
MOST_FRAMES_A_BYTE = 4096
"""More than silence compresses to: a header that promises more is damaged."""
MOST_S_A_BYTE = 1 / 16
"""Likewise for seconds: silence of 8 kHz in FLAC has 22 bytes a second."""
MOST_MISSING, MOST_MISSING_S = 64, 600
"""A file that lacks its end has rows for what is missing, up to so many times what is there, or so many seconds."""
LEAST_RATE, MOST_RATE = 1_000, 6_144_000
"""In Hz, far outside of what recorders offer (8,000 to 500,000): other rates are damaged headers."""


@dataclass(frozen=True)
class Sound:
    """One stream of a file.

    `promised` is how many frames the file says it has, None where it says nothing that can be believed. `seekable` is
    whether a frame is found without decoding those before it. `notes` are what a user should know of a file that is
    read all the same, each a phrase that follows its path ("was never finished: …"). `whole` is false where the file
    lacks its end. `behind` goes on behind damage. `gaps` are frames, from the first to before the last, that read as
    zeros and were not recorded.
    """

    file: AudioFile
    promised: int | None
    seekable: bool
    whole: bool = True
    notes: tuple[str, ...] = ()
    behind: Opener = nothing_behind
    enterable: bool = False
    """Whether it can be read from any frame on: exactly if it is `seekable`, else nearly."""
    gaps: tuple[tuple[int, int], ...] = ()

    @property
    def believed(self) -> int | None:
        """How many frames rows are made for: those promised, unless next to nothing of them is there."""
        if self.promised is None:
            return None
        return min(self.promised, max(MOST_MISSING * self.file.frames, MOST_MISSING_S * self.file.samplerate))

    def blocks(self, begin: int, size: int) -> Iterator[Decoded]:
        """See `read_blocks`."""
        return read_blocks(self.file, self.promised, self.behind, begin, size)


def open_streams(path: Path) -> Generator[Sound, None, None]:
    """Each stream of a file in turn, open until the next is asked for: one, but in chained OGG files and joined WAVs.

    Raises:
        RecordingError: the file is empty, or what its header says cannot be.
        OSError, soundfile.SoundFileError: it cannot be opened.
    """
    with path.open("rb") as file:  # the system's own reason, where libsndfile only says "System error"
        if not (head := file.read(4096)):
            raise RecordingError("is an empty file")
    if not head.strip(b"\0"):
        raise RecordingError("begins with zeros where a header should be: it was never written")
    with contextlib.closing(_streams(path)) as streams:
        for sound in streams:
            _check_rate(sound.file.samplerate)
            yield sound


def _streams(path: Path) -> Generator[Sound, None, None]:
    if (extent := wav.examine(path)) is None:
        yield from _compressed(path)
    while extent is not None:
        joined = extent.joined
        following = wav.examine(path, joined) if joined is not None else None
        if extent.layout.rate is not None:
            _check_rate(extent.layout.rate)  # some of which libsndfile does not open, without saying why
        with _chunked(path, extent) as file:
            seekable = joined is None and not extent.base and _is_seekable(file)
            notes, gaps = extent.notes(file), extent.field.gaps if extent.field is not None else ()
            if joined is not None and following is None:
                notes.append(f"is joined with another file at byte {joined:,}, of which no sound can be found")
            yield Sound(file, extent.promised(file), seekable, notes=tuple(notes), enterable=seekable, gaps=gaps)
        extent = following


def _compressed(path: Path) -> Generator[Sound, None, None]:
    streams: list[Stream] = []
    try:
        with soundfile.SoundFile(_name(path)) as file:
            streams = _look(file, path)
            if not streams or streams[0].entry is None:
                stream = streams[0] if streams else Stream()
                yield _sound(file, stream, path, _is_seekable(file), enterable=True)
                return
    except soundfile.SoundFileError:
        streams = [stream for stream in _look_closer(path) if stream.entry is not None]
        if not streams:
            raise
    for stream in streams:
        assert stream.entry is not None
        with stream.entry.open(path) as file:
            seekable = len(streams) == 1 and _is_seekable(file)
            yield _sound(file, stream, path, seekable, enterable=seekable)


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


def _name(path: Path) -> Path | bytes:
    return os.fsencode(path) if os.name == "posix" else path


@contextlib.contextmanager
def _chunked(path: Path, extent: wav.Extent) -> Iterator[soundfile.SoundFile]:
    """The file as it is where libsndfile reads it right, else with a header that is right."""
    with contextlib.suppress(soundfile.LibsndfileError), soundfile.SoundFile(_name(path)) as file:
        if extent.is_seen_by(file):
            yield file
            return
    with extent.open(path) as pieces, soundfile.SoundFile(pieces) as file:
        yield file


def _check_rate(rate: int) -> None:
    if not LEAST_RATE <= rate <= MOST_RATE:
        raise RecordingError(
            f"has a rate of {rate:,} Hz in its header, which no recording has ({LEAST_RATE:,} to {MOST_RATE:,} Hz)"
        )


def _sound(file: soundfile.SoundFile, stream: Stream, path: Path, seekable: bool, enterable: bool) -> Sound:
    size = path.stat().st_size
    most, most_s = size * MOST_FRAMES_A_BYTE, size * MOST_S_A_BYTE
    if (promised := stream.promised) is None:  # nobody has looked
        promised, most = int(file.frames), min(most, most_s * file.samplerate)
    behind = opener(path, stream, file.samplerate, most_s * file.samplerate)
    whole = stream.whole and (stream.promised is None or promised <= most)  # else nobody knows what is missing
    believed = promised if 0 < promised <= most else None
    return Sound(file, believed, seekable, whole, stream.notes, behind, enterable)
