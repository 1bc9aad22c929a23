"""Which points of `speed` count, and their lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runtime.model.cuda_options import CudaOptions

FASTER = 1.02
"""A change that gains less may have gained nothing."""


def shown(points: Sequence[Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    """The point that counts at each batch, of all points of one file and precision: the last one that is right. Of
    options that were only tried none counts but those that were kept, lest the batch at which they were tried have the
    best of many figures, and others one."""
    kept, found = kept_options(points), dict[int, Mapping[str, Any]]()
    for point in points:
        counts = not point["tried"] or point["options"] == kept
        if counts and (not point["wrong"] or point["batch"] not in found):
            found[point["batch"]] = point
    return found


def kept_options(points: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The fastest options among right points at the batch at which options are tried, the first unless others gain
    something; None if none is right."""
    at = [each for each in points if each["batch"] == points[0]["batch"] and not each["wrong"]]
    if not at:
        return None
    kept = at[0]
    for point in at[1:]:
        if point["tried"] and point["windows_per_s"]["median"] > FASTER * kept["windows_per_s"]["median"]:
            kept = point
    options: Mapping[str, Any] = kept["options"]
    return options


def table(points: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Windows/s of each file and precision at each batch, `!` where outputs are wrong."""
    sizes = sorted({point["batch"] for point in points})
    if sizes:
        yield f"{'windows/s, at batch':<28}" + "".join(f"{size:>8}" for size in sizes)
    for pair in dict.fromkeys((point["model"], point["precision"]) for point in points):
        own = [point for point in points if (point["model"], point["precision"]) == pair]
        at = {
            size: f"{each['windows_per_s']['median']:,.0f}{'!' * bool(each['wrong'])}"
            for size, each in shown(own).items()
        }
        yield f"{' '.join(pair):<28}" + "".join(f"{at.get(size, '-'):>8}" for size in sizes)


def changes(points: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What options other than a run's did to the rate, at the same batch."""
    for pair in dict.fromkeys((point["model"], point["precision"]) for point in points):
        first, *others = [point for point in points if (point["model"], point["precision"]) == pair]
        for point in others:
            if point["tried"] and point["batch"] == first["batch"]:
                factor = point["windows_per_s"]["median"] / first["windows_per_s"]["median"]
                yield f"{' '.join(pair)}, {named(point['options'])}: {factor:.2f} times as fast"


def wrong(points: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Which outputs are wrong where: these rates count for nothing."""
    for point in points:
        if point["wrong"]:
            what = f"{point['model']} {point['precision']}, batch {point['batch']}, {named(point['options'])}"
            yield f"! WRONG: {what}: {', '.join(point['wrong'])}"


def named(options: Mapping[str, Any]) -> str:
    """The options that are not a run's, or may not be: `nhwc, graph`."""
    usual = CudaOptions()
    changed = {key: value for key, value in options.items() if key != "tf32" and value != getattr(usual, key)}
    return ", ".join(key if value is True else f"{key} {value}" for key, value in changed.items()) or "a run's options"
