"""The sound of rows: finding their recordings, and reading and encoding windows of them."""

from __future__ import annotations

import io
import os
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from urllib.parse import quote

import numpy as np
import soundfile
from numpy.typing import NDArray

from runtime.audio.channels import Channel
from runtime.audio.recording import Part, Recording, Window
from runtime.errors import InputError, RecordingError, reason
from runtime.explore.names import READINGS
from runtime.remote import Location, RemoteFile, find, is_url, is_web

RATE = 32_000
"""Sample rate of spectrograms and clips, in Hz."""
TENTH_S = 0.1
PEAK = 0.7
"""Peak of clips: field recordings are quiet."""
FORMAT, MIME = ("MP3", "audio/mpeg") if "MP3" in soundfile.available_formats() else ("OGG", "audio/ogg")
"""Every browser plays MP3. Without MP3 in libsndfile it is Vorbis, which Safari may refuse."""


@dataclass
class Recordings:
    """Finds the recordings of rows.

    A recording may lie where the run read it, or below `folder` with as many of its parent folders as exist there. The
    file of rows may have moved, so paths are also tried relative to it, and with composed and decomposed letters (NFC,
    NFD), as other systems write them. Where rows have URLs, the files at these are read unless `folder` has copies.
    """

    source: Path
    folder: Path | None = None
    _listings: dict[str, Mapping[str, RemoteFile]] = field(default_factory=dict)

    def find(self, path: str) -> Location | None:
        """The file of a row's `path`; None if it cannot be found.

        Raises:
            InputError: it is at a URL that cannot be reached.
        """
        forms = (path, *(unicodedata.normalize(form, path) for form in ("NFC", "NFD")))
        places: list[Path] = []
        for pure in (read(form) for read in READINGS for form in dict.fromkeys(forms)):
            parts = [part for part in pure.parts if part not in (pure.anchor, "..")]
            places += [self.folder.joinpath(*parts[i:]) for i in range(len(parts))] if self.folder else []
            places += [Path(pure.as_posix()), self.source.parent / pure.as_posix()]
        here = next((place for place in places if _is_file(place)), None)
        return self._find_remote(path) if here is None and is_url(path) else here

    def _find_remote(self, url: str) -> RemoteFile | None:
        """A file at a URL. In stores its folder is listed, once for all files in it."""
        folder, _, name = url.rpartition("/")
        if is_web(url):
            folder, name = url, ""
        try:
            if folder not in self._listings:
                self._listings[folder] = find(folder)
        except OSError as error:
            raise InputError(f"cannot read {url}: {reason(error)}") from None
        return self._listings[folder].get(name)


def read(
    path: Location, start_s: float, seconds: float, rate: int = RATE, channel: Channel = "mix"
) -> NDArray[np.float32]:
    """The sound from `start_s` on, float32 `[seconds * rate]`, zero-padded after the recording's end.

    Raises:
        RecordingError: it cannot be read there.
    """
    window, start = round(seconds * rate), round(start_s * rate)
    recording = Recording(path, rate, window, start or window, channel=channel)
    windows = list(_windows(recording, 1 if start else 0, 1))
    if not windows:
        raise RecordingError(f"ends before {start_s:g} s")
    return windows[0]


def read_around(
    path: Location, start_s: float, end_s: float, context_s: float, channel: Channel
) -> tuple[NDArray[np.float32], float]:
    """The sound of a window and of its context on either side, less where the recording begins or ends within.

    Returns samples `[samples]`, and where they begin: a multiple of `TENTH_S`. They are zero where nothing was
    recorded, and where the context cannot be read.

    Raises:
        RecordingError: the window itself cannot be read, or the recording ends before.
    """
    first, end = max(0, round((start_s - context_s) / TENTH_S)), round((end_s + context_s) / TENTH_S)
    recording = Recording(path, RATE, round(TENTH_S * RATE), channel=channel)
    silence = np.zeros(recording.window, np.float32)
    tenths = []
    for tenth in _cut(recording, first, end):
        if tenth.samples is None and tenth.recorded:
            if tenth.index >= round(end_s / TENTH_S):
                break
            if tenth.index >= round(start_s / TENTH_S):
                raise RecordingError(recording.failure or "holds samples that are not finite numbers")
        tenths.append(silence if tenth.samples is None else tenth.samples)
    if (first + len(tenths)) * TENTH_S <= start_s:
        raise RecordingError(recording.failure or f"ends before {start_s:g} s")
    return np.concatenate(tenths), first * TENTH_S


def read_seconds(path: Location, first: int, count: int, channel: Channel = "mix") -> Iterator[NDArray[np.float32]]:
    """The seconds of a recording from `first` on, at most `count`: float32 `[RATE]` each, the last one zero-padded.

    Raises:
        RecordingError: the next one cannot be read.
    """
    return _windows(Recording(path, RATE, RATE, channel=channel), first, count)


def _cut(recording: Recording, first: int, end: int) -> Iterator[Window]:
    if recording.is_enterable():
        return recording.windows(Part(first, end))
    return recording.windows_at(range(first, end))


def _windows(recording: Recording, first: int, count: int) -> Iterator[NDArray[np.float32]]:
    for window in _cut(recording, first, first + count):
        if not window.recorded:
            yield np.zeros(recording.window, np.float32)
            continue
        if window.samples is None:
            raise RecordingError(recording.failure or "holds samples that are not finite numbers")
        yield window.samples
    if recording.failure and recording.count is None:
        raise RecordingError(recording.failure)


def encode(samples: NDArray[np.float32], form: str = FORMAT) -> bytes:
    """Mono samples `[samples]` as `FORMAT` or another form of libsndfile's, scaled to `PEAK`."""
    peak = max(float(np.abs(samples).max()), 1e-9) if len(samples) else 1.0
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", RATE, 1, format=form) as sound:
        for start in range(0, len(samples), RATE):
            sound.write(samples[start : start + RATE] * (PEAK / peak))
    return file.getvalue()


def address(recording: Location, page: Path) -> str:
    """A link from a page at `page` to a recording: relative if possible, so that both can move together.

    Empty for recordings in stores, which browsers cannot open.
    """
    if isinstance(recording, RemoteFile):
        return recording.url if is_web(recording.url) else ""
    try:
        relative = os.path.relpath(os.path.realpath(recording), os.path.realpath(page.parent))
    except ValueError:  # on another drive
        return recording.resolve().as_uri()
    return quote(PurePath(relative).as_posix().encode("utf-8", "surrogateescape"))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False
