"""The end of the terminal's output: what is wrong, what failed, and what has no figure for lack of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

SHOWN = 30


def conclusion(steps: Mapping[str, Any], skipped: Mapping[str, str]) -> Iterator[str]:
    """The wrong results, the errors and the skipped measurements of all steps, in this order."""
    later = [(name, why) for name, why in skipped.items() if name not in steps]
    kinds = {
        "wrong": list(wrong_results(steps)),
        "failed": list(_marked(steps, "error", ())),
        "skipped": [*_marked(steps, "skipped", ()), *later],
    }
    for kind, found in kinds.items():
        if found:
            yield f"{kind}: {len(found)}"
        yield from (f"  {where}: {said}" for where, said in found[:SHOWN])
        if len(found) > SHOWN:
            yield f"  and {len(found) - SHOWN} more"


def wrong_results(steps: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Where a result was measured and is wrong, and in what way."""
    for name, step in steps.items():
        for title, trial in step.get("trials", {}).items():
            if trial.get("right") is False:
                yield f"{name}: {title}", str(trial["worst"])
            if trial.get("equal") is False:
                yield f"{name}: {title}", "outputs are beyond the tolerance"
            if trial.get("passed") is False and "error" not in trial:
                yield f"{name}: {title}", "it did not end as it should"
            for point in trial.get("points", ()):
                if point.get("wrong"):
                    where = f"{name}: {title}: {point['model']} {point['precision']}"
                    yield where, f"with these options {', '.join(point['wrong'])} is off"


def _marked(value: Any, key: str, where: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The sentences under a key, however deep, and where they stand."""
    if isinstance(value, list):
        for each in value:
            yield from _marked(each, key, where)
    if isinstance(value, Mapping):
        if isinstance(value.get(key), str):
            yield ": ".join(name for name in where if name not in ("trials", "points")), value[key]
        for name, each in value.items():
            yield from _marked(each, key, (*where, str(name)))
