"""A window that every file has been computed for: what a device makes of it shows whether the device computes rightly.

Some do not. An Arm board had a broken convolution kernel, another runtime left outputs unfilled, and each gave species
with no error. So conversion stores what each head gives for this window (`runtime.model.fingerprint`), and whoever
loads a file on a device compares.

A right device rounds differently. How much that matters depends on the weights, so it is measured at conversion by
moving the samples of the window: by a step of float32, and by the rounding of float16 and TF32. Measured on untrained
models, another order of sums changes outputs by up to 1.5 times as much, and float16 or TF32 throughout the graph by up
to 2.4 times; 1 - cosine, a square, by up to 4 times.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from runtime.errors import DeviceError
from runtime.model.artifact import Artifact
from runtime.model.fingerprint import Deviation, Fingerprint, places
from runtime.model.tolerance import FLOAT16, INT8, SPATIAL, Tolerance

SEED, SYLLABLES = 15, 12
FLOAT32_STEP, FLOAT16_STEP = 2.0**-23, 2.0**-11
"""By which part of itself a sample moves: a step of float32, and the most by which rounding to float16 or TF32 moves
it."""
DIRECTIONS = (0, 1)
"""Seeds of the directions in which samples move."""
TIMES = Tolerance(error=6, cosine_distance=36)
"""How far a device may be off, in multiples of how far moved samples are; 1 - cosine is a square."""
MOST_FLOAT16 = Tolerance(error=0.3, cosine_distance=0.2)
"""However much moved samples change, a device that is off by more is wrong: silence instead of the window is off by
0.1 to 0.8 and 0.2 to 0.9. In float32 the limit is `FLOAT16`."""


def golden_window(samples: int) -> NDArray[np.float32]:
    """Syllables of birds, of sorts, in white noise: `float32 [samples]`, about ±0.45.

    All arithmetic is on integers, so that every machine and every NumPy give the same bits.
    """
    raw = np.random.PCG64(SEED).random_raw(samples + 4 * SYLLABLES)
    sound = (raw[:samples] >> np.uint64(52)).astype(np.int64) - 2**11
    for start, more, low, high in (raw[samples:] >> np.uint64(32)).astype(np.int64).reshape(-1, 4).tolist():
        length = min(samples, 1 + (samples + more % (4 * samples)) // 32)
        first, last = (2**27 * (1 + each % 7) + each % 2**27 for each in (low, high))  # a cycle in a sample is 2**32
        along = np.arange(length)
        phase = np.cumsum(first + (last - first) // length * along) & (2**32 - 1)
        triangle = np.abs(phase - 2**31) - 2**30
        tone = (triangle >> 16) * np.minimum(along, length - along) >> length.bit_length()
        at = start % (samples - length + 1)
        sound[at : at + length] += tone
    return (sound * 2.0**-15).astype(np.float32)


def golden_batches(samples: int, batch_size: int, device: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Windows `float32 [windows, samples]` to be computed a batch at a time, and which of them are the golden one.

    Every other one is silence, so that rows of other windows, or of the batch before, are noticed. A GPU gets two
    batches, of which the second has silence where the first has the golden window. The CPU, which also computes smaller
    batches, gets one and a single window.
    """
    at = np.arange(batch_size + 1 if device == "cpu" else 2 * batch_size)
    golden = (at % batch_size + at // batch_size) % 2 == 1
    return golden[:, np.newaxis] * golden_window(samples), golden


def windows_to_store(samples: int) -> NDArray[np.float32]:
    """The golden window, and it moved by each step in each direction: `float32 [windows, samples]`."""
    window = golden_window(samples)
    moved = [_moved(window, step, seed) for step in (FLOAT32_STEP, FLOAT16_STEP) for seed in DIRECTIONS]
    return np.stack([window, *moved])


def _moved(window: NDArray[np.float32], step: float, seed: int) -> NDArray[np.float32]:
    """The window with each sample moved up or down by this part of itself."""
    directions = np.random.default_rng(seed).choice([-step, step], window.shape)
    return (window * (1 + directions)).astype(np.float32)


def fingerprint(outputs: NDArray[np.floating], spread: float | None = None) -> Fingerprint:
    """The fingerprint of a head.

    Args:
        outputs: `[windows, ...]`, what it gives for `windows_to_store`, and after them for any others.
        spread: the head's range. None: that of these outputs.
    """
    flat = outputs.reshape(len(outputs), -1)
    values = tuple(float(f"{value:.9g}") for value in flat[0, places(flat.shape[1])])  # as many digits as float32 has
    spread = float(np.ptp(flat)) if spread is None else spread
    still = Fingerprint(spread, values, Deviation(0, 0), Deviation(0, 0))
    first, second = 1 + len(DIRECTIONS), 1 + 2 * len(DIRECTIONS)
    return replace(still, float32=still.deviation(flat[1:first]), float16=still.deviation(flat[first:second]))


def tolerance(artifact: Artifact, head: str, tf32: bool = False) -> Tolerance:
    """How far a head may be from its fingerprint, in the precision of this file or in TF32."""
    fingerprint, described = artifact.golden[head], artifact.heads[head]
    half = tf32 or artifact.options.get("precision") == "float16"
    int8 = artifact.options.get("head") == "int8" and described.classes and described.own is None
    least = INT8 if int8 else FLOAT16 if half else SPATIAL
    if half:
        return _widened(least, fingerprint.float16, MOST_FLOAT16)
    return _widened(least, fingerprint.float32, INT8 if int8 else FLOAT16)


def _widened(least: Tolerance, moved: Deviation, most: Tolerance) -> Tolerance:
    return Tolerance(
        error=max(least.error, min(TIMES.error * moved.error, most.error)),
        cosine_distance=max(
            least.cosine_distance, min(TIMES.cosine_distance * moved.cosine_distance, most.cosine_distance)
        ),
    )


@dataclass(frozen=True)
class Comparison:
    """How far a head's outputs of the golden window are from its fingerprint, and how far they may be."""

    head: str
    deviation: Deviation
    allowed: Tolerance

    @property
    def share(self) -> float:
        """The part of the tolerance that the deviation uses up; above 1, it is exceeded."""
        error = self.deviation.error / self.allowed.error
        distance = self.deviation.cosine_distance / self.allowed.cosine_distance
        return max(error, distance) if math.isfinite(error + distance) else math.inf

    def __str__(self) -> str:
        deviation, allowed = self.deviation, self.allowed
        return (
            f"'{self.head}' is off by {deviation.error:.1e} of its range and by {deviation.cosine_distance:.1e} in "
            f"1 - cosine (allowed: {allowed.error:.1e} and {allowed.cosine_distance:.1e})"
        )


def compare(artifact: Artifact, outputs: Mapping[str, NDArray[np.floating]], tf32: bool = False) -> list[Comparison]:
    """Compares outputs `[rows, ...]` of the golden window with the file's fingerprints, the worst head first."""
    compared = [
        Comparison(name, artifact.golden[name].deviation(rows), tolerance(artifact, name, tf32))
        for name, rows in outputs.items()
        if name in artifact.golden
    ]
    return sorted(compared, key=lambda each: each.share, reverse=True)


def wrong(artifact: Artifact, compared: Sequence[Comparison], device: str, tf32: bool = False) -> str | None:
    """Why a device may not be used, by what it made of the golden window: the worst output. None if all are right."""
    if not compared or compared[0].share <= 1:
        return None
    others = "use another device, driver or version of onnxruntime"
    in_tf32 = (replace(each, allowed=tolerance(artifact, each.head, tf32=True)) for each in compared)
    if device != "cpu" and not tf32 and all(each.share <= 1 for each in in_tf32):
        others = f"TF32 would be as far off: allow it (--tf32, tf32=True), or {others}"
    return (
        f"{device} computes wrongly with onnxruntime {onnxruntime.__version__}: for the golden window of the file, "
        f"{compared[0]}; {others}"
    )


def check(artifact: Artifact, outputs: Mapping[str, NDArray[np.floating]], device: str, tf32: bool = False) -> None:
    """Refuses a device that computed these outputs `[rows, ...]` of the golden window.

    Raises:
        DeviceError: an output is further off than is allowed; the message names the worst.
    """
    if said := wrong(artifact, compare(artifact, outputs, tf32), device, tf32):
        raise DeviceError(said)
