"""WAVs as recorders in the field write them, with what they say of a recording."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.support.recordings import RATE
from tests.support.wav_files import chunk, pcm, wav


def guano(timestamp: str) -> bytes:
    """GUANO's chunk, which several makers write."""
    return chunk(b"guan", f"GUANO|Version: 1.0\nMake: Ours\nTimestamp: {timestamp}\nNote: a: b\n".encode())


def audiomoth(recorded: str) -> bytes:
    """AudioMoth's comment, before the sound."""
    text = f"Recorded at {recorded} by AudioMoth 24F3190361CAF5C8 at medium gain while battery was 4.5V."
    return chunk(b"LIST", b"INFO" + chunk(b"ICMT", text.encode() + bytes(8)))


def song_meter(started: str) -> bytes:
    """The chunk of Wildlife Acoustics: a number, a length and a text for each field."""
    fields = {0: struct.pack("<H", 1), 1: b"SM4", 5: started.encode(), 12: b"a note"}
    return chunk(b"wamd", b"".join(struct.pack("<HI", key, len(text)) + text for key, text in fields.items()))


def write_recorded(path: Path, samples: NDArray[np.float32], before: bytes = b"", behind: bytes = b"") -> Path:
    """Writes a WAV with chunks before and behind its sound."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(wav(pcm(samples), RATE, before=before, behind=behind))
    return path
