"""The folder that examples of README and docs/ run in: a small model, recordings, class lists, labels."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import soundfile

from convert.conversion import convert
from convert.proof.synthetic import write_soundscape
from convert.untrained.perch import write_saved_model
from convert.untrained.recipe import TINY, ClassHead
from runtime import run_soundscapes
from runtime.explore.random_share import draw
from tests.support.planted import noise, plant
from tests.support.recordings import RATE

RECIPE = replace(
    TINY,
    classes=(*TINY.classes, ClassHead("family", "ebird2021_families", 5), ClassHead("order", "ebird2021_orders", 3)),
)
"""Perch v1 with the outputs of the published model."""

RECORDINGS = {
    "recordings/20240512_053000.WAV": 20,
    "recordings/20240512_060000.WAV": 15,
    "recordings/north/20240513_053000.flac": 12,
    "test_soundscapes/H02_20230420_074000.ogg": 15,
    "test_soundscapes/H02_20230420_112000.ogg": 10,
    "archive/site1/20240512_053000.WAV": 10,
    "archive/site1/20240512_060000.WAV": 10,
    "archive/site2/20240512_053000.WAV": 10,
    "xeno_canto/XC1234.ogg": 12,
    "soundscapes_labelled/H05_20230421_061000.ogg": 15,
    "soundscapes_labelled/H05_20230421_064000.ogg": 15,
}
"""Sound files and their seconds."""
UNKNOWN = "1139490"
"""An insect in the competition's classes; a bird model does not know it."""

SEASON, SEASON_WINDOWS, SEASON_RANDOM, SEASON_LABELLED = 8, 5, 24, 32
"""Recordings of `season/`, windows of each, and how many of them are labelled in random order and in all."""


def build(folder: Path) -> Path:
    """Makes the folder: a small Perch v1 with all its heads, what it is converted to, and a run of it."""
    with contextlib.chdir(folder):
        saved_model = write_saved_model("saved_model", RECIPE)
        convert(saved_model, "perch.onnx", progress=False)
        for seed, (name, seconds) in enumerate(RECORDINGS.items()):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            write_soundscape(Path(name), seed, seconds)
        rows = run_soundscapes("recordings", "perch.onnx", outputs=("embedding", "label"), progress=False)
        rows.to_parquet("out.parquet")
    codes = rows.classes["label"]
    _write_competition(folder, codes[::4])
    _write_labels(folder / "labels.csv", rows.row_ids[:-2], codes)
    stems = [Path(name).stem for name in RECORDINGS if name.startswith("soundscapes_labelled/")]
    _write_labels(folder / "truth.csv", [f"{stem}_{end}" for stem in stems for end in (5, 10, 15)], codes)
    _write_season(folder / "season", folder / "perch.onnx")
    return folder


def _write_season(folder: Path, model: Path) -> None:
    """Recordings with planted sounds, a run of them, and the journal of a labeller who knows the sounds.

    A frog calls in every other window, a bittern in three windows of all.
    """
    (folder / "recordings").mkdir(parents=True)
    held: dict[str, list[str]] = {}
    for recording in range(SEASON):
        stem, audio = f"2024060{recording + 1}_053000", noise(recording, 5 * SEASON_WINDOWS)
        for window in range(SEASON_WINDOWS):
            frog, bittern = (window + recording) % 2 == 1, window == 2 and recording in (1, 4, 6)
            plant(audio, [5 * window + 2.5] * frog, 4, (2000, 5000), decibels=20)
            plant(audio, [5 * window + 2.5] * bittern, 3, (150, 160), decibels=20)
            held[f"{stem}_{5 * window + 5}"] = ["tree frog"] * frog + ["bittern"] * bittern
        soundfile.write(folder / "recordings" / f"{stem}.WAV", audio, RATE)
    with contextlib.chdir(folder):
        rows = run_soundscapes("recordings", model, outputs=("embedding", "label"), progress=False)
        rows.to_parquet("out.parquet")
    order = sorted(held, key=draw)[:SEASON_LABELLED]
    sources = ["random"] * SEASON_RANDOM + ["worth"] * (SEASON_LABELLED - SEASON_RANDOM)
    _write(
        folder / "labels.csv",
        ["row_id", "species", "answer", "source", "labeller", "labelled_at"],
        (
            [row_id, ";".join(held[row_id]), "labelled", source, "ann", f"2024-07-01T09:{i:02d}:00.000Z"]
            for i, (row_id, source) in enumerate(zip(order, sources, strict=True))
        ),
    )


def _write_competition(folder: Path, codes: Sequence[str]) -> None:
    """A sample submission, whose rows name no recording (as on Kaggle before scoring), and its classes' taxonomy."""
    classes = [UNKNOWN, *codes]
    rows = ([f"soundscape_8358733_{end}", *[1 / len(classes)] * len(classes)] for end in (5, 10, 15))
    _write(folder / "sample_submission.csv", ["row_id", *classes], rows)
    taxa = ([code, code, "Insecta" if code == UNKNOWN else "Aves"] for code in classes)
    _write(folder / "taxonomy.csv", ["primary_label", "common_name", "class_name"], taxa)


def _write_labels(path: Path, row_ids: Sequence[str], codes: Sequence[str]) -> None:
    """Two species in turns, and nothing in every third window."""
    species = ("", codes[1], f"{codes[1]};{codes[2]}")
    _write(path, ["row_id", "species"], ([row, species[i % 3]] for i, row in enumerate(row_ids)))


def _write(path: Path, header: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(lines)
