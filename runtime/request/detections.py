"""Which scores are detections, and how a table of them is written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from runtime.errors import InputError
from runtime.request.field import check_options, option
from runtime.request.values import LONGEST_S, at_least_one, number, parse_seconds

DetectionFormat = Literal["csv", "raven", "audacity"]
GROUP = "detections: a table of what scores high, instead of all scores"


def _score(name: str, value: object) -> float:
    score = number(name, value)
    if math.isnan(score):
        raise InputError(f"{name} is not a number")
    return score


def _gap(name: str, value: object) -> float:
    gap_s = number(name, value)
    if not 0 <= gap_s <= LONGEST_S:
        raise InputError(f"{name} is {value}, but must be at least 0 seconds and at most a year")
    return gap_s


@dataclass(frozen=True)
class Detections:
    """Which scores are detections, and how they are written.

    Args:
        top: The most classes that each window has, those with the highest scores. None: all. A class that the model
            lacks is never a detection, nor is a column without a name in the namespace asked for.
        min_score: The lowest score of a detection, on the scale that is written. None: no limit.
        format: "csv", "raven" or "audacity". None: what the file's ending says, `.csv`, `.selections.txt` (Raven) or
            `.txt` (Audacity).
        merge_gap_s: Detections of one class in one recording become one event if each starts at most so many seconds
            after the end of the one before. None: each window has its own.

    Raises:
        InputError: neither `top` nor `min_score` is given, or one cannot be used.
    """

    top: int | None = option(
        None,
        "the most classes that each window has, those with the highest scores",
        GROUP,
        unset="all",
        metavar="K",
        check=at_least_one,
    )
    min_score: float | None = option(
        None,
        "the lowest score of a detection, on the scale that is written",
        GROUP,
        unset="no limit",
        metavar="SCORE",
        check=_score,
    )
    format: DetectionFormat | None = option(
        None,
        '"csv": path, start_s, end_s, class, scientific_name, common_name, score, recorded_at. "raven": selection '
        'tables. "audacity": labels. The last two are one file for one recording, and a folder of files for several',
        GROUP,
        unset="by the ending of the file: .csv, .selections.txt or .txt",
    )
    merge_gap_s: float | None = option(
        None,
        "make one event of the detections of one class in one recording if each starts at most so many seconds after "
        "the end of the one before: 0 merges consecutive windows. An event has the highest score, and the number of "
        "its windows",
        GROUP,
        unset="each window has its own detections",
        flags=["--merge-gap"],
        metavar="TIME",
        parse=parse_seconds,
        check=_gap,
    )

    def __post_init__(self) -> None:
        if self.top is None and self.min_score is None:
            what = f"format '{self.format}' is of detections, which" if self.format is not None else "detections"
            raise InputError(f"{what} need --top (top=…) or --min-score (min_score=…)")
        check_options(self)
