"""The picture of what labels teach: curves over the number of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from benchmarks.results.svg import HUES, INK, MARKERS, picture

SHOWN = {"worth": "most worth labelling", "random": "random order"}
"""The ways in the picture, and what they are called there."""
PANELS = {"average_precision": "mean average precision", "precision": "precision of what is given", "recall": "recall"}


def draw_learning(path: Path, ways: Mapping[str, Sequence[Mapping[str, Any]]], asked: float) -> None:
    """Medians over the number of labels, with the range of the seeds; each way has a colour and marker of its own."""
    with picture(path, 900) as figure:
        panels: Sequence[Axes] = figure.subplots(len(PANELS), sharex=True)
        for axes, (measure, title) in zip(panels, PANELS.items(), strict=True):
            for i, (way, name) in enumerate(SHOWN.items()):
                rounds = [each for each in ways[way] if each[measure] is not None]
                labels = [each["labels"] for each in rounds]
                middle, low, high = ([each[measure][key] for each in rounds] for key in ("median", "least", "most"))
                axes.plot(labels, middle, color=HUES[i], marker=MARKERS[i], label=name)
                axes.fill_between(labels, low, high, color=HUES[i], alpha=0.15, linewidth=0)
            if measure == "precision":
                axes.axhline(asked, color=INK, linestyle="--", linewidth=1)
                axes.annotate(f"{asked:g} asked for", (0, asked), (4, 4), textcoords="offset points", va="bottom")
            axes.set_ylim(0, 1.02)
            axes.set_title(title, loc="left", fontsize="medium")
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.grid(True)
        panels[-1].set_xlabel("labelled windows")
        panels[-1].set_xlim(left=0)
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=2)
