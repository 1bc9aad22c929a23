"""Clips for a page: the spectrogram and the sound of some windows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.audio.channels import Channel
from runtime.console.progress import progress_bar
from runtime.cores import usable_cores
from runtime.errors import RecordingError
from runtime.explore.pictures.sound import MIME, encode, read
from runtime.explore.pictures.spectrogram import data_uri, power, spectrogram
from runtime.remote import Location

AHEAD = 64
"""Most clips in work at once, to bound memory."""
Excerpt = tuple[Location, float, float, Channel]
"""A recording, from where to where in it, in seconds, and the channel."""


@dataclass(frozen=True)
class Clip:
    """A window's spectrogram and sound as data URIs."""

    picture: str
    sound: str


def spread(among: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """`count` of these (all, if there are fewer), evenly spaced."""
    if count >= len(among):
        return among
    return among[np.floor((np.arange(count) + 0.5) * len(among) / count).astype(np.int64)] if count else among[:0]


def make_clips(windows: Mapping[int, Excerpt]) -> tuple[dict[int, Clip], dict[Location, str]]:
    """Clips of windows, and for each unreadable recording the reason."""
    clips: dict[int, Clip] = {}
    failures: dict[Location, str] = {}
    items = list(windows.items())
    with ThreadPoolExecutor(usable_cores()) as threads, progress_bar(len(items), desc="clips") as bar:
        for i in range(0, len(items), AHEAD):
            some = items[i : i + AHEAD]
            for (key, (path, *_)), clip in zip(some, threads.map(_clip, (window for _, window in some)), strict=True):
                bar.update()
                if isinstance(clip, Clip):
                    clips[key] = clip
                else:
                    failures.setdefault(path, clip)
    return clips, failures


def _clip(window: Excerpt) -> Clip | str:
    path, start_s, end_s, channel = window
    try:
        samples = read(path, start_s, end_s - start_s, channel=channel)
    except RecordingError as error:
        return str(error)
    return Clip(data_uri("image/png", spectrogram(power(samples))), data_uri(MIME, encode(samples)))


def describe_missing(missing: Iterable[str], failures: Mapping[Location, str]) -> str:
    """One line about recordings that are missing or cannot be read; empty if there are none."""
    parts = []
    if lost := sorted(missing):
        parts.append(
            f"recordings not found: {len(lost)}, the first is {lost[0]} (say where they are with --audio FOLDER)"
        )
    if failures:
        path, why = next(iter(failures.items()))
        parts.append(f"recordings that cannot be read: {len(failures)}, the first is {path}, which {why}")
    return "; ".join(parts)
