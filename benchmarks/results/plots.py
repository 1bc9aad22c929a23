"""Plots of the figures, as small PNGs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

WIDTH, DPI = 7.2, 110
COLORS = ("#1b7f79", "#d1793b", "#5b6bb5", "#a8467d", "#7a8a2a", "#777777")
GRID = "#dddddd"
LABEL = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}


@dataclass(frozen=True)
class Bar:
    """A way to score all soundscapes and its minutes, with their interval if they are projected."""

    name: str
    minutes: float
    interval: tuple[float, float] | None


def throughput(path: Path, series: Mapping[str, Mapping[int, float]]) -> None:
    """Windows/s over batch size, with a line for each combination of workers and threads."""
    with _figure(path, 3.2) as axes:
        for (name, rates), color in zip(series.items(), COLORS * len(series), strict=False):
            axes.plot(list(rates), list(rates.values()), "o-", color=color, label=name, linewidth=1.8, markersize=4)
        batches = sorted({batch for rates in series.values() for batch in rates})
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(FixedLocator(batches))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda batch, _: f"{batch:g}"))
        axes.set_ylim(bottom=0)
        axes.set_xlabel("batch (windows at once)")
        axes.set_ylabel("windows/s")
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def deadline(path: Path, bars: Sequence[Bar], limit_minutes: float) -> None:
    """The minutes of each way for all soundscapes, and the limit of the competition."""
    longest = max(limit_minutes, *(bar.minutes for bar in bars))
    with _figure(path, 0.9 + 0.42 * len(bars)) as axes:
        for i, bar in enumerate(bars):
            late = bar.minutes > limit_minutes
            axes.barh(i, bar.minutes, color=COLORS[1] if late else COLORS[0], height=0.6)
            if bar.interval is not None:
                below, above = bar.minutes - bar.interval[0], bar.interval[1] - bar.minutes
                axes.errorbar(
                    bar.minutes, i, xerr=[[max(0.0, below)], [max(0.0, above)]], color="#333333", capsize=3, linewidth=1
                )
            farthest = max(bar.minutes, bar.interval[1] if bar.interval else 0.0)
            axes.text(farthest + longest / 60, i, f"{bar.minutes:.3g} min", va="center", fontsize=9, bbox=LABEL)
        axes.axvline(limit_minutes, color="#333333", linestyle="--", linewidth=1)
        axes.text(limit_minutes, -0.75, f" {limit_minutes:g} min limit", fontsize=9, va="center")
        axes.set_yticks(range(len(bars)), [bar.name for bar in bars])
        axes.set_ylim(len(bars) - 0.4, -1.1)
        axes.set_xlim(0, longest * 1.25)
        axes.set_xlabel("minutes for all soundscapes")


def errors(path: Path, heads: Mapping[str, tuple[Sequence[float], float]]) -> None:
    """The errors of all windows, head by head, on a logarithmic axis, with each head's tolerance."""
    with _figure(path, 0.9 + 0.42 * len(heads)) as axes:
        for i, (values, tolerance) in enumerate(heads.values()):
            axes.scatter(values, [i] * len(values), s=14, color=COLORS[0], alpha=0.35, linewidths=0)
            axes.plot([tolerance, tolerance], [i - 0.35, i + 0.35], color=COLORS[1], linewidth=2)
        axes.plot([], [], color=COLORS[1], linewidth=2, label="tolerance")
        axes.set_yticks(range(len(heads)), list(heads))
        axes.set_ylim(len(heads) - 0.5, -0.5)
        axes.set_xscale("log")
        axes.set_xlabel("greatest difference of a window from TensorFlow, over the output's range")
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


@contextmanager
def _figure(path: Path, height: float) -> Iterator[Any]:
    figure, axes = plt.subplots(figsize=(WIDTH, height))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, axis="both", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    yield axes
    # Matplotlib's version is left out, so that the same figures make the same bytes.
    figure.savefig(path, dpi=DPI, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
