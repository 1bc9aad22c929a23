"""Which scores are detections, and how a table of them is written."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runtime.classes.geomodel import WEEKS
from runtime.classes.species import MIN_OCCURRENCE, Place
from runtime.errors import InputError
from runtime.request.field import check_options, option
from runtime.request.values import LONGEST_S, at_least_one, number, parse_seconds

DetectionFormat = Literal["csv", "raven", "audacity"]
AUTO = "auto"
GROUP = "detections: a table of what scores high, instead of all scores"


def _parse_score(text: str) -> float | str:
    try:
        return text if text == AUTO else float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no score; write a number, or {AUTO}") from None


def _score(name: str, value: object) -> float | str:
    if value == AUTO:
        return AUTO
    score = number(name, value)
    if math.isnan(score):
        raise InputError(f"{name} is not a number")
    return score


def _gap(name: str, value: object) -> float:
    gap_s = number(name, value)
    if not 0 <= gap_s <= LONGEST_S:
        raise InputError(f"{name} is {value}, but must be at least 0 seconds and at most a year")
    return gap_s


def _degrees(most: int) -> Callable[[str, object], float]:
    def check(name: str, value: object) -> float:
        degrees = number(name, value)
        if not -most <= degrees <= most:
            raise InputError(f"{name} is {value}, but must be degrees from -{most} to {most}")
        return degrees

    return check


def _week(name: str, value: object) -> int:
    if (week := at_least_one(name, value)) > WEEKS:
        raise InputError(f"{name} is {week}, but must be from 1 to {WEEKS}: four in each month")
    return week


def _probability(name: str, value: object) -> float:
    if not 0 <= (probability := number(name, value)) <= 1:
        raise InputError(f"{name} is {value}, but must be a probability from 0 to 1")
    return probability


@dataclass(frozen=True)
class Detections:
    """Which scores are detections, and how they are written.

    Args:
        top: How many classes each window has at most: those with the highest scores. None: all. A class that the model
            lacks is never a detection, nor is a column without a name in the namespace asked for.
        min_score: The lowest score of a detection, on the scale that is written. "auto": for each class the threshold
            that `perch-explore teach` stored with it; a class without one is never a detection. None: no limit.
        format: "csv", "raven" or "audacity". None: what the file's ending says, `.csv`, `.selections.txt` (Raven) or
            `.txt` (Audacity).
        merge_gap_s: Detections of one class in one recording become one event if each starts at most so many seconds
            after the end of the one before. None: each window has its own.
        species_list: A text file of the only species that are detected, one a line: scientific names, common names or
            codes. None: all classes.
        geomodel: BirdNET's geomodel as ONNX, its labels beside it. Only species that occur at `lat` and `lon` in `week`
            are detected, and those that it does not know. None: all classes.
        lat: The latitude of the recordings in degrees, for the geomodel.
        lon: The longitude of the recordings.
        week: Their week of the year, from 1 to 48. None: all of the year.
        min_occurrence: The lowest probability with which the geomodel says that a species occurs. None: 0.03.

    Raises:
        InputError: neither `top` nor `min_score` is given, or one cannot be used.
    """

    top: int | None = option(
        None,
        "how many classes each window has at most: those with the highest scores",
        GROUP,
        unset="all",
        metavar="K",
        check=at_least_one,
    )
    min_score: float | Literal["auto"] | None = option(
        None,
        'the lowest score of a detection, on the scale that is written. "auto" takes the thresholds stored with a head '
        "that `perch-explore teach` added to the model, one for each class; a class without one is never detected",
        GROUP,
        unset="no limit",
        metavar="SCORE",
        parse=_parse_score,
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
    species_list: str | Path | None = option(
        None,
        "a text file of the only species that are detected, one a line: scientific names, common names (with "
        "`taxonomy`), codes, or BirdNET's form Scientific name_Common name. The first line may be a header",
        GROUP,
        unset="all classes",
        metavar="FILE",
    )
    geomodel: str | Path | None = option(
        None,
        "BirdNET's geomodel as ONNX, with its labels beside it: only species that occur at `lat` and `lon` in `week` "
        "are detected. Those that it does not know stay, and have no `occurrence` in the table",
        GROUP,
        unset="all classes",
        metavar="FILE.onnx",
    )
    lat: float | None = option(
        None, "the recordings' latitude in degrees", GROUP, unset="no place", metavar="DEGREES", check=_degrees(90)
    )
    lon: float | None = option(
        None, "the recordings' longitude in degrees", GROUP, unset="no place", metavar="DEGREES", check=_degrees(180)
    )
    week: int | None = option(
        None,
        "the recordings' week of the year, as BirdNET counts them: four in each month, from 1 to 48",
        GROUP,
        unset="all of the year",
        metavar="N",
        check=_week,
    )
    min_occurrence: float | None = option(
        None,
        "the lowest probability with which the geomodel says that a species occurs",
        GROUP,
        unset=f"{MIN_OCCURRENCE}",
        metavar="PROBABILITY",
        check=_probability,
    )

    def __post_init__(self) -> None:
        if self.top is None and self.min_score is None:
            what = f"format '{self.format}' is of detections, which" if self.format is not None else "detections"
            raise InputError(f"{what} need --top (top=…) or --min-score (min_score=…)")
        check_options(self)
        of_place = {name: getattr(self, name) for name in ("lat", "lon", "week", "min_occurrence")}
        if self.geomodel is None and (given := [name for name, value in of_place.items() if value is not None]):
            raise InputError(f"{given[0]} is for a geomodel; give --geomodel (geomodel=…), or leave it out")
        if self.geomodel is not None and (self.lat is None or self.lon is None):
            raise InputError("a geomodel needs --lat and --lon (lat=…, lon=…), the place of the recordings")

    @property
    def place(self) -> Place | None:
        """Where the recordings were made, if a geomodel is to say what lives there."""
        if self.geomodel is None or self.lat is None or self.lon is None:
            return None
        least = MIN_OCCURRENCE if self.min_occurrence is None else self.min_occurrence
        return Place(self.geomodel, self.lat, self.lon, self.week, least)

    @property
    def reads(self) -> dict[str, str | Path | None]:
        """The files that are read, by what they are."""
        return {"the species list": self.species_list, "the geomodel": self.geomodel}
