"""Sound files as recorders write them, byte by byte: with sizes that lie, and chunks before and behind the sound."""

from __future__ import annotations

import io
import struct

import numpy as np
import soundfile
from numpy.typing import NDArray


def pcm(samples: NDArray[np.float32]) -> bytes:
    """Samples in 16 bits."""
    return np.asarray(np.clip(samples, -1, 1) * 32767, "<i2").tobytes()


def chunk(name: bytes, content: bytes, padded: bool = True) -> bytes:
    """A chunk of RIFF, with the byte behind an odd size or without it."""
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2 if padded else 0)


def wav(
    data: bytes,
    rate: int,
    size: int | None = None,
    riff: int | None = None,
    before: bytes = b"",
    behind: bytes = b"",
    channels: int = 1,
) -> bytes:
    """A WAV of 16 bits, whose header states `size` for the sound and `riff` for the whole."""
    fmt = struct.pack("<HHIIHH", 1, channels, rate, 2 * rate * channels % 2**32, 2 * channels, 16)
    head = struct.pack("<4sI", b"data", len(data) if size is None else size)
    body = b"WAVE" + chunk(b"fmt ", fmt) + before + head + data + behind
    return struct.pack("<4sI", b"RIFF", len(body) if riff is None else riff) + body


def in_format(samples: NDArray[np.float32], rate: int, name: str, subtype: str) -> bytearray:
    """What libsndfile writes."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, 1, format=name, subtype=subtype) as sound:
        sound.write(samples)
    return bytearray(file.getvalue())
