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
        *(".m4a", ".m4b", ".m4r", ".aac", ".adts", ".3gp", ".3gpp", ".3g2", ".amr", ".awb"),  # phones
        *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".wmv", ".flv"),  # cameras
        *(".mts", ".m2ts", ".mpg", ".mpeg"),
        *(".wma", ".asf", ".dss", ".oma"),  # recorders
        *(".ape", ".wv", ".tta", ".tak", ".mpc", ".dsf", ".dff", ".mka", ".weba", ".ac3", ".eac3"),  # archives
        *(".ra", ".rm", ".spx"),
    )
)
"""What the package PyAV reads, by FFmpeg. Left out are `.ts`, which is mostly TypeScript, and `.qt`."""
_KALEIDOSCOPE, _MAKER = "convert them with Wildlife Acoustics' Kaleidoscope", "convert them with their maker's program"
CONVERT = {
    **{".wac": _KALEIDOSCOPE, ".w4v": _KALEIDOSCOPE, ".ds2": _MAKER, ".dvf": _MAKER, ".shn": "convert them to FLAC"},
    ".zc": "they hold times of zero crossings, not sound",
}
"""What nothing here reads, and what to do about it."""

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
    return not is_recording(extension) and (extension in WITH_PYAV or extension in CONVERT)


def reading_advice(counts: Mapping[str, int]) -> str:
    """Counts of files that cannot be read, by extension, and what makes them readable."""
    ordered = sorted(counts, key=lambda extension: (extension in CONVERT, _way(extension), extension))
    ways = itertools.groupby(ordered, _way)
    return "; ".join(
        f"{', '.join(f'{counts[each]:,} {each}' for each in extensions)}: {way}" for way, extensions in ways
    )


def advice(path: Location) -> str:
    """What to add to the message on a file that could not be read; empty where nothing helps."""
    extension = Path(path.name).suffix.lower()
    return f"; {_way(extension)}" if unreadable(extension) else ""


def _way(extension: str) -> str:
    return CONVERT.get(extension, f"{PYAV} reads them")
