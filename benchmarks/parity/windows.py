"""Chooses the windows to compare, spread evenly over all recordings, and reads them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from convert import SAMPLE_RATE, WINDOW_SAMPLES
from runtime.audio.paths import FoundRecordings
from runtime.audio.recording import Recording
from runtime.audio.windows import format_end
from runtime.console.progress import progress_bar
from runtime.errors import InputError
from runtime.explore.label_files import Labels
from runtime.remote import Location

Item = TypeVar("Item")


@dataclass(frozen=True)
class WindowRef:
    """A window of a recording by its number, from 0, and its `row_id`."""

    path: Location
    index: int
    row_id: str


def choose(recordings: FoundRecordings, count: int, labels: Labels | None = None) -> list[WindowRef]:
    """At most `count` windows in the order of their rows; with labels, only labelled windows.

    Raises:
        InputError: no recording can be read, or no window has a label.
    """
    pairs = list(zip(recordings.paths, recordings.names, strict=True))
    if labels is None and len(pairs) > count:
        pairs = _evenly(pairs, count)
    windows: list[WindowRef] = []
    with progress_bar(len(pairs), desc="recordings") as bar:
        for path, name in pairs:
            recording = Recording(path, SAMPLE_RATE, WINDOW_SAMPLES)
            promised = recording.promised_windows()
            if promised is None:  # its header does not say
                promised = sum(1 for _ in recording.windows())
            ends = (format_end(index, WINDOW_SAMPLES, WINDOW_SAMPLES, SAMPLE_RATE) for index in range(promised))
            windows += [WindowRef(path, index, f"{name}_{end}") for index, end in enumerate(ends)]
            bar.update()
    if labels is not None:
        labelled = [window for window in windows if labels.of(window.row_id) is not None]
        if windows and not labelled:
            raise InputError(
                f"{labels.source} has no label for any of the {len(windows)} windows, which are called "
                f"{windows[0].row_id} and so on; name the recordings that it labels with --audio"
            )
        windows = labelled
    if not windows:
        raise InputError(f"none of the recordings can be read, such as {recordings.paths[0]}")
    return _evenly(windows, count)


def _evenly(items: Sequence[Item], count: int) -> list[Item]:
    """`count` items, or all if there are fewer, each from the middle of an equal share."""
    taken = min(count, len(items))
    return [items[(2 * i + 1) * len(items) // (2 * taken)] for i in range(taken)]


def read(windows: Sequence[WindowRef]) -> Iterator[tuple[WindowRef, NDArray[np.float32]]]:
    """The samples of windows, `float32 [160000]`, in order; windows that cannot be read are left out."""
    for path, group in itertools.groupby(windows, key=lambda window: window.path):
        wanted = {window.index: window for window in group}
        for window in Recording(path, SAMPLE_RATE, WINDOW_SAMPLES).windows():
            if window.index in wanted and window.samples is not None:
                yield wanted[window.index], window.samples
            if window.index >= max(wanted):
                break


def read_chunks(windows: Sequence[WindowRef], size: int) -> Iterator[tuple[list[WindowRef], NDArray[np.float32]]]:
    """The same, `size` windows at a time: the windows and their samples, `float32 [n, 160000]`."""
    reading = read(windows)
    while chunk := list(itertools.islice(reading, size)):
        yield [window for window, _ in chunk], np.stack([samples for _, samples in chunk])
