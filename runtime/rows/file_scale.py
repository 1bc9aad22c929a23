"""A recording's confidence: its scores scaled by its highest ones.

After what entrants of BirdCLEF call file-level confidence: a species that a recording surely has is likelier in its
other windows too, and one that it nowhere surely has is a mistake.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError
from runtime.rows.block import Block, Columns

Scores = NDArray[np.float32]


def file_scaled(read: Callable[[], Iterable[Block]], columns: Columns, highest: int) -> Iterator[Block]:
    """The same rows with, for each class c of a recording, the scores

        s'[t, c] = s[t, c] · mean of the `highest` greatest s[·, c] of this recording.

    A recording with fewer scored rows has the mean of all. Rows without a score stay so and do not count, and classes
    that have a constant score keep it. `read` is called twice: a recording's rows are read before they are scaled, and
    none but a block is in memory. Blocks without rows are left out: they do not say whose they are.
    """
    recordings, again = (
        itertools.groupby(filter(len, read()), lambda block: (block.path, block.name)) for _ in range(2)
    )
    for (_, parts), (_, same) in zip(recordings, again, strict=True):
        factors = _factors(parts, columns, highest)
        for block in same:
            yield replace(
                block,
                outputs={**block.outputs, **{name: factor * block.outputs[name] for name, factor in factors.items()}},
            )


def _factors(parts: Iterable[Block], columns: Columns, highest: int) -> dict[str, Scores]:
    """What the columns of each class head are multiplied with, from all rows of a recording."""
    heads = [name for name in columns.shapes if columns.classes.get(name)]
    top = {name: np.empty((0, *columns.shapes[name]), np.float32) for name in heads}
    for block in parts:
        for name in heads:
            scores = block.outputs[name][block.holds(name)]
            top[name] = np.sort(np.concatenate([top[name], scores]), axis=0)[-highest:]
    factors = {name: scores.mean(axis=0) for name, scores in top.items() if len(scores)}
    for name, factor in factors.items():
        factor[list(columns.constants.get(name, ()))] = 1
    return factors


def check_file_scale(columns: Columns) -> None:
    """Finds out whether rows have scores that can be scaled.

    Raises:
        InputError: they have no classes, or logits.
    """
    if not any(columns.classes.values()):
        raise InputError(
            f"file_scale scales the scores of classes, and {', '.join(columns.shapes)} has none; leave it out"
        )
    logits = [name for name, classes in columns.classes.items() if classes and name not in columns.thresholds]
    if logits and json.loads(columns.about["options"]).get("activation") == "none":
        raise InputError(
            f"file_scale multiplies scores, which must be probabilities, and those of {', '.join(logits)} are logits; "
            "ask for the activation 'sigmoid', or 'softmax'"
        )
