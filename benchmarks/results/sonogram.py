"""The picture of a timeline: the sonogram of a soundscape, and below it a lane for each species."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path as Outline
from numpy.typing import NDArray

from benchmarks.results.svg import GREY, HUES, INK, SHADES, picture
from convert import SAMPLE_RATE
from runtime.explore.pictures.spectrogram import decibels, power

COLUMNS = 16
"""Columns of the sonogram a second."""
FASTER = 10
"""Frames that a column holds; the loudest represents them, as calls are short."""
ROW_KHZ, ROWS = 0.1, 80
"""Height of a row of the sonogram, and how many are drawn."""
STROKE = 2.2
"""How thick a row is drawn, in points: a little more than its height, lest the page shine through."""
LIKELY, PALE = 0.5, 0.35
"""Probabilities from here on are drawn in full colour, others as pale as this."""
BASE, TALLEST = 0.8, 0.75
"""Where a lane's bars stand, from its top, and how tall a certain one is; a lane is 1 high."""
LOUDER_DB = (10, 20, 28, 36)
"""How much louder than its row's median a sound is from which on it has the next shade."""


@dataclass(frozen=True)
class Lane:
    """A species, its probability in each window, and from when to when it sings."""

    name: str
    probabilities: Sequence[float]
    songs: Sequence[Sequence[float]]


def draw_timeline(
    path: Path, samples: NDArray[np.float32], middles: Sequence[float], hop_s: float, lanes: Sequence[Lane]
) -> None:
    """Draws a soundscape at 32 kHz; the middles of its windows are at these seconds."""
    seconds = len(samples) / SAMPLE_RATE
    with picture(path, 500) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1.2, 1])
        _sonogram(above, samples)
        for i, lane in enumerate(lanes):
            color = HUES[i % len(HUES)]
            looks = [color if probability >= LIKELY else (color, PALE) for probability in lane.probabilities]
            heights = [-TALLEST * probability for probability in lane.probabilities]
            below.bar(middles, heights, 0.9 * hop_s, i + BASE, color=looks)
            starts, ends = ([song[side] for song in lane.songs] for side in (0, 1))
            below.hlines([i + BASE + 0.12] * len(starts), starts, ends, color=INK, linewidth=2.5)
        below.set_ylim(len(lanes), 0)
        below.set_yticks(np.arange(len(lanes)) + 0.6, [lane.name for lane in lanes])
        below.set_xlim(0, seconds)
        ticks = np.linspace(0, seconds, 5)
        below.set_xticks(ticks, [*(f"{tick:g}" for tick in ticks[:-1]), f"{seconds:g} s"])
        for axes in (above, below):
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
        keys = [Patch(color=GREY), Patch(color=GREY, alpha=PALE), Line2D([], [], color=INK, linewidth=2.5)]
        words = [f"probability {LIKELY:g} or more", "less", "planted song"]
        figure.legend(keys, words, loc="outside lower left", ncols=3, handlelength=1.3, columnspacing=1.5)


def _sonogram(axes: Axes, samples: NDArray[np.float32]) -> None:
    """What stands out of the noise, in a few shades: for each a path of horizontal strokes, which keeps files small."""
    frames = power(samples, SAMPLE_RATE // (COLUMNS * FASTER))
    columns = frames[: len(frames) // FASTER * FASTER].reshape(-1, FASTER, frames.shape[1]).max(axis=1)
    levels = decibels(columns[:, :ROWS]).T
    levels -= np.median(levels, axis=1, keepdims=True)
    for least, shade in zip(LOUDER_DB, SHADES, strict=True):
        edges = np.diff(np.pad(levels >= least, ((0, 0), (1, 1))).astype(np.int8), axis=1)
        rows, starts = np.nonzero(edges == 1)
        _, ends = np.nonzero(edges == -1)
        heights = (rows + 0.5) * ROW_KHZ
        strokes = np.stack([starts / COLUMNS, heights, ends / COLUMNS, heights], axis=1).reshape(-1, 2)
        outline = Outline(strokes, [Outline.MOVETO, Outline.LINETO] * len(rows))
        axes.add_patch(PathPatch(outline, fill=False, edgecolor=shade, linewidth=STROKE, capstyle="butt"))
    axes.set_ylim(0, ROWS * ROW_KHZ)
    axes.set_yticks([0, 4, 8], ["0", "4", "8 kHz"])
    axes.tick_params(labelbottom=False)
