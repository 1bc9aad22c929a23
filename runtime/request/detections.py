"""Which scores are detections, and how a table of them is written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from runtime.errors import InputError
from runtime.request.field import check_options, option
from runtime.request.values import at_least_one, number

DetectionFormat = Literal["csv", "raven", "audacity"]
GROUP = "detections: a table of what scores high, instead of all scores"


def _score(name: str, value: object) -> float:
    score = number(name, value)
    if math.isnan(score):
        raise InputError(f"{name} is not a number")
    return score


@dataclass(frozen=True)
class Detections:
    """Which scores are detections, and how they are written.

    Args:
        top: at most so many classes of a window, the highest; all if None. Classes that the model does not know are
            none, nor are columns without a name in the namespace asked for.
        min_score: no lower scores; none is too low if None. It is on the scale of the scores that are written.
        format: "csv", "raven" or "audacity"; if None what the file's ending says: `.csv`, `.selections.txt` (Raven) or
            `.txt` (Audacity).

    Raises:
        InputError: neither `top` nor `min_score` is given, or one cannot be used.
    """

    top: int | None = option(
        None, "at most so many classes of each window", GROUP, unset="all", metavar="K", check=at_least_one
    )
    min_score: float | None = option(
        None,
        "no lower scores, on the scale that is written",
        GROUP,
        unset="none is too low",
        metavar="SCORE",
        check=_score,
    )
    format: DetectionFormat | None = option(
        None,
        '"csv": path, start_s, end_s, class, scientific_name, common_name, score; "raven": a selection table; '
        '"audacity": labels. The last two of one recording are a file, of several a folder of files',
        GROUP,
        unset="by the ending of the file: .csv, .selections.txt or .txt",
    )

    def __post_init__(self) -> None:
        if self.top is None and self.min_score is None:
            what = f"format '{self.format}' is of detections, which" if self.format is not None else "detections"
            raise InputError(f"{what} need --top (top=…) or --min-score (min_score=…)")
        check_options(self)
