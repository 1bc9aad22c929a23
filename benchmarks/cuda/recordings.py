"""Recordings by format: the user's own, or synthetic ones; and as many of them as a measurement needs."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from convert.proof.synthetic import write_soundscape
from runtime.audio.paths import find_recordings
from runtime.audio.recording import Recording
from runtime.cores import usable_cores
from runtime.model.artifact import Artifact

FORMATS = ("wav", "flac", "ogg")
DISTINCT, MINUTE_S = 8, 60.0
"""How many synthetic recordings of a format differ, and how long each is. The others are links to these, which take as
long to decode and to score."""


def by_format(
    kinds: Sequence[str], audio: Path | None, made: Path, distinct: int = DISTINCT
) -> Mapping[str, Sequence[Path]]:
    """Recordings of formats: those in the folder `audio`, and `distinct` synthetic ones in `made` of each it lacks."""
    found = () if audio is None else find_recordings([audio]).paths
    own = {kind: [path for path in found if isinstance(path, Path) and _kind(path) == kind] for kind in kinds}
    missing = [kind for kind in kinds if not own[kind]]
    paths = {kind: [made / f"{seed}.{kind}" for seed in range(distinct)] for kind in missing}
    made.mkdir(exist_ok=True)
    with ThreadPoolExecutor(usable_cores()) as pool:
        tasks = [(path, seed) for each in paths.values() for seed, path in enumerate(each) if not path.exists()]
        list(pool.map(lambda task: write_soundscape(task[0], task[1], MINUTE_S), tasks))
    return {**own, **paths}


def enough(recordings: Sequence[Path], windows: float, artifact: Artifact, folder: Path) -> tuple[Path, ...]:
    """Links in `folder` to these recordings, under names of their own: at least so many windows."""
    counts = [_windows(path, artifact) for path in recordings]
    chosen, total = [], 0
    for i in itertools.cycle(range(len(recordings))):
        chosen.append(recordings[i])
        total += counts[i]
        if total >= windows or (len(chosen) == len(recordings) and not any(counts)):
            break
    folder.mkdir(exist_ok=True)
    return tuple(_linked(path, folder / f"{i:06d}{path.suffix}") for i, path in enumerate(chosen))


def _kind(path: Path) -> str:
    return path.suffix.lower().removeprefix(".")


def _windows(path: Path, artifact: Artifact) -> int:
    return Recording(path, artifact.sample_rate, artifact.window_samples).promised_windows() or 0


def _linked(path: Path, link: Path) -> Path:
    if not link.exists():
        try:
            os.link(path, link)
        except OSError:  # as between drives
            link.symlink_to(path.absolute())
    return link
