"""What lies in files: rows that are written anew, and label files that name windows in ways of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.errors import InputError
from runtime.explore.label_files import read_labels
from runtime.explore.labelling.answer import Answer, now
from runtime.explore.labelling.journal import HEADER
from runtime.explore.labelling.learner import learn
from runtime.explore.labelling.learning_protocol import LearnJob
from runtime.explore.labelling.windows import Windows
from runtime.explore.rows import open_rows
from runtime.rows.block import Block, Columns
from runtime.rows.formats.parquet_file import write_parquet
from tests.support.labelling import Page, write_world
from tests.support.rows_files import ABOUT, write_rows


def test_rows_that_were_written_anew_are_not_mixed_with_those_that_are_shown(
    opened: Callable[..., Page], tmp_path: Path
) -> None:
    rows, _ = write_world(tmp_path, recordings=1)
    page = opened(rows=rows)
    (file,) = page.desk.windows.files
    (tmp_path / "new").write_bytes(rows.read_bytes())
    (tmp_path / "new").replace(rows)
    assert "out.parquet was written anew" in page.next("species", "banpit3")["why"]
    assert "out.parquet was written anew" in page.next("similar", "r0_5")["why"]
    with pytest.raises(InputError, match="written anew"):
        learn(LearnJob([rows], [file.stamp], tmp_path / "labels.csv", "labels.csv", 0.9, tmp_path / "target.npy"))


def test_windows_that_the_file_spells_differently_or_that_are_not_here_are_told_apart(
    opened: Callable[..., Page], world: tuple[Path, Any], tmp_path: Path
) -> None:
    names = ["r0_5.0", "R0_10", "site\\r0_15", "elsewhere_5"]
    lines = [Answer(name, ("alpha",), "labelled", "random", "they", now()).line() for name in names]
    (tmp_path / "labels.csv").write_bytes(HEADER + b"".join(lines))
    page = opened()
    assert page.get("state")["counts"] == {"labelled": 3, "unsure": 0, "random": 3}
    for key in ("0-0", "0-1", "0-2"):
        page.label(key, "beta", seen=page.get(f"window/{key}")["answer"])
    rows = open_rows(world[0])
    labels = read_labels(page.desk.journal.path).among(rows.row_ids.tolist(), rows.paths.tolist())
    assert labels.rows == {"r0_5": {"beta"}, "r0_10": {"beta"}, "r0_15": {"beta"}, "elsewhere_5": {"alpha"}}
    page.post("undo")
    assert opened().get("state")["keys"] == page.get("state")["keys"] == ["alpha", "beta"]


def test_a_name_that_begins_with_a_space_is_found_again_unless_it_would_mean_another_recording(
    opened: Callable[..., Page], tmp_path: Path
) -> None:
    names = [" a", " b", "b"]
    block = Block(
        "",
        [f"{name}_5" for name in names],
        *(np.zeros(3), np.full(3, 5.0), np.full(3, "scored")),
        {"label": np.zeros((3, 1), np.float32)},
        [f"{name}.wav" for name in names],
        {},
    )
    columns = Columns({"label": (1,)}, {"label": ("amerob",)}, ABOUT)
    with (tmp_path / "rows.parquet").open("wb") as file:
        write_parquet([block], file, columns)
    page = opened(rows=tmp_path / "rows.parquet", cannot="there is no embedding")
    page.label("0-0", "one", order={"id": "list"})
    page.label("0-2", "one", order={"id": "list"})
    assert "for another recording's" in page.label("0-1", "one", status=400)["error"]
    again = opened(rows=tmp_path / "rows.parquet", cannot="there is no embedding")
    assert [again.get(f"window/0-{row}")["answer"] is not None for row in range(3)] == [True, False, True]
    labels = read_labels(page.desk.journal.path).among([" a_5", " b_5", "b_5"], ["", "", ""])
    assert labels.rows.keys() == {" a_5", "b_5"}


def test_only_windows_that_were_scored_themselves_are_shown(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "out.parquet", np.ones((4, 3), np.float32), 4, status={1: "interpolated", 2: "failed"})
    assert Windows([open_rows(rows)], []).scored.tolist() == [True, False, False, True]
