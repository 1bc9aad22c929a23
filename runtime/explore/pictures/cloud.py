"""The embeddings of a run as a cloud of points, one for each window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import counted
from runtime.explore.names import pure
from runtime.explore.pictures.clips import Clip, describe_missing, make_clips, spread
from runtime.explore.pictures.colors import Coloring
from runtime.explore.pictures.projection import Projection
from runtime.explore.pictures.sound import Recordings, address
from runtime.explore.pictures.species import Top
from runtime.explore.pictures.template import render
from runtime.explore.rows import RowFile


@dataclass(frozen=True)
class Cloud:
    """Windows as points. `top` holds their species (places in `names`), if the file has scores."""

    rows: RowFile
    projection: Projection
    coloring: Coloring
    top: Top | None
    names: Sequence[str]

    @property
    def drawn(self) -> str:
        """How many windows are drawn, as text."""
        drawn, count = len(self.projection.rows), self.projection.count
        windows = counted(count, "window")
        return windows if drawn == count else f"{drawn:,} of {windows}, chosen at random"

    @property
    def variance(self) -> str:
        """The share of the embeddings' variance along the axes, as text."""
        parts = " + ".join(f"{share:.1%}" for share in self.projection.explained)
        return f"{self.projection.explained.sum():.1%} of the variance in three components ({parts})"

    def of(self, column: NDArray[Any]) -> list[Any]:
        """A column of the file, for the points alone."""
        return column[self.projection.rows].tolist()


def page(cloud: Cloud, target: Path, recordings: Recordings, embed: int) -> tuple[str, list[str]]:
    """The page that will lie at `target`, with clips of `embed` windows, and lines that describe it."""
    from plotly.offline import get_plotlyjs

    paths = cloud.of(cloud.rows.paths)
    starts, ends = cloud.of(cloud.rows.start_s), cloud.of(cloud.rows.end_s)
    files = {path: recordings.find(path) for path in dict.fromkeys(paths)}
    playable = np.array([i for i, path in enumerate(paths) if files[path]], np.int64)
    windows = {
        int(i): (file, starts[i], ends[i], cloud.rows.channel(int(cloud.projection.rows[i])))
        for i in spread(playable, embed)
        if (file := files[paths[i]])
    }
    clips, failures = make_clips(windows)
    contents = f"{counted(len(clips), 'window')} with spectrogram and sound in the page"
    addresses = {path: (file and address(file, target)) or None for path, file in files.items()}
    if linked := sum(addresses[paths[i]] is not None for i in playable if int(i) not in windows):
        channels = ", with all channels" if "channel" in cloud.rows.options else ""
        contents += f" (evenly spread; it links to the sound of the other {linked:,}{channels})"
    lines = [contents, describe_missing([path for path, file in files.items() if file is None], failures)]
    data = _data(cloud, addresses, clips)
    html = render(__package__, "cloud.html.jinja", cloud=cloud, data=data, plotly=get_plotlyjs(), contents=contents)
    return html, [line for line in lines if line]


def _data(cloud: Cloud, addresses: dict[str, str | None], clips: dict[int, Clip]) -> dict[str, Any]:
    """Data for the page's script. Coordinates are rounded to what can be seen."""
    numbers = {path: i for i, path in enumerate(addresses)}
    points = cloud.projection.points / np.maximum(np.abs(cloud.projection.points).max(axis=0), 1e-30)
    species: list[str] = []
    top: list[list[tuple[int, float]]] = []
    if cloud.top is not None:
        columns = np.unique(cloud.top.columns)
        species = [cloud.names[i] for i in columns]
        ranked = zip(np.searchsorted(columns, cloud.top.columns).tolist(), cloud.top.scores.tolist())
        top = [[(name, round(score, 2)) for name, score in zip(names, scores)] for names, scores in ranked]
    return {
        "axes": points.T.round(4).tolist(),
        "shares": [f"PC{i + 1} ({share:.1%})" for i, share in enumerate(cloud.projection.explained)],
        "row_ids": cloud.of(cloud.rows.row_ids),
        "recordings": [{"name": pure(path).name, "address": place} for path, place in addresses.items()],
        "recording": [numbers[path] for path in cloud.of(cloud.rows.paths)],
        "start": cloud.of(cloud.rows.start_s),
        "end": cloud.of(cloud.rows.end_s),
        "categories": [vars(category) for category in cloud.coloring.categories],
        "category": cloud.coloring.of.tolist(),
        "species": species,
        "top": top,
        "clips": {i: vars(clip) for i, clip in clips.items()},
    }
