"""Checks of files of rows: other programs' files and damaged ones are refused with one sentence."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from runtime.audio.windows import Normalization
from runtime.errors import counted
from runtime.rows.block import Status

VECTORS = ("embedding", "label")
"""Outputs with one vector a row; others may have any shape."""
MOST_EMBEDDING = 8192
"""Largest width of an embedding, whose covariance is held in memory."""
MOST_NUMBERS = 2**26
"""Most numbers in one row of an output."""
MOST_VALUE = 1e15
"""Largest magnitude of a score or an embedding: squares of larger numbers overflow float32 sums."""
LONGEST_S = 1e8
"""Three years; no recording is longer."""
LONGEST_WINDOW_S = 600.0

NO_NAME = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")
"""Characters in no file's name. (Python represents bytes that are not UTF-8 by the other surrogates.)"""


class NotRowsError(Exception):
    """Why a file does not hold rows of perch-run."""


def check_shape(name: str, shape: object) -> tuple[int, ...]:
    """The shape of an output's rows."""
    if not (isinstance(shape, (list, tuple)) and all(type(size) is int and size > 0 for size in shape)):
        raise NotRowsError(f"{name} has no shape")
    if name in VECTORS and len(shape) != 1:
        raise NotRowsError(f"{name} is not one vector a row, but has {len(shape)} dimensions")
    if math.prod(shape) > (MOST_EMBEDDING if name == "embedding" else MOST_NUMBERS):
        raise NotRowsError(f"{name} has {math.prod(shape)} numbers a row, more than any model's")
    return tuple(shape)


def check_classes(name: str, classes: object, shape: tuple[int, ...]) -> tuple[str, ...]:
    """The names of an output's columns; empty if it is not a class head."""
    if not (isinstance(classes, list) and all(isinstance(each, str) for each in classes)):
        raise NotRowsError(f"the classes of {name} are not names")
    if len(classes) != shape[-1] and (classes or name == "label"):
        raise NotRowsError(f"{name} has {counted(shape[-1], 'column')} but {counted(len(classes), 'name')}")
    return tuple(classes)


def check_about(about: object) -> Mapping[str, str]:
    """The metadata of rows: model, version, options."""
    if not (isinstance(about, dict) and all(isinstance(value, str) for value in about.values())):
        raise NotRowsError("its metadata are not text")
    try:
        options = json.loads(about.get("options", "{}"))
    except (ValueError, RecursionError):
        options = None
    if not isinstance(options, dict) or options.get("normalize", "raw") not in get_args(Normalization):
        raise NotRowsError("its options cannot be read")
    return about


def check_names(row_ids: Sequence[Any], paths: Sequence[Any], statuses: NDArray[Any]) -> None:
    """Each row has its own name and a status. Only a sample submission's rows that match no recording lack a path."""
    if not all(row_ids) or any(status == "scored" and not path for status, path in zip(statuses, paths)):
        raise NotRowsError("some scored rows have no name or no path")
    for what, texts in (("row_id", row_ids), ("path", paths)):
        for text in dict.fromkeys(texts):
            if not isinstance(text, str):
                raise NotRowsError(f"some rows have no {what}")
            if NO_NAME.search(text):
                raise NotRowsError(f"the {what} {text!a} cannot be the name of a file")
    if len(set(row_ids)) < len(row_ids):
        seen: set[str] = set()
        twice = next(name for name in row_ids if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise NotRowsError(f"several rows are called {twice}")
    if others := set(statuses.tolist()).difference(get_args(Status)):
        raise NotRowsError(f"some rows have the status {str(others.pop())[:40]}")


def check_times(
    row_ids: NDArray[np.object_], start_s: NDArray[np.float64], end_s: NDArray[np.float64], window_s: str | None
) -> None:
    """Scored windows lie within recordings and last `window_s`, or if that is not given at most `LONGEST_WINDOW_S`."""
    usual, apart = (float(window_s), 0.01) if window_s is not None else (LONGEST_WINDOW_S / 2, LONGEST_WINDOW_S / 2)
    with np.errstate(invalid="ignore"):
        length = end_s - start_s
        good = (start_s >= 0) & (end_s <= LONGEST_S) & (length > 0) & (np.abs(length - usual) <= apart)
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise NotRowsError(f"the window of {row_ids[row]} reaches from {start_s[row]:g} to {end_s[row]:g} s")


def lacking(name: str, outputs: Sequence[str], several_models: bool) -> str:
    """What is said of rows without an output that is needed, and how to make rows with it."""
    had = f"holds no {name}, but {', '.join(outputs) or 'no output'}"
    if several_models:
        own = dict.fromkeys([name, *(each.rpartition(".")[2] for each in outputs)])
        return (
            f"{had}, of several models, and perch-explore reads rows of one; run perch-run with one --model, and "
            f"`--outputs {','.join(own)}`"
        )
    return f"{had}; run perch-run with `--outputs {','.join([name, *outputs])}`"
