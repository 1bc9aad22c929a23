"""Access to a file's bytes without reading all of them."""

from __future__ import annotations

import mmap
from pathlib import Path

Bytes = bytes | mmap.mmap


def mapped(path: Path) -> Bytes:
    """Maps a file into memory, or reads it where its file system cannot do that. Raises OSError."""
    with path.open("rb") as file:
        try:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):
            return file.read()
