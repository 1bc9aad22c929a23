"""Arithmetic of windows: how many a recording has, when each ends, how one is normalised."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Normalization = Literal["raw", "peak"]
Segments = Literal["grid", "peaks"]
LEAST_REMAINDER_S = 0.05
"""Less audio than this after the last window is taken for a codec's padding and makes no window."""
PEAK = 0.25


def has_window(index: int, samples: int, window: int, hop: int, sample_rate: int) -> bool:
    """Whether a recording of `samples` has a window of this index (from 0).

    The first always exists. Each further one must hold audio that no earlier one had: at least 0.05 s, or a hop
    where hops are shorter.
    """
    if index == 0:
        return True
    new_from = max(index * hop, (index - 1) * hop + window)
    return samples - new_from >= min(round(LEAST_REMAINDER_S * sample_rate), hop)


def count_windows(samples: int, window: int, hop: int, sample_rate: int) -> int:
    """How many windows a recording of `samples` has: 1 if it fits in one, else 1 + ceil((samples - window) / hop).

    The last one is padded with zeros; a remainder under 0.05 s makes none (see `has_window`).
    """
    count = 1 + max(0, (samples - window) // hop)
    return count + 1 if has_window(count, samples, window, hop, sample_rate) else count


def are_unrecorded(
    gaps: NDArray[np.float64], begins: NDArray[np.int64], window: int, sample_rate: int
) -> NDArray[np.bool_]:
    """Which of the windows that start at `begins` have less than 0.05 s outside of the gaps.

    `gaps` are ascending `[gaps, 2]`, each from the first to before the second sample; the last may end with infinity.
    """
    ends = begins + window
    gaps = np.minimum(gaps, ends.max(initial=0))
    lengths = np.concatenate([[0.0], np.cumsum(gaps[:, 1] - gaps[:, 0])])
    edges, unrecorded = gaps.reshape(-1), np.stack([lengths[:-1], lengths[1:]], axis=1).reshape(-1)
    missing = np.interp(ends, edges, unrecorded) - np.interp(begins, edges, unrecorded)
    return np.asarray(missing > window - LEAST_REMAINDER_S * sample_rate)


def format_end(index: int, window: int, hop: int, sample_rate: int) -> str:
    """The nominal end of a window in seconds, as short as it can be written: `5`, `7.5`, `86405`."""
    return f"{(index * hop + window) / sample_rate:.10g}"


def normalize_peak(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean removed and peak scaled to 0.25, as Perch's own library feeds windows; silence stays zeros."""
    centred = samples - samples.mean(dtype=np.float64).astype(np.float32)
    peak = np.abs(centred).max(initial=0.0)
    # A constant leaves only rounding noise, which must not be scaled up to a signal.
    if peak <= 1e-6 * np.abs(samples).max(initial=0.0):
        return np.zeros_like(samples)
    return np.asarray(centred * (PEAK / peak), np.float32)
