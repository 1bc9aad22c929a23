"""Sound files for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE, WINDOW = 32_000, 160_000


def write(path: Path, samples: NDArray[np.float32], rate: int = RATE, **how: str) -> Path:
    """Writes a sound file a second at a time, as Vorbis needs."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(path, "w", rate, channels, **how) as file:
        for start in range(0, len(samples), rate):
            file.write(samples[start : start + rate])
    return path


def cut(path: Path, share: float) -> Path:
    """Truncates a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path
