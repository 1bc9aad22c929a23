"""Which files are recordings, by how their names end; and what to do with those that cannot be read."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

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
"""What `ffmpeg` reads, by where it comes from."""
WAC = ".wac"
"""Wildlife Acoustics' own."""


RECORDINGS = frozenset(itertools.chain(*READ.values()))
FORMATS = ", ".join(READ)
_CONVERTIBLE = frozenset(itertools.chain(*WITH_FFMPEG.values(), [WAC]))


def convertible(name: str) -> str | None:
    """The ending, in small letters, of a file that holds sound but cannot be read before it is converted."""
    ending = Path(name).suffix.lower()
    return ending if ending in _CONVERTIBLE else None


def how_to_read(endings: Mapping[str, int]) -> str:
    """How to convert files of such endings; the numbers say how many there are."""
    told = ", ".join(f"{count} {ending}" for ending, count in sorted(endings.items()))
    other = next((ending for ending in sorted(endings) if ending != WAC), None)
    ways = [_way(ending) for ending in (other, WAC if WAC in endings else None) if ending is not None]
    return f"{told}; convert them first, {' and '.join(ways)}"


def advice(path: Path) -> str:
    """What to add where a file could not be read."""
    ending = convertible(path.name)
    return "" if ending is None else f"; convert it first, {_way(ending)}"


def _way(ending: str) -> str:
    return f"{WAC} by Wildlife Acoustics' Kaleidoscope" if ending == WAC else f"as by `ffmpeg -i a{ending} a.flac`"
