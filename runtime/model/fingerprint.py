"""What each head gives for the golden window (`runtime.model.golden`), as the entry `golden` of a file's metadata.

The entry is a JSON object: `version` is the golden window's, and `heads` has an object for each head, by its name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.model.heads import Head
from runtime.model.tolerance import cosine_distances, relative

VERSION = 1
"""The version of the golden window. Another window, or other places, get another version."""
MOST_VALUES = 256
MOST_TEXT, MOST_NUMBER = 2**22, 1e39
"""Limits on the entry's characters, far above any model's, and on its numbers, which are of float32."""


@dataclass(frozen=True)
class Deviation:
    """How far values of a head are from those of its fingerprint: the greatest difference divided by the head's range,
    and the greatest `1 - cosine` of a row. Either is NaN where a value is.
    """

    error: float
    cosine_distance: float

    @classmethod
    def read(cls, fields: Any) -> Deviation:
        """Reads its object. Raises ValueError, LookupError or TypeError if it is invalid."""
        return cls(_number(fields["error"]), _number(fields["cosine_distance"]))


@dataclass(frozen=True)
class Fingerprint:
    """What a head gave for the golden window when the file was made, on the CPU, one window at a time."""

    range: float
    """The head's range over several windows, to which errors are relative."""
    values: tuple[float, ...]
    """Values at some places of the head (see `places`)."""
    float32: Deviation
    """How far these moved where each sample moved by the rounding of float32."""
    float16: Deviation
    """The same with the rounding of float16 and TF32, which have as many digits as each other."""

    def deviation(self, outputs: NDArray[np.floating]) -> Deviation:
        """How far outputs `[rows, ...]` of the golden window are from these values, the worst row."""
        rows = outputs.reshape(len(outputs), -1)
        actual = rows[:, places(rows.shape[1])].astype(np.float64)
        expected = np.broadcast_to(np.array(self.values), actual.shape)
        with np.errstate(invalid="ignore", over="ignore"):
            error = relative(float(np.abs(actual - expected).max()), self.range)
            distance = cosine_distances(expected, actual).max() if len(self.values) > 1 else 0.0  # one has no direction
        return Deviation(error, float(np.maximum(distance, 0.0)))


def places(size: int) -> NDArray[np.int64]:
    """The places of a head of so many values that a fingerprint holds: evenly spaced, the first and the last included.

    They are rounded down from fractions, so that they fall on all of a last dimension's columns.
    """
    count = min(size, MOST_VALUES)
    return np.arange(count) * (size - 1) // max(count - 1, 1)


def to_text(golden: Mapping[str, Fingerprint]) -> str:
    """The entry."""
    return json.dumps({"version": VERSION, "heads": {name: asdict(each) for name, each in golden.items()}})


def read_fingerprints(entry: Mapping[str, Any], heads: Mapping[str, Head]) -> dict[str, Fingerprint]:
    """Reads the fingerprints of these heads from the entry's object: none of another version's golden window.

    A file that another version of this project added a head to may lack some, or have those of heads that are gone.

    Raises:
        ValueError, LookupError, TypeError: it is invalid.
    """
    if entry["version"] != VERSION:
        return {}
    stored = dict(entry["heads"])
    return {name: _fingerprint(head, stored[name]) for name, head in heads.items() if name in stored}


def _fingerprint(head: Head, fields: Any) -> Fingerprint:
    values, count = fields["values"], len(places(math.prod(head.shape)))
    if not isinstance(values, list) or len(values) != count:
        raise ValueError(f"not {count} values of '{head.name[:40]}' for the golden window")
    return Fingerprint(
        range=_number(fields["range"]),
        values=tuple(_number(value, least=-MOST_NUMBER) for value in values),
        float32=Deviation.read(fields["float32"]),
        float16=Deviation.read(fields["float16"]),
    )


def _number(value: Any, least: float = 0.0) -> float:
    if type(value) not in (int, float) or not least <= value <= MOST_NUMBER:
        raise ValueError(f"{str(value)[:20]!r} is no valid number of a golden window")
    return float(value)
