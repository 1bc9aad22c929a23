"""What libsndfile cannot read, by the FFmpeg that the package PyAV holds: M4A, WMA, AMR, WavPack, the sound of videos.

Time begins with the first sample that the decoder gives. FFmpeg drops what a container says was put before the sound
by its encoder; raw AAC, AC-3 and AMR, WMA, AVI, FLV and MPEG's streams say nothing of that, and their times are off by
up to 0.1 s.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from runtime.audio.containers.reading import MOST_S_A_BYTE, Decoded
from runtime.audio.extensions import PYAV, advice
from runtime.errors import RecordingError, first_line
from runtime.remote import Location

if TYPE_CHECKING:
    import av

READ = (
    "aac,ac3,amr,amrnb,amrwb,ape,asf,avi,caf,dsf,dss,eac3,flv,iff,matroska,mov,mp3,mpc,mpc8,mpeg,mpegts,oma,ogg,rm,"
    "tak,tta,wav,wv"
)
"""FFmpeg's names of the containers that it may take a file for. Others can refer to further files."""
CLAIMS = "ape", "asf", "dsf", "matroska", "mov", "mpc8", "tak", "tta", "wv"
"""Those that say how long their sound is."""
OF_FILE = "asf", "matroska"
"""Those that say it of the file as a whole, which may have a longer picture."""
CHECKED = "ape", "flac", "tak", "tta", "wavpack"
"""Codecs with checksums, which FFmpeg compares only if it is told to."""
MOST_TAGS = 512
"""Bytes of raw AAC that may be tags behind the sound."""
LEAST_JUMP_S = 0.1
"""A jump of the times of frames from which on sound is missing; less comes from how times are rounded."""


class AvFile:
    """The first sound track of a file of `size` bytes; see `AudioInfo`. Raises RecordingError if it has none.

    `frames` is how many it claims, 0 where it does not say. `complete` is false where the file lacks its end.
    """

    subtype = "AV"

    def __init__(self, container: av.container.InputContainer, size: int, complete: bool) -> None:
        import av

        self.complete, self._tracks = complete, len(container.streams.audio)
        if not self._tracks:
            raise RecordingError("holds no sound")
        self._container, self._track = container, container.streams.audio[0]
        self._track.codec_context.thread_count = 1
        if self._track.codec_context.name in CHECKED:
            self._track.codec_context.options = {"err_detect": "crccheck+explode"}
        self._resampler = av.AudioResampler(format="flt")
        self._lost_s = 0.0
        """The length of packets that could not be decoded since the last one that could."""
        self._broken: RecordingError | None = None
        """Why the container could not be read to its end."""
        self._most_lost_s = size * MOST_S_A_BYTE
        self._skipped = size
        """Bytes from the first packet on that are in none so far."""
        self._timed = self._decoded()
        first = next(self._timed, None)
        if first is None:
            raise self._broken or RecordingError("holds no samples")
        self._first = first
        self.samplerate, self.channels = first.sample_rate, first.layout.nb_channels
        self.frames = self._claimed(_time(first) or 0.0)

    def _claimed(self, starts_s: float) -> int:
        """How many frames from the first one decoded on, which is at `starts_s`, the container claims."""
        track, kinds = self._track, self._container.format.name.split(",")
        if kinds[0] not in CLAIMS or (kinds[0] in OF_FILE and len(self._container.streams) > 1):
            return 0
        if track.duration is not None and track.time_base is not None:
            claimed_s = float(track.duration * track.time_base)
        else:
            claimed_s = (self._container.duration or 0) / 1_000_000
        begins_s = float((track.start_time or 0) * (track.time_base or 0))
        return max(0, round((claimed_s - (starts_s - begins_s)) * self.samplerate))

    def _decoded(self) -> Iterator[av.AudioFrame]:
        import av

        try:
            for number, packet in enumerate(self._container.demux(self._track)):
                self._skipped -= packet.size if number else packet.size + (packet.pos or 0)
                try:
                    yield from packet.decode()
                except av.error.FFmpegError:
                    self._lost_s += float((packet.duration or 0) * (packet.time_base or 0))
        except av.error.FFmpegError as error:
            self._broken = RecordingError(_reason(error))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of a file that can be read."""
        return (f"has {self._tracks} sound tracks; the first is scored",) if self._tracks > 1 else ()

    def blocks(self, begin: int, size: int) -> Iterator[Decoded]:
        """All frames, `size` at once or a few more; those that are missing are lost. `begin` is 0: there is no other.

        Raises:
            RecordingError: the container is damaged.
        """
        waiting: list[NDArray[np.float32]] = []
        at = last = missing = 0
        for lost, frames in self._timeline():
            if lost:
                yield from ((len(each), each) for each in waiting)
                waiting = []
                if (missing := missing + lost) > self._most_lost_s * self.samplerate:
                    raise RecordingError(
                        f"is damaged: its times jump by {lost / self.samplerate:,.1f} s behind "
                        f"{at / self.samplerate:,.1f} s, more than a file of its size holds"
                    )
                yield from ((min(size, lost - start), None) for start in range(0, lost, size))
            at, last = at + lost + len(frames), len(frames)
            waiting.append(frames)
            if sum(map(len, waiting)) >= size + last:  # the last one waits: its end may be padding
                block = np.concatenate(waiting[:-1])
                waiting = waiting[-1:]
                yield len(block), block
        padding = at - self.frames if 0 < self.frames < at < self.frames + last else 0
        if waiting and len(rest := np.concatenate(waiting)) > padding:
            yield len(rest) - padding, rest[: len(rest) - padding]
        if self._broken is not None and not self.frames:  # else it is found to be too short
            raise self._broken
        if self._container.format.name == "aac" and self._skipped > MOST_TAGS:  # nothing else tells
            raise RecordingError("is damaged: what lies between its frames is no sound, and later times are too early")

    def _timeline(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Decoded frames `[frames, channels]`, and how many are missing before them."""
        expected_s: float | None = None
        frame: av.AudioFrame | None = self._first
        while frame is not None:
            if (frame.sample_rate, frame.layout.nb_channels) != (self.samplerate, self.channels):
                raise RecordingError("changes its sample rate or its channels on the way")
            starts_s = _time(frame)
            jump_s = 0.0 if starts_s is None or expected_s is None else starts_s - expected_s
            lost_s = jump_s if jump_s > LEAST_JUMP_S else self._lost_s
            self._lost_s = 0.0
            expected_s = None if starts_s is None else starts_s + frame.samples / self.samplerate
            (converted,) = self._resampler.resample(frame)
            samples = np.asarray(converted.to_ndarray(), np.float32).reshape(-1, self.channels)
            yield round(lost_s * self.samplerate), samples
            frame = next(self._timed, None)
        if lost := round(self._lost_s * self.samplerate):
            yield lost, np.zeros((0, self.channels), np.float32)


@contextlib.contextmanager
def opened(path: Location, kind: str) -> Iterator[AvFile]:
    """The sound track of a file; `kind` is what it is.

    Raises:
        RecordingError: PyAV is not installed, or cannot read it.
        OSError: it cannot be opened.
    """
    try:
        import av
    except ImportError as error:
        remedy = "" if advice(path) else f"; {PYAV} reads it"  # which is said where an ending shows it
        why = f"is {kind}, and needs PyAV, which cannot be loaded ({first_line(error)}){remedy}"
        raise RecordingError(why) from None
    size = path.stat().st_size
    with path.open("rb") as file, contextlib.ExitStack() as stack:
        head = file.read(8)
        file.seek(0)
        complete = head[:4] != b"RIFF" or 8 + int.from_bytes(head[4:], "little") <= size  # AVIs claim no more
        try:
            options = {"format_whitelist": READ, "protocol_whitelist": ""}
            container = stack.enter_context(av.open(file, "r", options=options))
        except av.error.FFmpegError as error:
            raise RecordingError(_reason(error)) from None
        yield AvFile(container, size, complete)


def _reason(error: av.error.FFmpegError) -> str:
    return f"cannot be decoded ({error.strerror or first_line(error)})"


def _time(frame: av.AudioFrame) -> float | None:
    """When a frame starts, in seconds; None if that is not known."""
    return None if frame.pts is None or frame.time_base is None else float(frame.pts * frame.time_base)
