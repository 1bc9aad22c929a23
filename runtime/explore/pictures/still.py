"""Stills of the cloud: PNG or SVG by matplotlib."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from runtime.explore.pictures.cloud import Cloud
from runtime.explore.pictures.projection import SEED

MARKERS = {"circle": "o", "diamond": "D", "cross": "P"}
VIEWS = ((0, 1), (2, 1), (0, 2))
"""Pairs of components; neighbouring views share an axis."""
DPI = 150
LONGEST_NAME = 44


def save(figure: Figure, path: Path, ending: str) -> None:
    """Writes a figure in the format of `ending`, `.png` or `.svg`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # names in scripts that the font lacks
        figure.savefig(path, format=ending.removeprefix("."), dpi=DPI)


def plain(words: str, end: bool = False) -> str:
    """Text from a file, safe to draw: printable and short. A path keeps its `end`. Draw it without math parsing."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in words)
    if len(shown) <= LONGEST_NAME:
        return shown
    return "…" + shown[1 - LONGEST_NAME :] if end else shown[: LONGEST_NAME - 1] + "…"


def draw(cloud: Cloud) -> Figure:
    """Three views of the cloud, and a legend."""
    figure = Figure(figsize=(10, 10), layout="constrained")
    grid = figure.subplots(2, 2, sharex="col", sharey="row")
    points, coloring = cloud.projection.points, cloud.coloring
    size = float(np.clip(20_000 / max(len(points), 1), 4, 30))
    shuffled = np.random.default_rng(SEED).permutation(len(points))  # otherwise the last category hides the others
    looks = [coloring.categories[i] for i in coloring.of[shuffled]]
    for axes, (across, up) in zip(grid.flat, VIEWS):
        for marker, shape in MARKERS.items():
            some = [i for i, look in enumerate(looks) if look.marker == marker]
            drawn = points[shuffled[some]]
            axes.scatter(drawn[:, across], drawn[:, up], size, [looks[i].color for i in some], shape, linewidths=0)
        axes.set_xlabel(f"PC{across + 1} ({cloud.projection.explained[across]:.1%})")
        axes.set_ylabel(f"PC{up + 1} ({cloud.projection.explained[up]:.1%})")
        axes.tick_params(labelbottom=False, labelleft=False, length=0)
        axes.grid(alpha=0.3)
    grid[1, 1].axis("off")
    handles: list[Artist] = [
        Line2D([], [], linestyle="", marker=MARKERS[category.marker], color=category.color)
        for category in coloring.categories
    ]
    columns = 1 if len(handles) <= 16 else 2
    # matplotlib leaves out labels that start with an underscore, so names are set afterwards
    legend = grid[1, 1].legend(handles, [" "] * len(handles), loc="upper left", frameon=False, ncols=columns)
    legend.set_title(plain(coloring.title))
    for text, category in zip(legend.get_texts(), coloring.categories, strict=True):
        text.set_text(f"{plain(category.name)}  {category.count:,}")
    for text in (legend.get_title(), *legend.get_texts()):
        text.set_parse_math(False)
    figure.suptitle(f"Embeddings of {plain(cloud.rows.source.name)}", fontsize=13, parse_math=False)
    figure.supxlabel(f"{cloud.drawn}; {cloud.variance}", fontsize=9)
    return figure
