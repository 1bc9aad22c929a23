"""Sound files that PyAV writes and libsndfile cannot."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

BLOCK = 4096


def encode(
    path: Path, samples: NDArray[np.float32], rate: int, codec: str, container: str | None = None, tracks: int = 1
) -> Path:
    """Writes samples, `[samples]`, into each of the tracks of a file."""
    with av.open(str(path), "w", format=container) as file:
        bits = {"bit_rate": 64_000} if codec in ("wmav2", "aac") else {}
        for track in [file.add_stream(codec, rate=rate, layout="mono", **bits) for _ in range(tracks)]:
            if codec in ("wavpack", "tta"):
                track.codec_context.format = "s16p" if codec == "wavpack" else "s16"
            kind, size = track.codec_context.format, track.codec_context.frame_size
            resampler = av.AudioResampler(format=kind or "s16", layout="mono", rate=rate, frame_size=size or 1024)
            for start in range(0, len(samples), BLOCK):
                block = np.ascontiguousarray(samples[None, start : start + BLOCK])
                frame = av.AudioFrame.from_ndarray(block, format="flt", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
                for each in resampler.resample(frame):
                    file.mux(track.encode(each))
            for each in resampler.resample(None):
                file.mux(track.encode(each))
            file.mux(track.encode(None))
    return path
