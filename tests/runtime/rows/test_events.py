from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import Detections, InputError
from runtime.rows.block import Block, Columns
from runtime.rows.formats.choice import choose_format

COLUMNS = Columns({"label": (2,)}, {"label": ("a", "b")}, {"sample_rate": "32000"})
SCORES = {
    "x": [[3, 0], [5, 9], [0, 2], [4, 0], [1, 7], [np.nan, np.nan], [8, 7]],
    "y": [[6, 0], [0, 0], [6, 6]],
}


def blocks(hop_s: float) -> list[Block]:
    """Rows of windows of 5 s; those of the first recording come in two parts."""
    made = []
    for name, rows in SCORES.items():
        scores = np.array(rows, np.float32)
        starts = np.arange(len(scores)) * hop_s
        status = np.where(np.isnan(scores[:, 0]), "failed", "scored")
        for part in (slice(0, 2), slice(2, None)):
            ids = [f"{name}_{start + 5:g}" for start in starts[part]]
            outputs = {"label": scores[part]}
            made.append(Block(f"{name}.wav", ids, starts[part], starts[part] + 5, status[part], outputs))
    return made


def by_hand(scores: NDArray[np.float64], hop_s: float, least: float, gap_s: float) -> list[tuple[object, ...]]:
    """Start, end, class, highest score and windows of each event, class by class."""
    events: list[tuple[object, ...]] = []
    for column, name in enumerate("ab"):
        high = [row for row in range(len(scores)) if scores[row, column] >= least]
        while high:
            run = [high.pop(0)]
            while high and high[0] * hop_s - (run[-1] * hop_s + 5) <= gap_s:
                run.append(high.pop(0))
            highest = max(scores[row, column] for row in run)
            events.append((run[0] * hop_s, run[-1] * hop_s + 5, name, highest, len(run)))
    return sorted(events, key=lambda event: (event[0], -event[3]))  # type: ignore[operator]


@pytest.mark.parametrize("hop_s", [5.0, 2.5])
@pytest.mark.parametrize("gap_s", [0.0, 4.9, 5.0, 60.0])
def test_consecutive_windows_of_a_class_are_one_event(tmp_path: Path, hop_s: float, gap_s: float) -> None:
    target, asked = tmp_path / "events.csv", Detections(min_score=3, merge_gap_s=gap_s)
    format = choose_format(target, asked)
    format.write(blocks(hop_s), target, COLUMNS, 0.0)
    with target.open(newline="") as file:
        found = [
            (row["path"], float(row["start_s"]), float(row["end_s"]), row["class"], float(row["score"]), row["windows"])
            for row in csv.DictReader(file)
        ]
    expected = [
        (f"{name}.wav", *event[:4], str(event[4]))
        for name, rows in SCORES.items()
        for event in by_hand(np.array(rows, float), hop_s, 3, gap_s)
    ]
    assert found == expected
    assert format.detected is not None
    assert format.detected.written == len(expected)
    assert format.detected.summary(asked).startswith(f"{len(expected)} events of 10 detections in 7 of 9 windows")


def test_every_table_has_events(tmp_path: Path) -> None:
    for form in ("raven", "audacity"):
        folder = tmp_path / form
        format = choose_format(folder, Detections(min_score=3, format=form, merge_gap_s=0))
        format.write(blocks(5), folder, COLUMNS, 0.0)
    with (tmp_path / "raven" / "x.selections.txt").open(newline="") as file:
        rows = [
            (row["Begin Time (s)"], row["End Time (s)"], row["Windows"]) for row in csv.DictReader(file, delimiter="\t")
        ]
    assert rows == [
        ("0", "10", "2"),
        ("5", "10", "1"),
        ("15", "20", "1"),
        ("20", "25", "1"),
        ("30", "35", "1"),
        ("30", "35", "1"),
    ]
    labels = (tmp_path / "audacity" / "y.txt").read_text().splitlines()
    assert labels[0] == "0.000000\t5.000000\ta 6 (1 window)"


@pytest.mark.parametrize("gap_s", [-1, float("nan"), "soon"])
def test_a_gap_is_a_length_of_time(gap_s: float) -> None:
    with pytest.raises(InputError, match="merge_gap_s is"):
        Detections(top=1, merge_gap_s=gap_s)
