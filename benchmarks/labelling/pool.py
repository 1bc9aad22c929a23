"""The planted world as a model hears it, dealt anew for each seed into recordings to label and unseen ones."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.labelling.world import KINDS, soundscape, species_in
from convert import SAMPLE_RATE
from runtime import run_soundscapes
from runtime.console.progress import progress_bar
from runtime.explore.rows import RowFile, open_runs

NAMES = tuple(KINDS)
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class World:
    """Rows of all soundscapes as perch-run wrote them, arrays by name; and which species each holds, `[rows, species]`.

    recordings: the number of each row's soundscape, int64 `[rows]`.
    """

    rows: Arrays
    truth: NDArray[np.bool_]
    recordings: NDArray[np.int64]


@dataclass(frozen=True)
class Deal:
    """The rows to label, and the embeddings and truth of the unseen ones."""

    file: RowFile
    truth: NDArray[np.bool_]
    unseen: NDArray[np.float32]
    unseen_truth: NDArray[np.bool_]

    def species(self, row: int) -> frozenset[str]:
        """What the oracle says of a row."""
        return frozenset(name for name, holds in zip(NAMES, self.truth[row], strict=True) if holds)


def make_world(model: Path, soundscapes: int, seconds: float = 60) -> World:
    """Makes the soundscapes and embeds them, as `perch-run --outputs embedding` does."""
    with tempfile.TemporaryDirectory(prefix="perch-labelling-") as made:
        folder, target = Path(made), Path(made, "rows.npz")
        scapes = {}
        with progress_bar(soundscapes, desc="soundscapes") as bar:
            for seed in range(soundscapes):
                scape = soundscape(seed, seconds)
                soundfile.write(folder / f"{seed:04}.flac", scape.samples, SAMPLE_RATE)
                scapes[f"{seed:04}"] = replace(scape, samples=np.empty(0, np.float32))
                bar.update()
        run_soundscapes(folder, model, outputs=["embedding"], sink=target)
        with np.load(target) as saved:
            rows = {name: saved[name] for name in saved.files}
    stems = [Path(path).stem for path in rows["path"]]
    held = [
        species_in(scapes[stem], start, end)
        for stem, start, end in zip(stems, rows["start_s"], rows["end_s"], strict=True)
    ]
    truth = np.array([[name in each for name in NAMES] for each in held])
    return World(rows, truth, np.array([int(stem) for stem in stems]))


def deal(world: World, seed: int, labelled: int, folder: Path) -> Deal:
    """Chooses so many soundscapes to label; the others are unseen.

    The random order of windows depends on their row_ids alone, so each seed gives them other ones.
    """
    order = np.random.default_rng(seed).permutation(int(world.recordings.max()) + 1)
    inside = np.isin(world.recordings, order[:labelled])
    rows = {name: values[inside] if values.ndim else values for name, values in world.rows.items()}
    rows["row_ids"] = np.array([f"{seed}-{row_id}" for row_id in rows["row_ids"]])
    target = folder / f"{seed}.npz"
    np.savez(target, allow_pickle=False, **rows)
    (file,) = open_runs([target], "embedding")
    embedding = world.rows["embedding"].astype(np.float32)
    return Deal(file, world.truth[inside], embedding[~inside], world.truth[~inside])
