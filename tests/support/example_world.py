"""The folder that examples of README and docs/ run in: small models, recordings, class lists, labels."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from convert.proof.synthetic import write_soundscape
from runtime import run_soundscapes
from runtime.model.artifact import read_artifact

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


def build(folder: Path, saved_model: Path, model: Path, v2: Path, v2_model: Path) -> Path:
    """Makes the folder, from the SavedModels of a Perch v1 and a v2 and what each was converted to."""
    shutil.copytree(saved_model, folder / "saved_model")
    shutil.copytree(v2, folder / "perch_v2")
    shutil.copy(model, folder / "perch.onnx")
    shutil.copy(v2_model, folder / "perch_v2.onnx")
    for seed, (name, seconds) in enumerate(RECORDINGS.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_soundscape(path, seed, seconds)
    rows = run_soundscapes(
        folder / "recordings",
        folder / "perch.onnx",
        outputs=("embedding", "label"),
        progress=False,
    )
    rows.to_parquet(folder / "out.parquet")
    codes = read_artifact(model).heads["label"].classes
    _write_competition(folder, codes[::4])
    _write_labels(folder / "labels.csv", rows.row_ids[:-2], codes)
    stems = [Path(name).stem for name in RECORDINGS if name.startswith("soundscapes_labelled/")]
    _write_labels(folder / "truth.csv", [f"{stem}_{end}" for stem in stems for end in (5, 10, 15)], codes)
    return folder


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
