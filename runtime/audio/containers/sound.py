"""An open sound file, and how long its sound should be."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import datetime

import soundfile

from runtime.audio.containers import by_pyav, flac, mp3, ogg, wav
from runtime.audio.containers.claims import claimed_frames
from runtime.audio.containers.kinds import kind_for_pyav
from runtime.audio.containers.opened import CheckedFile, open_file
from runtime.audio.containers.reading import MOST_S_A_BYTE, AudioInfo, Decoded, reader, resuming
from runtime.audio.containers.stream import Stream
from runtime.errors import RecordingError
from runtime.remote import Location

SEEKABLE = frozenset({"AIFF", "AU", "CAF", "FLAC", "RF64", "W64", "WAV", "WAVEX"})
"""Formats that can be read from any frame without decoding those before it; others are read in one part."""
MPEG = (".mp3", ".mp2", ".mp1", ".mpa", ".mpga")
MOST_FRAMES_A_BYTE = 4096
"""More than silence compresses to; a header that promises more is damaged."""
MOST_MISSING, MOST_MISSING_S = 64, 600
"""Rows are made for a file's missing end, up to this many times what the file holds, or this many seconds."""
LEAST_RATE, MOST_RATE = 1_000, 6_144_000
"""In Hz, far beyond what recorders offer (8,000 to 500,000); other rates mean damaged headers."""


@dataclass(frozen=True)
class Sound:
    """One stream of a file.

    `promised` is how many frames the file claims, None where it claims nothing credible. `seekable` is whether it can
    be read from any frame without decoding those before it. `notes` say what is unusual about a file that can be read,
    each a phrase that follows its path ("was never finished: …"). `complete` is false where the file lacks its end.
    `gaps` are stretches, from the first frame to before the second, that
    were not recorded and read as zeros.
    """

    file: AudioInfo
    promised: int | None
    seekable: bool
    blocks: Callable[[int, int], Iterator[Decoded]]
    """Gives the frames from one on, so many at once or a few more; see `read_blocks`."""
    complete: bool = True
    notes: tuple[str, ...] = ()
    enterable: bool = False
    """Whether it can be read from any frame on; if it is not `seekable`, only approximately."""
    written: datetime | None = None
    """When the recording began, by what the recorder wrote into the file."""
    gaps: tuple[tuple[int, int], ...] = ()

    @property
    def believed(self) -> int | None:
        """How many frames rows are made for: those promised, unless the file holds next to nothing of them."""
        if self.promised is None:
            return None
        return min(self.promised, max(MOST_MISSING * self.file.frames, MOST_MISSING_S * self.file.samplerate))


def open_streams(path: Location) -> Generator[Sound, None, None]:
    """Each stream of a file in turn, open until the next is asked for. Chained OGG files and joined WAVs have several.

    Raises:
        RecordingError: the file is empty, or its header impossible.
        OSError, soundfile.SoundFileError: it cannot be opened.
    """
    with path.open("rb") as file:  # the system's own reason, where libsndfile only says "System error"
        if not (head := file.read(4096)):
            raise RecordingError("is an empty file")
    if not head.strip(b"\0"):
        raise RecordingError("begins with zeros where a header should be: it was never written")
    with contextlib.closing(_streams(path, kind_for_pyav(path, head))) as streams:
        for sound in streams:
            _check_rate(sound.file.samplerate)
            yield sound


def _streams(path: Location, for_pyav: str | None) -> Generator[Sound, None, None]:
    if for_pyav is not None:
        with by_pyav.opened(path, for_pyav) as track:
            most, most_s = path.stat().st_size * MOST_FRAMES_A_BYTE, path.stat().st_size * MOST_S_A_BYTE
            believed = track.frames if 0 < track.frames <= min(most, most_s * track.samplerate) else None
            yield Sound(track, believed, False, track.blocks, track.complete, track.notes)
        return
    if (extent := wav.examine(path)) is None:
        yield from _compressed(path)
    while extent is not None:
        joined = extent.joined
        following = wav.examine(path, joined) if joined is not None else None
        if extent.layout.rate is not None:
            _check_rate(extent.layout.rate)  # libsndfile refuses some rates without a reason
        with _chunked(path, extent) as file:
            seekable = joined is None and not extent.base and _is_seekable(file)
            notes, gaps = extent.notes(file), extent.timeline.gaps if extent.timeline is not None else ()
            if joined is not None and following is None:
                notes.append(f"is joined with another file at byte {joined:,}, in which no sound was found")
            promised, written, noted = extent.promised(file), extent.written, tuple(notes)
            blocks = reader(file, promised)
            yield Sound(file, promised, seekable, blocks, True, noted, enterable=seekable, gaps=gaps, written=written)
        extent = following


def _compressed(path: Location) -> Generator[Sound, None, None]:
    streams: list[Stream] = []
    try:
        with open_file(path) as file:
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


def _look(file: soundfile.SoundFile, path: Location) -> list[Stream]:
    if file.format == "FLAC":
        return flac.streams(path)
    if file.format == "OGG":
        return ogg.streams(path)
    if file.format == "MP3" or file.subtype.startswith("MPEG"):
        return mp3.streams(path, plain=file.format == "MP3")
    with path.open("rb") as opened:
        claimed = claimed_frames(file, opened.read(4096), path.stat().st_size)
    return [] if claimed is None else [Stream(promised=claimed)]


def _look_closer(path: Location) -> list[Stream]:
    """The streams of a file that libsndfile does not recognise: FLAC in OGG, MP3 that begins within a frame."""
    with path.open("rb") as file:
        is_ogg = file.read(len(ogg.MARK)) == ogg.MARK
    return ogg.streams(path) if is_ogg else mp3.streams(path, plain=False) if path.suffix.lower() in MPEG else []


def _is_seekable(file: soundfile.SoundFile) -> bool:
    return file.format in SEEKABLE and bool(file.seekable())


@contextlib.contextmanager
def _chunked(path: Location, extent: wav.Extent) -> Iterator[soundfile.SoundFile]:
    """The file as it is if libsndfile finds all of its sound, else with a corrected header."""
    with contextlib.suppress(soundfile.LibsndfileError), open_file(path) as file:
        if extent.agrees_with(file):
            yield file
            return
    with extent.open(path) as pieces, CheckedFile(pieces) as file:
        yield file


def _check_rate(rate: int) -> None:
    if not LEAST_RATE <= rate <= MOST_RATE:
        raise RecordingError(
            f"has a rate of {rate:,} Hz in its header, which no recording has ({LEAST_RATE:,} to {MOST_RATE:,} Hz)"
        )


def _sound(file: soundfile.SoundFile, stream: Stream, path: Location, seekable: bool, enterable: bool) -> Sound:
    size = path.stat().st_size
    most, most_s = size * MOST_FRAMES_A_BYTE, size * MOST_S_A_BYTE
    if (promised := stream.promised) is None:  # only the decoder gives a length
        promised, most = int(file.frames), min(most, most_s * file.samplerate)
    resume = resuming(path, stream, file.samplerate, most_s * file.samplerate)
    complete = stream.complete and (stream.promised is None or promised <= most)  # else the missing length is unknown
    believed = promised if 0 < promised <= most else None
    return Sound(file, believed, seekable, reader(file, believed, resume), complete, stream.notes, enterable)
