"""Plots of the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from benchmarks.results.svg import GREY, HUES, INK, MARKERS, ORANGE, TEAL, picture

OURS = "perch-onnx"
ROW, HEAD, AXIS = 56, 36, 64
"""Heights in CSS pixels: of a row with its name above, of a line of text, of the axis below."""
TIMES = "\N{MULTIPLICATION SIGN}"
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Bar:
    """A way to score all soundscapes and its minutes, with their interval if they are projected."""

    name: str
    minutes: float
    interval: tuple[float, float] | None

    @property
    def label(self) -> str:
        """The name and the minutes."""
        within = f" (projected, {self.interval[0]:.3g} to {self.interval[1]:.3g})" if self.interval else ""
        return f"{self.name}: {self.minutes:.3g} min{within}"


@dataclass(frozen=True)
class Race:
    """The ways to score all soundscapes with a model, and the minutes that the competition allows."""

    model: str
    bars: Sequence[Bar]
    limit_minutes: float

    @property
    def farthest(self) -> list[float]:
        """Where its bars, their intervals and the limit end."""
        return [self.limit_minutes, *(bar.interval[1] if bar.interval else bar.minutes for bar in self.bars)]


def throughput(path: Path, series: Mapping[tuple[int, int], Mapping[int, float]]) -> None:
    """Windows/s over batch size, with a line for each number of workers and threads."""
    with picture(path, 360) as figure:
        axes = figure.subplots()
        for i, ((workers, threads), rates) in enumerate(series.items()):
            look: dict[str, Any] = {"color": HUES[i % len(HUES)], "marker": MARKERS[i % len(MARKERS)]}
            axes.plot(list(rates), list(rates.values()), label=f"{workers} {TIMES} {threads}", **look)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(FixedLocator(sorted({batch for rates in series.values() for batch in rates})))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda batch, _: f"{batch:g}"))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True))
        axes.set_ylim(bottom=0)
        axes.grid(True)
        axes.set_xlabel("windows in a batch")
        title = f"windows/s, by workers {TIMES} threads of each"
        figure.legend(loc="outside upper left", ncols=5, title=title, alignment="left", columnspacing=1.2)


def deadline(path: Path, races: Sequence[Race]) -> None:
    """The minutes of each way for all soundscapes, model by model, beside the limit of the competition."""
    with picture(path, sum(HEAD + ROW * len(race.bars) for race in races) + AXIS) as figure:
        axes = figure.subplots()
        y = 0.0
        for race in races:
            axes.text(0, y + HEAD / 2, race.model, weight="bold", va="center")
            limit: dict[str, Any] = {"color": ORANGE, "va": "center", "ha": "center"}
            axes.text(race.limit_minutes, y + HEAD / 2, f"limit {race.limit_minutes:g} min", **limit)
            y += HEAD
            for bar in race.bars:
                _name(axes, y, bar.label)
                axes.barh(y + 38, bar.minutes, 20, color=TEAL if bar.name == OURS else GREY)
                if bar.interval is not None:
                    axes.plot(bar.interval, [y + 38] * 2, color=INK, marker="|", linewidth=1)
                _mark(axes, race.limit_minutes, y)
                y += ROW
        axes.set_xlim(0, max(minutes for race in races for minutes in race.farthest) * 1.03)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 3, 5, 10]))
        axes.set_xlabel("minutes for all soundscapes")
        _only_rows(axes, y)


def errors(path: Path, heads: Mapping[str, tuple[Sequence[float], float]]) -> None:
    """The errors of all windows, head by head, on a logarithmic axis, with each head's tolerance."""
    with picture(path, ROW * len(heads) + HEAD + AXIS) as figure:
        axes = figure.subplots()
        for i, (name, (values, tolerance)) in enumerate(heads.items()):
            _name(axes, i * ROW, name)
            _mark(axes, tolerance, i * ROW)
            # One line with gaps is smaller than a line for each window.
            heights = np.tile([i * ROW + 28, i * ROW + 48, np.nan], len(values))
            axes.plot(np.repeat(values, 3), heights, color=TEAL, linewidth=1, solid_capstyle="butt")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=6))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(_power_of_ten))
        axes.set_xlabel("difference from TensorFlow / range of the output")
        axes.xaxis.grid(True)
        keys = [Line2D([], [], color=TEAL), Line2D([], [], color=ORANGE, linewidth=2.5)]
        figure.legend(keys, ["a window", "tolerance"], loc="outside upper left", ncols=2)
        _only_rows(axes, ROW * len(heads))


def _name(axes: Axes, y: float, name: str) -> None:
    """The name of a row, above it and from the left edge."""
    axes.text(0, y + 12, name, va="center", transform=axes.get_yaxis_transform(), parse_math=False)


def _mark(axes: Axes, value: float, y: float) -> None:
    """The most that is allowed in a row."""
    axes.plot([value] * 2, [y + 24, y + 52], color=ORANGE, linewidth=2.5, solid_capstyle="butt")


def _only_rows(axes: Axes, height: float) -> None:
    axes.set_ylim(height, 0)
    axes.yaxis.set_visible(False)
    axes.spines.left.set_visible(False)


def _power_of_ten(value: float, _: object) -> str:
    return f"10{str(round(np.log10(value))).translate(SUPERSCRIPT)}"
