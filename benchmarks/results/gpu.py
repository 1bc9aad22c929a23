"""The part of results.md about a GPU, from the JSON of `perch-bench cuda`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.cuda.report import conclusion
from benchmarks.cuda.step import figure
from benchmarks.cuda.steps import ceiling, faults, nodes
from benchmarks.cuda.steps.rates import shown
from benchmarks.results.svg import MUTED, ORANGE, PURPLE, TEAL, picture

LOOKS: Mapping[str, tuple[str, str]] = {"float32": (TEAL, "o"), "tf32": (ORANGE, "s"), "float16": (PURPLE, "^")}
"""Colour and marker of each precision."""
PANEL, LEGEND = 300, 110
"""Heights in CSS pixels."""


@dataclass(frozen=True)
class Speed:
    """The windows/s of a file by precision and batch: measured, and what the card allows."""

    name: str
    measured: Mapping[str, Mapping[int, float]]
    allowed: Mapping[str, Mapping[int, float]]

    @property
    def batches(self) -> list[int]:
        return sorted({batch for rates in self.measured.values() for batch in rates})


def view(found: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows of the JSON, whose steps may lack anything."""
    steps = found["steps"]
    step = {name: steps.get(name, {}) for name in ("doctor", "ceiling", "agreement", "speed", "nodes", "files")}
    return {
        "about": found,
        "card": step["doctor"].get("card", {}),
        "quick": any(each.get("quick") for each in steps.values()),
        "speeds": speeds(found),
        "best": step["speed"].get("best", []),
        "goals": step["speed"].get("goals", []),
        "ceiling": list(ceiling.lines(step["ceiling"])),
        "agreement": list(_agreement(step["agreement"])),
        "files": [each for each in _trials(step["files"]).values() if "share" in each],
        "goal_of_files": step["files"].get("goal"),
        "memory": [each for each in _trials(steps.get("memory", {})).values() if "bytes" in each],
        "bytes_a_window": steps.get("memory", {}).get("bytes_a_window", {}),
        "nodes": list(nodes.lines(step["nodes"])),
        "faults": list(faults.lines(steps.get("faults", {}))),
        "open": list(conclusion(steps, found.get("skipped", {}))),
    }


def speeds(found: Mapping[str, Any]) -> list[Speed]:
    """The right point that counts for each file, precision and batch, as in the table of `speed`."""
    steps = found["steps"]
    points = [point for trial in _trials(steps.get("speed", {})).values() for point in trial.get("points", ())]
    points = [point for point in points if "windows_per_s" in point]
    rates: dict[str, dict[str, dict[int, float]]] = {}
    for model, precision in dict.fromkeys((point["model"], point["precision"]) for point in points):
        own = shown([point for point in points if (point["model"], point["precision"]) == (model, precision)])
        right = {batch: each["windows_per_s"]["median"] for batch, each in own.items() if not each["wrong"]}
        if right:
            rates.setdefault(model, {})[precision] = right
    possible = _trials(steps.get("ceiling", {}))
    return [Speed(name, own, _allowed(possible.get(f"work {name}", {}), own)) for name, own in rates.items()]


def draw(path: Path, speeds: Sequence[Speed]) -> None:
    """Windows/s over batch, a panel for each file; the ceiling is dashed."""
    with picture(path, PANEL * len(speeds) + LEGEND) as figure:
        for axes, speed in zip(figure.subplots(len(speeds), squeeze=False).flat, speeds, strict=True):
            for precision, rates in speed.measured.items():
                color, marker = LOOKS[precision]
                axes.plot(*_line(rates), color=color, marker=marker)
                axes.plot(*_line(speed.allowed.get(precision, {})), color=color, linestyle="dashed")
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.xaxis.set_major_locator(FixedLocator(speed.batches))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_minor_locator(NullLocator())
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
            axes.grid(True)
            axes.set_title(speed.name.replace("_", " "), loc="left", parse_math=False)
        axes.set_xlabel("windows in a batch")
        used = [each for each in LOOKS if any(each in speed.measured for speed in speeds)]
        keys = [Line2D([], [], color=LOOKS[each][0], marker=LOOKS[each][1], label=each) for each in used]
        keys.append(Line2D([], [], color=MUTED, linestyle="dashed", label="ceiling"))
        figure.legend(handles=keys, loc="outside upper left", ncols=4, title="windows/s", alignment="left")


def _line(rates: Mapping[int, float]) -> tuple[list[int], list[float]]:
    batches = sorted(rates)
    return batches, [rates[batch] for batch in batches]


def _allowed(work: Mapping[str, Any], measured: Mapping[str, Mapping[int, float]]) -> dict[str, dict[int, float]]:
    """What the card allows layer by layer, at the batches that were measured."""
    rates = {precision: work.get(precision, {}).get("layer_by_layer", {}) for precision in measured}
    return {each: {b: rates[each][str(b)] for b in own if str(b) in rates[each]} for each, own in measured.items()}


def _agreement(step: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Of each comparison the output that uses up most of its tolerance."""
    for name, trial in _trials(step).items():
        if trial.get("heads"):
            head, worst = max(trial["heads"].items(), key=lambda each: figure(each[1]["share"]))
            yield {"name": name, "head": head, "equal": trial["equal"], **worst}


def _trials(step: Mapping[str, Any]) -> dict[str, Any]:
    return dict(step.get("trials", {}))
