"""Label files that say what was answered when: the last line of a window counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from runtime.errors import InputError
from runtime.explore.label_files import Labels, read_labels
from runtime.explore.labelled_rows import join
from runtime.explore.predictions import predict_unlabelled
from runtime.explore.random_share import draw, estimate
from runtime.explore.rows import open_rows
from tests.support.rows_files import write_rows

HEADER = "row_id,species,answer,source,labeller,labelled_at"
TIME = "2026-11-27T06:49:38.000Z"


def read(folder: Path, lines: Sequence[str], end: str = "\n") -> Labels:
    path = folder / "labels.csv"
    path.write_text("\n".join([HEADER, *(f"{line},ann,{TIME}" for line in lines)]) + end)
    return read_labels(path)


def test_the_last_line_of_a_window_counts(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        [
            "a_5,great tit,labelled,worth",
            "a_10,great tit;osprey,labelled,random",
            "a_15,,unsure,random",
            "a_20,osprey,labelled,species",
            "a_25,,labelled,list",
            "a_5,osprey,labelled,similar",
            "a_10,,unsure,worth",
            "a_15,Great Tit,Labelled,worth",
            "a_20,osprey,withdrawn,species",
            "a_30,,unsure,worth",
            "a_30,,withdrawn,worth",
        ],
    )
    assert found.rows == {"a_5": {"osprey"}, "a_15": {"great tit"}, "a_25": frozenset()}
    assert found.unsure == {"a_10"}
    assert found.random == {"a_10", "a_15"}
    assert found.of("a_20") is None


def test_lines_of_a_file_without_answers_add_up(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("row_id,species\na_5,great tit\na_5,osprey\na_10,unsure")
    found = read_labels(path)
    assert found.rows == {"a_5": {"great tit", "osprey"}, "a_10": {"unsure"}}
    assert not found.unsure


def test_answers_alone_name_no_species(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("row_id,answer,labeller\na_5,labelled,ann\na_10,unsure,ann\n")
    with pytest.raises(InputError, match="is no label file: its columns are row_id, answer, labeller"):
        read_labels(path)
    path.write_text("row_id,call,answer\na_5,frog,labelled\na_10,,unsure\n")
    found = read_labels(path)
    assert (found.rows, found.unsure) == ({"a_5": {"frog"}}, {"a_10"})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f"{HEADER}\na_5,x,perhaps,worth,ann,{TIME}\n", "line 2 of .*labels.csv has the answer 'perhaps'; write lab"),
        (f"{HEADER}\na_5,x,,worth,ann,{TIME}\n", "line 2 .* has the answer ''"),
        (
            f"{HEADER}\na_5,x,labelled,worth,ann,{TIME}\na_10,x,lab",
            "labels.csv ends within line 3: .* delete that line",
        ),
        (f"{HEADER}\na_5,x,labelled,worth,ann,2026-1", "ends within line 2"),
        (f"{HEADER}\na_5,x,labelled,worth,ann,{TIME}\na_10,mé", "ends within line 3"),
        (f'{HEADER}\na_5,x,labelled,worth,ann,{TIME}\n"a,b_10', "a quotation mark is not closed after line 2"),
        (f"{HEADER}\na_5,,unsure,worth,ann,{TIME}\n", "has no window with the answer labelled; label some"),
    ],
)
def test_what_a_journal_does_not_say_is_not_guessed(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode()[: -1 if text.endswith("é") else None])
    with pytest.raises(InputError, match=complaint):
        read_labels(path)


def test_a_window_of_two_names_is_refused(tmp_path: Path) -> None:
    found = read(tmp_path, ["A_5,x,labelled,random", "a_5.0,,unsure,worth", "B_5,x,labelled,random"])
    with pytest.raises(InputError, match="answers one window under 2 names; write a_5, as the rows do"):
        found.among(["a_5", "b_5"], ["a.wav", "b.wav"])
    found = read(tmp_path, ["x/a_5,x,labelled,random", "b_5,,labelled,list", "a_5,,withdrawn,random"])
    with pytest.raises(InputError, match="answers one window under 2 names; write a_5"):
        found.among(["a_5", "b_5"], ["x/a.wav", "x/b.wav"])
    found = read(tmp_path, ["A_5,x,labelled,random", "B_5.0,,unsure,random"]).among(["a_5", "b_5"], ["a.wav", "b.wav"])
    assert (found.rows, found.unsure, found.random) == ({"a_5": {"x"}}, {"b_5"}, {"a_5", "b_5"})


def test_unsure_windows_are_neither_learnt_from_nor_predicted(tmp_path: Path) -> None:
    embedding = np.arange(32, dtype=np.float32).reshape(8, 4)
    files = [open_rows(write_rows(tmp_path / "out.parquet", embedding, 4, status={5: "failed"}))]
    labels = read(tmp_path, ["r0_5,x,labelled,worth", "r1_5,,labelled,worth", "r0_10,,unsure,random"])
    joined = join(files, labels)
    assert joined.rows[0].tolist() == [0, 4]
    assert joined.answered[0].tolist() == [0, 1, 4]
    (part,) = predict_unlabelled(files, joined, lambda values: np.zeros((len(values), 1), np.float32))
    assert part.rows.tolist() == [2, 3, 6, 7]
    unknown = read(tmp_path, ["r0_5,x,labelled,worth", "r9_5,,unsure,worth"])
    with pytest.raises(InputError, match=r"1 of the 2 windows that .* labels are not among the rows \(r9_5\)"):
        join(files, unknown)
    assert join(files, unknown, skip_missing=True).skipped == 1


def test_rows_that_are_means_of_their_neighbours_are_no_windows_to_learn_from(tmp_path: Path) -> None:
    rows = write_rows(
        tmp_path / "out.parquet", np.ones((8, 4), np.float32), 4, status={1: "interpolated", 6: "interpolated"}
    )
    files = [open_rows(rows)]
    labels = read(tmp_path, ["r0_5,x,labelled,random", "r0_10,x,labelled,random", "r1_5,,labelled,worth"])
    joined = join(files, labels)
    assert ([each.tolist() for each in (*joined.rows, *joined.random)], joined.unscored) == ([[0, 4], [0]], 1)
    (part,) = predict_unlabelled(files, joined, lambda values: np.zeros((len(values), 1), np.float32))
    assert part.rows.tolist() == [2, 3, 5, 7]
    share = estimate(files, joined, joined.truth, joined.truth)
    assert share is not None and share.windows == 1 + (draw("r1_5") <= draw("r0_5"))


def test_draws_are_those_of_every_session() -> None:
    assert draw("a_5") == 14854626657314805121  # another number would reshuffle what people have labelled
    assert len({draw(f"a_{end}") for end in range(10_000)}) == 10_000
    # Names that differ little are drawn apart: the smallest hundredth holds about a hundredth of them.
    few = sum(draw(f"a_{end}") < 2**64 / 100 for end in range(10_000))
    assert 60 <= few <= 140
