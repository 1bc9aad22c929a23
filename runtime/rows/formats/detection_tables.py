"""Detections: the windows and classes that score highest, as tables that people and their programs open.

A CSV has the columns path, start_s, end_s, class, scientific_name, common_name, score, recorded_at and, where they are
asked for, site and windows. A Raven selection table (tab-separated) has the same in Raven's names. Audacity labels are
lines of start, end and text.
"""

from __future__ import annotations

import csv
import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from runtime.audio.channels import channel_of
from runtime.classes.species import Species, chosen_species
from runtime.console.log import log
from runtime.errors import InputError, counted
from runtime.files import check_folder, check_writable, make_folder, remove_leftovers, replacing
from runtime.model.heads import NO_CLASS
from runtime.request.detections import Detections
from runtime.rows.block import Block, Columns
from runtime.rows.formats.detection_counts import DetectionCounts
from runtime.rows.formats.events import Detection, merged
from runtime.rows.formats.format import Format
from runtime.rows.formats.least_scores import class_head, least_scores, threshold_remarks

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


MORE = {"recorded_at": "Recorded At", "site": "Site", "windows": "Windows", "occurrence": "Occurrence"}
"""Columns that tables have if they are asked for, by their names in a CSV, with those in Raven."""


class DetectionTables(Format):
    """One table, or a folder with a table for each recording, named like its rows.

    Raven and Audacity open a table beside one recording: several recordings need a folder.

    Raises:
        InputError: neither the name of `target` nor `asked` says which format.
    """

    every_row = False

    def __init__(self, asked: Detections, target: Path) -> None:
        ending = next((ending for ending in ENDINGS if target.name.lower().endswith(ending)), None)
        kind = asked.format or (ENDINGS[ending] if ending is not None else None)
        if kind is None:
            raise InputError(
                f"cannot tell what to write from the name {target}; end it in {', '.join(ENDINGS)}, or name a folder "
                "and the format, raven or audacity"
            )
        self._asked, self._kind = asked, kind
        self._write_table, self._ending = TABLES[kind]
        self._in_folder = kind != "csv" and ending is None
        self.detected: DetectionCounts = DetectionCounts()
        self._species: Species | None = None
        self._least = np.empty(0, np.float32)

    def check_columns(self, columns: Columns) -> None:
        head = class_head(columns, self._asked)
        classes = columns.classes[head]
        self._least = least_scores(columns, head, self._asked)
        before = self._species
        self._species = chosen_species(classes, columns.taxonomy, self._asked.species_list, self._asked.place)
        self.detected.remarks = [*threshold_remarks(columns, head, self._asked), *self._species.remarks]
        if self._species.warning and before is None:
            log.warning(self._species.warning)

    def files(self, target: Path, names: Iterable[str]) -> list[Path]:
        return [target / f"{name}{self._ending}" for name in names] if self._in_folder else [target]

    def check_target(self, target: Path, names: Sequence[str]) -> None:
        if self._in_folder:
            _check_names(target, [Path(f"{name}{self._ending}") for name in names])
            check_folder(target)
            return
        if self._kind != "csv" and len(names) > 1:
            raise InputError(
                f"{target} would be for {len(names)} recordings, but {self._kind} opens one beside each; name a folder "
                f"instead: `-o {target.name.partition('.')[0]} --format {self._kind}`"
            )
        check_writable(target)

    def write(self, blocks: Iterable[Block], target: Path, columns: Columns, fill: float) -> None:
        self.detected.clear()
        if self._in_folder:
            self._write_folder(blocks, target, columns)
            return
        with replacing(target) as temporary:
            self._write_file(blocks, temporary, columns)

    def _write_folder(self, blocks: Iterable[Block], folder: Path, columns: Columns) -> None:
        entered: set[Path] = set()
        for name, parts in itertools.groupby(
            (block for block in blocks if len(block) and block.path), lambda block: block.name
        ):
            path = folder / f"{name}{self._ending}"
            if path.parent not in entered:
                make_folder(path.parent)
                remove_leftovers(path.with_name(TEMPORARY))
                entered.add(path.parent)
            with replacing(path, TEMPORARY) as temporary:  # a longer name might be too long with what is put around it
                self._write_file(parts, temporary, columns)
        make_folder(folder)

    def _write_file(self, blocks: Iterable[Block], path: Path, columns: Columns) -> None:
        # names of files need not be UTF-8
        with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            detections = self._detect(blocks, columns)
            if self._asked.merge_gap_s is not None:
                detections = self.detected.counting(merged(detections, self._asked.merge_gap_s))
            more = ["channel"] if columns.by_channel and self._kind == "csv" else []
            more += [*columns.more, *([] if self._asked.merge_gap_s is None else ["windows"])]
            more += [] if self._asked.geomodel is None else ["occurrence"]
            self._write_table(detections, file, columns, more)

    def _detect(self, blocks: Iterable[Block], columns: Columns) -> Iterator[Detection]:
        """The detections, window by window, the highest score first in each."""
        head = class_head(columns, self._asked)
        classes = columns.classes[head]
        taxa = [columns.taxonomy[name] for name in classes]
        if self._species is None:
            self.check_columns(columns)
        assert self._species is not None
        eligible = self._species.allowed & (np.array(classes) != NO_CLASS)
        eligible[list(columns.constants.get(head, ()))] = False
        by_channel = columns.by_channel
        for block in blocks:
            whens, sites = block.recorded_at, block.site
            for row in np.flatnonzero(block.holds(head)).tolist():
                scores = block.outputs[head][row]
                times = float(block.start_s[row]), float(block.end_s[row])
                chosen = self._highest(scores, eligible)
                self.detected.detections += len(chosen)
                self.detected.windows += bool(chosen)
                self.detected.best_scores.append(float(scores.max(where=eligible, initial=-np.inf)))
                channel = channel_of(block.row_ids[row]) if by_channel else None
                for i in chosen:
                    name, taxon, score = classes[i], taxa[i], float(scores[i])
                    occurs = _probability(self._species.occurrence[i])
                    yield Detection(block.path, *times, name, taxon, score, 1, channel, whens[row], sites[row], occurs)

    def _highest(self, scores: NDArray[np.float32], eligible: NDArray[np.bool_]) -> list[int]:
        """The columns of a window's detections, the highest score first; only `eligible` columns have any."""
        chosen = np.flatnonzero(eligible & (scores >= self._least))
        if self._asked.top is not None and self._asked.top < len(chosen):  # sorting thousands of classes takes its time
            chosen = chosen[scores[chosen] >= np.partition(scores[chosen], -self._asked.top)[-self._asked.top]]
        order: list[int] = chosen[np.argsort(-scores[chosen], kind="stable")].tolist()
        return order[: self._asked.top]


def _check_names(target: Path, files: Sequence[Path]) -> None:
    """Refuses files that a folder cannot hold."""
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


def _probability(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4g}"


def _write_csv(detections: Iterable[Detection], file: IO[str], columns: Columns, more: Sequence[str]) -> None:
    table = csv.writer(file, lineterminator="\n")
    table.writerow(("path", "start_s", "end_s", "class", "scientific_name", "common_name", "score", *more))
    for each in detections:
        names = each.name, each.taxon.scientific_name, each.taxon.common_name
        rest = (getattr(each, name) for name in more)
        table.writerow((each.path, f"{each.start_s:.10g}", f"{each.end_s:.10g}", *names, f"{each.score:.9g}", *rest))


def _write_raven(detections: Iterable[Detection], file: IO[str], columns: Columns, more: Sequence[str]) -> None:
    nyquist, channel = int(columns.about["sample_rate"]) // 2, columns.scored_channel
    file.write("\t".join([*RAVEN, *(MORE[name] for name in more)]) + "\n")
    for number, each in enumerate(detections, 1):
        start, end = f"{each.start_s:.10g}", f"{each.end_s:.10g}"
        names = each.name, each.taxon.scientific_name, each.taxon.common_name
        cells = (
            number,
            "Spectrogram 1",
            each.channel or channel,
            start,
            end,
            0,
            nyquist,
            each.path,
            start,
            *names,
            f"{each.score:.9g}",
        )
        rest = ("" if (value := getattr(each, name)) is None else value for name in more)
        file.write("\t".join(one_line(str(cell)) for cell in (*cells, *rest)) + "\n")


def _write_audacity(detections: Iterable[Detection], file: IO[str], columns: Columns, more: Sequence[str]) -> None:
    for each in detections:
        name = each.taxon.common_name or each.taxon.scientific_name or each.name
        unknown = " (not filtered)" if "occurrence" in more and not each.occurrence else ""
        windows = f" ({counted(each.windows, 'window')})" if "windows" in more else ""
        file.write(f"{each.start_s:.6f}\t{each.end_s:.6f}\t{one_line(name)} {each.score:.3g}{windows}{unknown}\n")


def one_line(text: str) -> str:
    """A cell of a table that knows no quotes."""
    return " ".join(text.split())


TABLES: dict[str, tuple[Callable[[Iterable[Detection], IO[str], Columns, Sequence[str]], None], str]] = {
    "csv": (_write_csv, ".csv"),
    "raven": (_write_raven, ".selections.txt"),
    "audacity": (_write_audacity, ".txt"),
}
"""What writes a table, and how the name of one in a folder ends."""
