"""Light files: converted files without their large weights, which are made again from seeds where they are needed.

How fast a card computes depends on the shapes of weights, not on their values. So those of a light file are random
numbers with the mean and the deviation that each output channel had; the rest of the file is as it was. A few MiB stand
for hundreds, and NumPy alone makes the whole file of them.

A light file is an .npz: `literal`, the file's bytes without the weights; `weights`, as JSON what is left out and where;
`means` and `deviations`, those of all channels of all weights; and `sha256`, that of the whole file.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError, reason
from runtime.files import replacing


@dataclass(frozen=True)
class Weight:
    """A weight that is left out of a light file.

    Attributes:
        offset: where its bytes begin in the whole file.
        shape: its shape.
        dtype: its type in bytes, such as "<f4".
        axis: the dimension of the output channels.
        seed: what its values are made from.
    """

    offset: int
    shape: tuple[int, ...]
    dtype: str
    axis: int
    seed: int

    @property
    def channels(self) -> int:
        """The number of output channels."""
        return self.shape[self.axis]

    def values(self, means: NDArray[np.float32], deviations: NDArray[np.float32]) -> NDArray[np.floating]:
        """Random values with exactly this mean and deviation in each channel, so that sums of them stay in range.

        Sums are of integers, and float64 is only added, multiplied, divided and rooted, as IEEE 754 says: every machine
        and every NumPy give the same bits.
        """
        size, count = math.prod(self.shape), math.prod(self.shape) // self.channels
        raw = np.random.PCG64(self.seed).random_raw(-(-size // 4)).astype("<u8").view("<u2")
        even = raw[:size].reshape(self.shape).astype(np.int64)
        others = tuple(axis for axis in range(even.ndim) if axis != self.axis)
        mean = even.sum(axis=others, keepdims=True) / count
        deviation = np.sqrt((even * even).sum(axis=others, keepdims=True) / count - mean * mean)
        scale, shift = (each.astype(np.float64).reshape(mean.shape) for each in (deviations, means))
        return ((even - mean) * (scale / deviation) + shift).astype(self.dtype)


def write_light(
    path: Path,
    whole: bytes,
    weights: Sequence[Weight],
    means: Sequence[NDArray[np.float32]],
    deviations: Sequence[NDArray[np.float32]],
) -> None:
    """Writes the light file of a whole one, whose weights are in the order of their offsets."""
    literal, start = [], 0
    for weight in weights:
        literal.append(whole[start : weight.offset])
        start = weight.offset + math.prod(weight.shape) * np.dtype(weight.dtype).itemsize
    literal.append(whole[start:])
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            literal=np.frombuffer(b"".join(literal), np.uint8),
            weights=json.dumps([asdict(weight) for weight in weights]),
            means=np.concatenate([np.zeros(0, np.float32), *means]),
            deviations=np.concatenate([np.zeros(0, np.float32), *deviations]),
            sha256=hashlib.sha256(whole).hexdigest(),
        )


def fill(light: Path, path: Path) -> None:
    """Writes the whole file that a light one stands for.

    Raises:
        InputError: it is damaged, or the file that was made of it is not the one that was packed.
        OutputError: the whole file cannot be written.
    """
    try:
        with light.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            literal, means, deviations = (arrays[name] for name in ("literal", "means", "deviations"))
            weights = [Weight(**{**each, "shape": tuple(each["shape"])}) for each in json.loads(str(arrays["weights"]))]
            sha256 = str(arrays["sha256"])
    except OSError as error:
        raise InputError(f"{light} cannot be read ({reason(error)})") from None
    except (ValueError, KeyError, TypeError, BadZipFile):
        raise InputError(f"{light} is no light file, or is damaged; pack it again") from None
    digest, start, channel = hashlib.sha256(), 0, 0
    with replacing(path) as temporary, temporary.open("wb") as file:
        for weight in weights:
            channels = slice(channel, channel + weight.channels)
            before = weight.offset - file.tell()
            values = weight.values(means[channels], deviations[channels])
            for piece in (literal[start : start + before].tobytes(), values.tobytes()):
                digest.update(piece)
                file.write(piece)
            start, channel = start + before, channels.stop
        digest.update(literal[start:].tobytes())
        file.write(literal[start:].tobytes())
        if digest.hexdigest() != sha256:
            raise InputError(f"{light} was damaged, or this NumPy makes other numbers: the SHA-256 is another one")
