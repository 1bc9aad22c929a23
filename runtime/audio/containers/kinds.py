"""Which library reads a file: its first bytes say so, or else its ending."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from runtime.audio.containers.tags import tag_size
from runtime.audio.extensions import WITH_PYAV
from runtime.remote import Location

OF_PYAV = {
    "MPEG-4, such as M4A": re.compile(rb".{4}ftyp", re.DOTALL),
    "Matroska or WebM": re.compile(rb"\x1aE\xdf\xa3"),
    "WMA": re.compile(rb"0&\xb2u\x8ef\xcf\x11"),
    "AVI": re.compile(rb"RIFF.{4}AVI ", re.DOTALL),
    "AMR": re.compile(rb"#!AMR"),
    "WavPack": re.compile(rb"wvpk"),
}
"""Beginnings of files that libsndfile does not know."""
OF_LIBSNDFILE = re.compile(
    rb"(RIFF|RIFX|RF64|BW64).{4}WAVE|FORM.{4}AIF[FC]|fLaC|caff|OggS(?!.{24}Speex)|\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]",
    re.DOTALL,
)
"""Beginnings of files that it knows. The last are frames of MPEG audio, which differ from raw AAC in the layer."""


def kind_for_pyav(path: Location, head: bytes) -> str | None:
    """What a file is that PyAV must read; None if libsndfile reads it. `head` is its beginning."""
    for kind, pattern in OF_PYAV.items():
        if pattern.match(head):
            return kind
    extension = PurePosixPath(path.name).suffix.lower()
    if extension not in WITH_PYAV:
        return None
    if skipped := tag_size(head, 0) if head.startswith(b"ID3") else 0:
        with path.open("rb") as file:
            file.seek(skipped)
            head = file.read(64)
    return None if OF_LIBSNDFILE.match(head) else extension
