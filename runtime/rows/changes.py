"""What differs between the journals of two runs, in the names and units of the options."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

NAMES = {
    "model": "the model's id",
    "hop": "hop_s",
    "class_columns": "what the classes stand for",
    "sample_rows": "the sample submission",
}
"""What keys stand for that are not called like an option."""
CONSEQUENCES = {
    "model": ("hop", "class_columns"),  # a hop is in samples, whose rate may be another
    "segments": ("hop", "max_peaks"),
    "classes": ("class_columns",),
    "namespace": ("class_columns",),
}
"""Keys that say nothing of their own where this one differs."""
ID_DIGITS = 12
"""So many digits of a model's id are what `perch-convert` prints."""
MOST = 60


def changes(before: Mapping[str, Any], now: Mapping[str, Any], sample_rate: int) -> list[str]:
    """What differs between two runs, each a phrase; an option that is at its default may not be named at all.

    `sample_rate` is this run's, in Hz.
    """
    differ = [key for key in {**now, **before} if before.get(key) != now.get(key)]
    follow = {key for cause in differ for key in CONSEQUENCES.get(cause, ())}
    if None in (before.get("classes"), now.get("classes")):  # without classes no class is unmapped
        follow.add("unmapped")
    phrases = []
    for key in differ:
        if key not in follow:
            was, is_now = (_shown(key, run.get(key), sample_rate) for run in (before, now))
            values = "different" if was == is_now else f"{was} and is {is_now}"
            phrases.append(f"{NAMES.get(key, key)} was {values}")
    return phrases


def _shown(key: str, value: Any, sample_rate: int) -> str:
    """A value as the command line takes it, or its beginning."""
    if value is None:
        return "not given"
    if key == "class_columns":  # numbers that nobody knows
        return ""
    if key == "model":
        return str(value)[:ID_DIGITS]
    if key == "hop" and isinstance(value, int):
        value = value / sample_rate
    text = ",".join(map(_written, value)) if isinstance(value, list) else _written(value)
    return text if len(text) <= MOST else f"{text[: MOST - 3]}..."


def _written(value: Any) -> str:
    if value is True:
        return "given"
    if isinstance(value, (str, float)):
        return f"{value:.10g}" if isinstance(value, float) else value
    return json.dumps(value)
