"""Archives of recordings in tests, and datasets of their rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from convert.proof.synthetic import soundscape
from runtime.archive.run import run_archive_request
from runtime.archive.summary import ArchiveSummary
from runtime.request.archive import ArchiveOptions
from runtime.request.request import Request
from tests.support.recordings import cut, write

PART_S = 20.0
"""Parts are so short in these tests that short recordings have several: patch `runtime.audio.recording.PART_S`."""
OUTPUTS = ("embedding", "label")


def write_archive(folder: Path) -> Path:
    """Recordings of two sites with the same names, some of several parts; one cannot be read, one breaks off."""
    for number, site in enumerate(("north", "south")):
        (folder / site).mkdir(parents=True)
        for i in range(3):
            write(folder / site / f"2024_{i}.wav", soundscape(3 * number + i, 4 + 7 * i))
    write(folder / "north" / "night.wav", soundscape(7, 63))
    write(folder / "south" / "dusk.flac", soundscape(8, 60), 44_100)
    write(folder / "south" / "dawn.ogg", soundscape(9, 33))
    (folder / "south" / "no_sound.wav").write_bytes(b"RIFF")
    cut(write(folder / "south" / "broken.wav", soundscape(10, 70)), 0.6)
    return folder


def fill(
    archive: Path, model: Path, out: Path | str, outputs: Sequence[str] = OUTPUTS, **options: object
) -> ArchiveSummary:
    """A run on an archive, without a progress bar."""
    request = Request(outputs=outputs, progress=False)
    return run_archive_request(archive, model, out, request, ArchiveOptions(**options))  # type: ignore[arg-type]


def flip_byte(path: Path, share: float = 0.5) -> None:
    """Damages a file in one place."""
    data = np.fromfile(path, np.uint8)
    data[int(len(data) * share)] ^= 0xFF
    data.tofile(path)
