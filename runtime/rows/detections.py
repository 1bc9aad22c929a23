"""Detections: the windows and classes that score highest, as a table that people and their programs open.

A CSV has the columns path, start_s, end_s, class, scientific_name, common_name and score; a Raven selection table
(tab-separated) the same in Raven's names; Audacity labels are lines of start, end and text.
"""

from __future__ import annotations

import csv
import itertools
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from runtime.classes.taxonomy import Taxon
from runtime.detections import Detections
from runtime.errors import InputError
from runtime.files import make_folder, remove_leftovers, replacing
from runtime.model.heads import NO_CLASS
from runtime.rows.block import Block, Columns

Write = Callable[[Iterable[Block], Path, Columns, float], None]

TEMPORARY = "detections"
MOST_NAME = 255
"""Bytes of a name in any usual file system."""
ENDINGS = {".selections.txt": "raven", ".txt": "audacity", ".csv": "csv"}
RAVEN = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Begin Path",
    "File Offset (s)",
    "Class",
    "Scientific Name",
    "Common Name",
    "Score",
)


@dataclass(frozen=True)
class Detection:
    """A class in a window."""

    path: str
    start_s: float
    end_s: float
    name: str
    taxon: Taxon
    score: float


@dataclass
class Tally:
    """What a table of detections came to: how many there are, and the best score of each window that has any."""

    detections: int = 0
    windows: int = 0
    """Windows with a detection."""
    best: array[float] = field(default_factory=lambda: array("f"))

    def clear(self) -> None:
        self.detections, self.windows, self.best = 0, 0, array("f")

    def summary(self, asked: Detections) -> str:
        """How many there are; where no window has one, or every one, what a better threshold may be."""
        if not self.best:
            return "no detections: no window was scored"
        if self.detections:
            text = f"{self.detections} detections in {self.windows} of {len(self.best)} windows"
        else:
            text = f"no detections: none of {len(self.best)} windows has one"
        if asked.min_score is None or 0 < self.windows < len(self.best):
            return text
        few, many = np.quantile(self.best, (0.99, 0.9)).tolist()
        why = "every window has one" if self.windows else f"the highest score is {max(self.best):.4g}"
        return (
            f"{text}; {why}. 1% of the windows have a score from {few:.4g} on, 10% from {many:.4g} on: "
            f"try --min-score {few:.4g} (Detections(min_score={few:.4g}))"
        )


def detections_writer(
    asked: Detections, target: Path, columns: Columns, recordings: int, tally: Tally
) -> tuple[Write, str | None]:
    """What writes the detections of so many recordings, and keeps a tally; if to a folder, how the files in it end.

    Raven and Audacity open a table beside one recording: for several there is a folder with a file for each, named
    like its rows.

    Raises:
        InputError: the ending says no format; there are several recordings for one file; or not one class head.
    """
    _head(columns)
    form, ending = _form(asked, target)
    write, own_ending = TABLES[form]

    def write_file(blocks: Iterable[Block], path: Path, columns: Columns, fill: float) -> None:
        # names of files need not be UTF-8
        with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            write(_found(asked, blocks, columns, tally), file, columns)

    def write_one(blocks: Iterable[Block], path: Path, columns: Columns, fill: float) -> None:
        tally.clear()
        write_file(blocks, path, columns, fill)

    def write_folder(blocks: Iterable[Block], folder: Path, columns: Columns, fill: float) -> None:
        tally.clear()
        entered: set[Path] = set()
        for name, parts in itertools.groupby((block for block in blocks if len(block) and block.path), _name):
            path = folder / f"{name}{own_ending}"
            if path.parent not in entered:
                make_folder(path.parent)
                remove_leftovers(path.with_name(TEMPORARY))
                entered.add(path.parent)
            with replacing(path, TEMPORARY) as temporary:  # a longer name might not go with what is put around it
                write_file(parts, temporary, columns, fill)
        make_folder(folder)

    if form == "csv" or (ending is not None and recordings <= 1):
        return write_one, None
    if ending is None:
        return write_folder, own_ending
    raise InputError(
        f"{target} would be for {recordings} recordings, but {form} opens one beside each; name a folder instead: "
        f"`-o {target.name.partition('.')[0]} --format {form}`"
    )


def check_names(asked: Detections, target: Path, names: Sequence[str]) -> None:
    """Finds out before the work whether a folder could hold a file for each recording, called like its rows.

    Raises:
        InputError: it could not.
    """
    form, ending = _form(asked, target)
    if form == "csv" or ending is not None:
        return
    files = [Path(f"{name}{TABLES[form][1]}") for name in names]
    folders = {parent for file in files for parent in file.parents}
    for file in files:
        if any(len(os.fsencode(part)) > MOST_NAME for part in file.parts):
            raise InputError(
                f"{target} cannot hold {file}, a name of more than {MOST_NAME} bytes; rename the recording, or "
                "write a .csv"
            )
        if file in folders or os.path.isdir(target / file):
            raise InputError(f"{target / file} would be a file and a folder at once; name another folder")
    for folder in folders:
        if os.path.lexists(target / folder) and not os.path.isdir(target / folder):
            raise InputError(f"{target / folder} would be a folder, and a file is there; name another folder")


def _form(asked: Detections, target: Path) -> tuple[str, str | None]:
    """What is written, and the ending that the name of a single file has."""
    ending = next((ending for ending in ENDINGS if target.name.lower().endswith(ending)), None)
    form = asked.format or (ENDINGS[ending] if ending else None)
    if form is None:
        raise InputError(
            f"cannot tell what to write from the name {target}; end it in {', '.join(ENDINGS)}, or name a folder "
            "and the format, raven or audacity"
        )
    return form, ending


def _found(asked: Detections, blocks: Iterable[Block], columns: Columns, tally: Tally) -> Iterator[Detection]:
    """The detections, window by window, of each the highest first."""
    name = _head(columns)
    classes = columns.classes[name]
    taxa = [columns.taxonomy[known] for known in classes]
    known = np.ones(len(classes), bool)
    known[list(columns.constants)] = False
    known &= np.array(classes) != NO_CLASS
    for block in blocks:
        for row in np.flatnonzero(block.holds(name)):
            scores = block.outputs[name][row]
            times = float(block.start_s[row]), float(block.end_s[row])
            chosen = _chosen(asked, scores, known)
            tally.detections += len(chosen)
            tally.windows += bool(chosen)
            tally.best.append(float(scores.max(where=known, initial=-np.inf)))
            for i in chosen:
                yield Detection(block.path, *times, classes[i], taxa[i], float(scores[i]))


def _chosen(asked: Detections, scores: NDArray[np.float32], known: NDArray[np.bool_]) -> list[int]:
    """The classes of a window that are detections, the highest first."""
    least = -np.inf if asked.min_score is None else asked.min_score
    chosen = np.flatnonzero(known & (scores >= least))
    if asked.top is not None and asked.top < len(chosen):  # sorting thousands of classes would take its time
        chosen = chosen[scores[chosen] >= np.partition(scores[chosen], -asked.top)[-asked.top]]
    order: list[int] = chosen[np.argsort(-scores[chosen], kind="stable")].tolist()
    return order[: asked.top]


def _name(block: Block) -> str:
    """What a recording's rows are called."""
    return block.row_ids[0].rpartition("_")[0]


def _head(columns: Columns) -> str:
    """The output that detections are of."""
    heads = [name for name in columns.shapes if columns.classes.get(name)]
    if len(heads) != 1:
        raise InputError(f"detections are of one output with classes, not {', '.join(columns.shapes)}; ask for label")
    return heads[0]


def _write_csv(detections: Iterable[Detection], file: IO[str], columns: Columns) -> None:
    table = csv.writer(file, lineterminator="\n")
    table.writerow(("path", "start_s", "end_s", "class", "scientific_name", "common_name", "score"))
    for found in detections:
        names = found.name, found.taxon.scientific_name, found.taxon.common_name
        table.writerow((found.path, f"{found.start_s:.10g}", f"{found.end_s:.10g}", *names, f"{found.score:.9g}"))


def _write_raven(detections: Iterable[Detection], file: IO[str], columns: Columns) -> None:
    nyquist = int(columns.about["sample_rate"]) // 2
    file.write("\t".join(RAVEN) + "\n")
    for number, found in enumerate(detections, 1):
        start, end = f"{found.start_s:.10g}", f"{found.end_s:.10g}"
        names = found.name, found.taxon.scientific_name, found.taxon.common_name
        cells = (number, "Spectrogram 1", 1, start, end, 0, nyquist, found.path, start, *names, f"{found.score:.9g}")
        file.write("\t".join(_one_line(str(cell)) for cell in cells) + "\n")


def _write_audacity(detections: Iterable[Detection], file: IO[str], columns: Columns) -> None:
    for found in detections:
        name = found.taxon.common_name or found.taxon.scientific_name or found.name
        file.write(f"{found.start_s:.6f}\t{found.end_s:.6f}\t{_one_line(name)} {found.score:.3g}\n")


def _one_line(text: str) -> str:
    """A cell of a table that knows no quotes."""
    return " ".join(text.split())


TABLES = {
    "csv": (_write_csv, ".csv"),
    "raven": (_write_raven, ".selections.txt"),
    "audacity": (_write_audacity, ".txt"),
}
