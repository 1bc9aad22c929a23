"""File extensions: which files are recordings, and how to convert the others that hold sound."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

from runtime.remote import Location

READ = {
    "WAV": (".wav", ".wave", ".bwf", ".rf64", ".w64"),
    "FLAC": (".flac",),
    "OGG": (".ogg", ".oga"),
    "MP3": (".mp3",),
    "Opus": (".opus",),
    "AIFF": (".aif", ".aiff", ".aifc"),
    "CAF": (".caf",),
    "AU": (".au", ".snd"),
}
"""What libsndfile reads."""
WITH_FFMPEG = {
    "phones": (".m4a", ".m4b", ".aac", ".3gp", ".3g2", ".amr", ".awb"),
    "cameras": (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".wmv"),
    "recorders": (".wma", ".asf", ".dss", ".voc", ".mp2", ".mpga", ".oma"),
    "archives": (".ape", ".wv", ".tta", ".tak", ".mpc", ".dsf", ".dff", ".mka", ".ac3", ".eac3", ".ra", ".rm", ".spx"),
}
"""What `ffmpeg` can convert, by origin."""
WAC = ".wac"
"""Wildlife Acoustics' own format."""

RECORDINGS = frozenset(itertools.chain(*READ.values()))
FORMATS = ", ".join(READ)
_CONVERTIBLE = frozenset(itertools.chain(*WITH_FFMPEG.values(), [WAC]))


def convertible(name: str) -> str | None:
    """The extension, in lower case, of a file that holds sound and must be converted to be read; None for others."""
    extension = Path(name).suffix.lower()
    return extension if extension in _CONVERTIBLE else None


def conversion_advice(counts: Mapping[str, int]) -> str:
    """Counts of files by extension, and how to convert them."""
    listed = ", ".join(f"{count} {extension}" for extension, count in sorted(counts.items()))
    for_ffmpeg = next((extension for extension in sorted(counts) if extension != WAC), None)
    tools = [_tool(extension) for extension in (for_ffmpeg, WAC if WAC in counts else None) if extension is not None]
    return f"{listed}; convert them first, {' and '.join(tools)}"


def advice(path: Location) -> str:
    """What to add to the message on a file that could not be read; empty where conversion does not help."""
    extension = convertible(path.name)
    return "" if extension is None else f"; convert it first, {_tool(extension)}"


def _tool(extension: str) -> str:
    return (
        f"{WAC} with Wildlife Acoustics' Kaleidoscope" if extension == WAC else f"with `ffmpeg -i a{extension} a.flac`"
    )
