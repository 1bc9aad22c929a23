"""File extensions: which files are recordings, and how to read or convert the others that hold sound."""

from __future__ import annotations

import functools
import importlib.util
import itertools
from collections.abc import Mapping
from pathlib import Path

from runtime.remote import Location

READ = {
    "WAV": (".wav", ".wave", ".bwf", ".rf64", ".w64"),
    "FLAC": (".flac",),
    "OGG": (".ogg", ".oga"),
    "MP3": (".mp3", ".mp2", ".mp1", ".mpa", ".mpga"),
    "Opus": (".opus",),
    "AIFF": (".aif", ".aiff", ".aifc"),
    "CAF": (".caf",),
    "AU": (".au", ".snd"),
}
"""What libsndfile reads."""
SELDOM = frozenset(
    (
        *(".voc", ".sph", ".nist", ".avr", ".svx", ".8svx", ".16svx", ".sf", ".ircam", ".paf", ".fap", ".pvf"),
        *(".htk", ".sds"),
    )
)
"""What it reads besides, in formats of old. Left out are those that hold other data too (`.mat`) and those whose files
do not say how they are to be read (`.raw`)."""
WITH_PYAV = frozenset(
    (
        *(".m4a", ".m4b", ".aac", ".3gp", ".3g2", ".amr", ".awb"),  # phones
        *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".wmv"),  # cameras
        *(".wma", ".asf", ".dss", ".oma"),  # recorders
        *(".ape", ".wv", ".tta", ".tak", ".mpc", ".dsf", ".dff", ".mka", ".weba", ".ac3", ".eac3"),  # archives
        *(".ra", ".rm", ".spx"),
    )
)
"""What the package PyAV reads, by FFmpeg."""
WAC = ".wac"
"""Wildlife Acoustics' own format."""

FORMATS = ", ".join(READ)
_LIBSNDFILE = SELDOM.union(*READ.values())
PYAV = "`pip install av` (or '.[formats]' in the project's folder)"


@functools.cache
def _has_pyav() -> bool:
    return importlib.util.find_spec("av") is not None


def is_recording(extension: str) -> bool:
    """Whether files with this extension, in lower case, can be read."""
    return extension in _LIBSNDFILE or (extension in WITH_PYAV and _has_pyav())


def unreadable(extension: str) -> bool:
    """Whether files with this extension, in lower case, hold sound and cannot be read as things are."""
    return not is_recording(extension) and (extension in WITH_PYAV or extension == WAC)


def reading_advice(counts: Mapping[str, int]) -> str:
    """Counts of files that cannot be read, by extension, and what makes them readable."""
    ways = itertools.groupby(sorted(counts, key=lambda extension: (extension == WAC, extension)), WAC.__eq__)
    return "; ".join(
        f"{', '.join(f'{counts[each]:,} {each}' for each in extensions)}: {_way(is_wac)}" for is_wac, extensions in ways
    )


def advice(path: Location) -> str:
    """What to add to the message on a file that could not be read; empty where nothing helps."""
    extension = Path(path.name).suffix.lower()
    return f"; {_way(extension == WAC)}" if unreadable(extension) else ""


def _way(is_wac: bool) -> str:
    return "convert them with Wildlife Acoustics' Kaleidoscope" if is_wac else f"{PYAV} reads them"
