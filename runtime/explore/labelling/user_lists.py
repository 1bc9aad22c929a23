"""Files of a user that the page starts with: labels in another form, and a list of windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError
from runtime.explore.label_files import ROW, read_labels
from runtime.explore.labelling.answer import COLUMNS, Answer, Kind, line_of, now
from runtime.explore.labelling.windows import Windows
from runtime.explore.sheet import read_sheet
from runtime.files import replacing


def import_labels(source: Path, target: Path, windows: Windows, labeller: str) -> int:
    """Writes the labels of another file as a new label file of the page; returns how many windows have some.

    Raises:
        InputError: the file cannot be read, labels none of the windows, or there is a label file already.
        OutputError: the new one cannot be written.
    """
    if target.exists():
        raise InputError(
            f"{target} is there already, and --import begins a new label file; name another one with --labels, or "
            "leave --import out"
        )
    labels = read_labels(source).among(windows.row_ids, windows.paths.tolist())
    labelled = {row_id: species for row_id in windows.row_ids if (species := labels.of(row_id)) is not None}
    if not labelled:
        like, some = next(iter(labels.rows)), windows.row_ids[0]
        raise InputError(f"{source} labels none of the windows: it has {like}, and they are called {some}")
    others = labels.rows.keys() - set(map(labels.key, labelled))
    labelled |= {row_id: labels.rows[row_id] for row_id in sorted(others)}
    time = now()

    def line(row_id: str, species: frozenset[str], kind: Kind) -> bytes:
        return Answer(row_id, tuple(sorted(species)), kind, "imported", labeller, time).line()

    with replacing(target) as temporary, temporary.open("wb") as file:
        file.write(line_of(COLUMNS))
        file.writelines(line(row_id, species, "labelled") for row_id, species in labelled.items())
        file.writelines(line(row_id, frozenset(), "unsure") for row_id in sorted(labels.unsure))
    return len(labelled)


def read_list(path: Path, windows: Windows) -> tuple[NDArray[np.int64], int]:
    """The windows that a CSV lists in its column `row_id`, each once, and how many it lists that are not there.

    Raises:
        InputError: it cannot be read, has no such column, or lists none of the windows.
    """
    sheet = read_sheet(path, "the list", {ROW}, "write the row_ids below the heading row_id")
    if ROW not in sheet.columns:
        named = ", ".join(name for name in sheet.header if name)
        raise InputError(f"{path} has no column row_id, but {named or 'none'}; write the row_ids below that heading")
    names = dict.fromkeys(cells[sheet.columns[ROW]] for _, cells in sheet.lines)
    numbers = [windows.number_of(name) for name in names if name]
    found = dict.fromkeys(number for number in numbers if number is not None)
    if not found:
        some = next(iter(names), "nothing")
        raise InputError(f"{path} lists none of the windows: it has {some}, and they are called {windows.row_ids[0]}")
    return np.array(list(found), np.int64), numbers.count(None)
