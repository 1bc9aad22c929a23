"""Files of rows with embeddings that tests choose, as perch-run writes them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.rows.block import Block, Columns
from runtime.rows.formats.parquet_file import write_parquet

ABOUT = {"saved_model_sha256": "a" * 64, "window_s": "5", "sample_rate": "32000", "hop_s": "5"}


def write_rows(
    path: Path,
    embedding: NDArray[np.float32],
    per_recording: int,
    label: NDArray[np.float32] | None = None,
    classes: Sequence[str] = (),
    status: Mapping[int, str] | None = None,
    about: Mapping[str, str] | None = None,
    first: int = 0,
    **options: object,
) -> Path:
    """Rows of recordings r0.wav, r1.wav, … (from `first` on) with so many windows each, in Parquet."""
    outputs = {"embedding": embedding} | ({} if label is None else {"label": label})
    shapes = {name: values.shape[1:] for name, values in outputs.items()}
    settings = {"options": json.dumps({"normalize": "raw", **options})}
    columns = Columns(shapes, {"label": tuple(classes)}, {**ABOUT, **settings, **(about or {})})
    statuses = np.full(len(embedding), "scored", "<U12")
    for row, what in (status or {}).items():
        statuses[row] = what
    unscored = ~np.isin(statuses, ("scored", "interpolated"))
    for name, values in outputs.items():
        outputs[name] = values.copy()
        outputs[name][unscored] = np.nan

    def blocks() -> Iterable[Block]:
        for start in range(0, len(embedding), per_recording):
            rows = slice(start, start + per_recording)
            starts = np.arange(len(embedding[rows])) * 5.0
            name = f"r{first + start // per_recording}"
            yield Block(
                f"site/{name}.wav",
                [f"{name}_{end:g}" for end in starts + 5],
                starts,
                starts + 5,
                statuses[rows],
                {key: values[rows] for key, values in outputs.items()},
            )

    with path.open("wb") as file:
        write_parquet(blocks(), file, columns)
    return path


def write_labels(path: Path, labels: Iterable[tuple[str, str]]) -> Path:
    """A label file of row_ids and species, separated by semicolons."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("row_id", "species"), *labels])
    return path


def npz_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """What an .npz holds, with the file closed again."""
    with np.load(path) as file:
        return dict(file)
