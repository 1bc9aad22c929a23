"""The timeline of a soundscape: its spectrogram, and below it the species that lead its windows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from runtime.audio.channels import Channel
from runtime.classes.taxonomy import Taxonomy
from runtime.console.progress import progress_bar
from runtime.errors import InputError, RecordingError
from runtime.explore.names import READINGS, pure
from runtime.explore.pictures.sound import MIME, RATE, Recordings, address, encode, read_seconds
from runtime.explore.pictures.species import OUTPUT, Top, display_names, read_scores
from runtime.explore.pictures.spectrogram import COLORS, data_uri, decibels, power, spectrogram
from runtime.explore.pictures.still import plain
from runtime.explore.pictures.template import render
from runtime.explore.rows import RowFile
from runtime.files import composed
from runtime.remote import Location

MOST_S = 3600
"""Longest excerpt drawn, in seconds."""
MOST_SOUND_S = 600
"""Longest excerpt whose sound the page contains."""
SPECIES, TOP = 10, 5
STEP = 640
MOST_FRAMES = 4000
FRAMES_A_SECOND = (50, 25, 10, 5, 2, 1)
"""Frames a second to choose from."""
SCALE = "viridis"


@dataclass(frozen=True)
class Timeline:
    """An excerpt of a recording, from second `start` to `end`.

    row_ids, starts, ends: its scored windows, by start. names: the species that lead most windows. scores: theirs,
    float32 `[windows, species]`. top: the highest scores of each window, with places in `all_names`. recording, power,
    sound: the file, its power spectrogram `[frames, 160]` and its samples; None where missing. channel: the one that
    was scored. notes: what is missing.
    """

    path: str
    start: int
    end: int
    row_ids: Sequence[str]
    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    names: Sequence[str]
    scores: NDArray[np.float32]
    top: Top
    all_names: Sequence[str]
    recording: Location | None = None
    power: NDArray[np.float32] | None = None
    sound: NDArray[np.float32] | None = None
    channel: Channel = "mix"
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def title(self) -> str:
        """The recording, and its channel if that is one by itself."""
        return f"{self.path}, channel {self.channel}" if isinstance(self.channel, int) else self.path

    @property
    def seconds(self) -> int:
        """The length of the excerpt."""
        return self.end - self.start

    @property
    def until(self) -> NDArray[np.float64]:
        """Where each window's cell ends: at the window's end, or where the next window starts."""
        return np.minimum(self.ends, np.append(self.starts[1:], np.inf))

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and highest score drawn."""
        return float(self.scores.min()), float(self.scores.max())


def read_timeline(
    rows: RowFile,
    recording: str,
    recordings: Recordings,
    taxonomy: Taxonomy,
    start_s: float,
    end_s: float | None,
    channel: int | None = None,
) -> Timeline:
    """The timeline of a recording from `start_s` to `end_s`, at most an hour; of one channel, if each has rows.

    Raises:
        InputError: the file holds no such recording or channel, rows of several channels and none is named, no scored
            window in that time, or no scores at all.
    """
    path = find_path(list(dict.fromkeys(rows.paths)), recording)
    if not (math.isfinite(start_s) and 0 <= start_s < (math.inf if end_s is None else end_s)):
        raise InputError(f"a timeline from {start_s:g} to {end_s or start_s:g} s is empty; --to must be after --from")
    scored_channel, of_path = _of_channel(rows, path, channel)
    last_s = float(rows.end_s[of_path].max()) if len(of_path) else 0.0
    start = math.floor(start_s)
    end = min(math.ceil(min(end_s or math.inf, last_s)), start + MOST_S)
    here = of_path[(rows.start_s[of_path] < end) & (rows.end_s[of_path] > start)]
    if not len(here):
        raise InputError(f"{rows.source} holds no scored windows of {path} after {start} s; they end at {last_s:g} s")
    scores = np.concatenate([values for _, values in read_scores(rows, here)])
    order = np.argsort(rows.start_s[here], kind="stable")
    here, scores = here[order], scores[order]
    columns = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
    names = display_names(rows.classes.get(OUTPUT, ()), taxonomy)
    leading = [column for column, _ in Counter(columns[:, 0].tolist()).most_common(SPECIES)]
    notes = []
    if last_s > end and (end_s is None or end_s > end):
        notes.append(f"the recording goes on to {last_s:g} s; plot the rest with --from and --to, an hour at a time")
    file, powers, sound = recordings.find(path), None, None
    if file is None:
        notes.append(f"{path} cannot be found, so there is no spectrogram (say where it is with --audio FOLDER)")
    else:
        powers, sound, failure = _read(file, start, end - start, scored_channel)
        notes += [f"{path} {failure}"] if failure else []
        if scored_channel == "loudest":
            notes.append("scored was the loudest channel of each window; the spectrogram and sound are of all channels")
        elif scored_channel != "mix" and sound is None:
            notes.append("the sound is the recording's own file, with all its channels")
    return Timeline(
        path,
        start,
        end,
        rows.row_ids[here].tolist(),
        rows.start_s[here],
        rows.end_s[here],
        [names[i] for i in leading],
        scores[:, leading],
        Top(columns, np.take_along_axis(scores, columns, axis=1)),
        names,
        file,
        powers,
        sound,
        scored_channel,
        notes,
    )


def _of_channel(rows: RowFile, path: str, channel: int | None) -> tuple[Channel, NDArray[np.int64]]:
    """The channel of a recording that the rows are of, and its rows with a score.

    Raises:
        InputError: they are of several channels and none is named, or not of this one.
    """
    here = np.flatnonzero(rows.paths == path)
    channels = [rows.channel(row) for row in here.tolist()]
    there = list(dict.fromkeys(channels))
    if channel is not None and isinstance(there[0], str):
        scored = "the mean of all channels" if there == ["mix"] else "the loudest channel of each window"
        raise InputError(f"{path} has rows of {scored}; leave --channel out")
    said = f"{path} has rows of channel {' and '.join(map(str, there))}"
    if channel is None and len(there) > 1:
        raise InputError(f"{said}; say with --channel which to plot")
    if channel is not None and channel not in there:
        raise InputError(f"{said}, not {channel}")
    chosen = there[0] if channel is None else channel
    here = here[[each == chosen for each in channels]]
    return chosen, here[rows.has_score[here]]


def find_path(paths: Sequence[str], recording: str) -> str:
    """The path in the rows that `recording` means: the path itself, its end, its name, or its name without extension.

    Raises:
        InputError: it means none, or several.
    """
    for read in READINGS:
        wanted, candidates = read(composed(recording)), {path: read(composed(path)) for path in paths}
        least = len(wanted.parts)
        for matches in (
            [path for path, each in candidates.items() if path == recording or each == wanted],
            [path for path, each in candidates.items() if each.parts[-least:] == wanted.parts],
            [path for path, each in candidates.items() if (each.parent / each.stem).parts[-least:] == wanted.parts],
            [path for path, each in candidates.items() if each.name == wanted.name],
        ):
            if len(matches) == 1:
                return matches[0]
            if matches:
                raise InputError(f"{recording} may be {matches[0]} or {matches[1]}; name it with its folder")
    some = ", ".join(pure(path).name for path in paths[:3])
    raise InputError(f"the rows hold no recording {recording}, but {some or 'none'}{' …' if len(paths) > 3 else ''}")


def _read(
    file: Location, start: int, seconds: int, channel: Channel
) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None, str]:
    """The power spectrogram, the samples if they are few, and why the excerpt is not complete.

    The loudest channel changes from window to window, so there all are read.
    """
    heard = "mix" if channel == "loudest" else channel
    frames_a_second = next((each for each in FRAMES_A_SECOND if each * seconds <= MOST_FRAMES), 1)
    frames, sound, failure = [], [], ""
    try:
        with progress_bar(seconds, desc="spectrogram", unit="s") as bar:
            for samples in read_seconds(file, start, seconds, heard):
                bar.update()
                # calls are short, so the loudest of joined frames represents them
                frames.append(power(samples, STEP).reshape(frames_a_second, -1, 160).max(axis=1))
                if seconds <= MOST_SOUND_S:
                    sound.append(samples)
    except RecordingError as error:
        failure = str(error)
    return np.concatenate(frames) if frames else None, np.concatenate(sound) if sound else None, failure


def page(timeline: Timeline, target: Path) -> str:
    """The page that will lie at `target`."""
    lowest, highest = timeline.range
    share = (timeline.scores - lowest) / max(highest - lowest, 1e-9)
    shades = (matplotlib.colormaps[SCALE](share)[..., :3] * 255).round().astype(int).tolist()
    source, offset = "", 0
    if timeline.sound is not None:
        source, offset = data_uri(MIME, encode(timeline.sound)), timeline.start
    elif timeline.recording is not None:
        source, offset = address(timeline.recording, target), 0
    data: dict[str, Any] = {
        "start": timeline.start,
        "end": timeline.end,
        "row_ids": timeline.row_ids,
        "starts": timeline.starts.tolist(),
        "ends": timeline.ends.tolist(),
        "until": timeline.until.tolist(),
        "names": timeline.names,
        "cells": [[f"#{bytes(shade).hex()}" for shade in row] for row in shades],
        "top": [
            [(timeline.all_names[i], round(score, 2)) for i, score in zip(columns, scores, strict=True)]
            for columns, scores in zip(timeline.top.columns.tolist(), timeline.top.scores.tolist(), strict=True)
        ],
        "sound": source,
        "offset": offset,
        "picture": None if timeline.power is None else data_uri("image/png", spectrogram(timeline.power)),
        "picture_s": 0 if timeline.power is None else len(timeline.power) / _frames_a_second(timeline),
    }
    stops = [matplotlib.colors.to_hex(shade) for shade in matplotlib.colormaps[SCALE](np.linspace(0, 1, 9))]
    return render(__package__, "timeline.html.jinja", timeline=timeline, data=data, stops=stops)


def _frames_a_second(timeline: Timeline) -> int:
    return next((each for each in FRAMES_A_SECOND if each * timeline.seconds <= MOST_FRAMES), 1)


def draw(timeline: Timeline) -> Figure:
    """The timeline as a still."""
    rows = len(timeline.names)
    figure = Figure(figsize=(13, 3.2 + 0.32 * rows), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[2.4, 0.32 * rows])
    if timeline.power is not None:
        end = timeline.start + len(timeline.power) / _frames_a_second(timeline)
        above.imshow(
            decibels(timeline.power).T,
            cmap=COLORS,
            aspect="auto",
            origin="lower",
            extent=(timeline.start, end, 0, RATE / 2000),
        )
    above.set_ylabel("kHz")
    above.set_ylim(0, RATE / 2000)
    cells, edges = _cells(timeline)
    image = below.pcolormesh(edges, np.arange(rows + 1), cells, cmap=SCALE)
    leads = timeline.scores.argmax(axis=1)
    led = timeline.scores.max(axis=1) >= timeline.top.scores[:, 0]
    middle = (timeline.starts + timeline.until) / 2
    below.plot(middle[led], leads[led] + 0.5, "o", color="#d55e00", markeredgecolor="white", markersize=5)
    below.set_yticks(np.arange(rows) + 0.5, [plain(name) for name in timeline.names], parse_math=False)
    below.invert_yaxis()
    below.set_xlim(timeline.start, timeline.end)
    below.set_xlabel("seconds; a dot marks the species that scores highest in a window")
    figure.colorbar(image, ax=below, label="score", pad=0.01)
    above.set_title(plain(timeline.title, end=True), parse_math=False)
    return figure


def _cells(timeline: Timeline) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Scores `[species, cells]` and the edges of the cells `[cells + 1]`; NaN where there is no window."""
    edges = np.unique(np.concatenate([timeline.starts, timeline.until]))
    cells = np.full((len(timeline.names), len(edges) - 1), np.nan, np.float32)
    cells[:, np.searchsorted(edges, timeline.starts)] = timeline.scores.T
    return cells, edges
