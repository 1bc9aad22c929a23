"""Soundscapes to measure with: the user's own, or synthetic ones."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from convert.proof.synthetic import write_soundscapes
from runtime.audio.paths import find_recordings
from runtime.errors import InputError

DISTINCT = 24
"""How many synthetic soundscapes differ; the others are copies, which take as long to decode and to score."""


@contextlib.contextmanager
def soundscapes(folder: Path | None, count: int) -> Iterator[list[Path]]:
    """The recordings in a folder or, if that is None, `count` synthetic ones of a minute: 32 kHz mono OGG Vorbis.

    Raises:
        InputError: the folder holds no recordings.
    """
    if folder is not None:
        recordings = find_recordings([folder])
        if not recordings.paths:
            raise InputError(recordings.nothing(folder))
        yield [path for path in recordings.paths if isinstance(path, Path)]
        return
    with tempfile.TemporaryDirectory(prefix="perch-bench-") as made:
        paths = [Path(made, f"{i:03d}.ogg") for i in range(count)]
        write_soundscapes(paths[:DISTINCT])
        for i, path in enumerate(paths[DISTINCT:]):
            shutil.copy(paths[i % DISTINCT], path)
        yield paths
