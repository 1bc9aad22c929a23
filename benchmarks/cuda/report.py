"""The end of the terminal's output: what failed, and what has no figure because the time did not allow it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

SHOWN = 30


def conclusion(steps: Mapping[str, Any], skipped: Mapping[str, str]) -> Iterator[str]:
    """The errors and the skipped measurements of all steps, errors first."""
    for kind in ("error", "skipped"):
        found = list(_marked(steps, kind, ()))
        if kind == "skipped":
            found += [(name, why) for name, why in skipped.items() if name not in steps]
        if found:
            yield f"{'failed' if kind == 'error' else 'skipped'}: {len(found)}"
        yield from (f"  {where}: {said}" for where, said in found[:SHOWN])
        if len(found) > SHOWN:
            yield f"  and {len(found) - SHOWN} more"


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
