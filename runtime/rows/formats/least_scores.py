"""Which output detections are of, and from which score on each of its classes is detected."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError, counted, some
from runtime.request.detections import AUTO, Detections
from runtime.rows.block import Columns


def class_head(columns: Columns, asked: Detections) -> str:
    """The output that detections are of.

    Raises:
        InputError: there is not exactly one output with classes; or, where thresholds are asked for, not exactly one
            that has some.
    """
    heads = [name for name in columns.shapes if columns.classes.get(name)]
    what = "with classes"
    if asked.min_score == AUTO and heads:
        what = "with thresholds"
        heads = [name for name in heads if any(each is not None for each in columns.thresholds.get(name, ()))]
        if not heads:
            raise InputError(
                f"min_score '{AUTO}' takes the thresholds of a head that `perch-explore teach` added to the model, and "
                f"{', '.join(columns.shapes)} has none, or has probabilities that file_scale changed; give a number"
            )
    if len(heads) != 1:
        how = f"ask for {heads[0]} alone" if heads else "ask for label"
        raise InputError(f"detections are of one output {what}, not {', '.join(heads or columns.shapes)}; {how}")
    return heads[0]


def least_scores(columns: Columns, head: str, asked: Detections) -> NDArray[np.float32]:
    """For each class of an output the lowest score of a detection, `float32 [classes]`; infinite where there is none.

    Thresholds are rounded as scores are, so that a probability that equals its threshold is a detection.
    """
    if asked.min_score == AUTO:
        return np.array([np.inf if each is None else each for each in columns.thresholds[head]], np.float32)
    least = -np.inf if asked.min_score is None else asked.min_score
    with np.errstate(over="ignore"):  # no score is beyond float32: such a limit is as good as infinite
        return np.full(len(columns.classes[head]), least, np.float32)


def threshold_remarks(columns: Columns, head: str, asked: Detections) -> list[str]:
    """Which classes can be detected by thresholds, in a line; none where there are no thresholds."""
    if asked.min_score != AUTO:
        return []
    names, thresholds = columns.classes[head], columns.thresholds[head]
    never = [name for name, threshold in zip(names, thresholds, strict=True) if threshold is None]
    without = f", not {some(never)}" if never else ""
    return [f"thresholds of {head}: {len(names) - len(never)} of {counted(len(names), 'class')}{without}"]
