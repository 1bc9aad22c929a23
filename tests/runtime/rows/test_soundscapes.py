"""The result of a run in memory: what a user writes into it is what files get."""

from __future__ import annotations

import copy
import csv
import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pandas
import polars
import pyarrow.parquet as pq
import pytest

from runtime import Detections, InputError, Soundscapes
from runtime.rows.block import Block, Columns
from runtime.rows.summary import RunSummary
from tests.support.rows_files import npz_arrays

ABOUT = {"sample_rate": "32000"}
TIMING = dict.fromkeys(("elapsed_s", "start_up_s", "windows_per_s", "times_real_time"), 1.0)
TIMING |= dict.fromkeys(("device", "workers", "threads", "batch_size", "setup"), "x")  # type: ignore[arg-type]


@pytest.fixture
def soundscapes() -> Soundscapes:
    """Two recordings of three and two rows; the last row of the first was not reached."""
    label = np.arange(15, dtype=np.float32).reshape(5, 3)
    label[2] = np.nan
    embedding = np.where(np.isnan(label[:, :1]), np.nan, 7).astype(np.float16) * np.ones(4, np.float16)
    status = np.array(["scored", "scored", "filled", "scored", "scored"], "<U12")
    blocks = []
    for name, first, last in (("a", 0, 3), ("b", 3, 5)):
        at, starts = slice(first, last), np.arange(last - first) * 5.0
        outputs = {"label": label[at], "embedding": embedding[at]}
        row_ids = [f"{name}_{end:g}" for end in starts + 5]
        blocks.append(Block(f"{name}.wav", row_ids, starts, starts + 5, status[at], outputs))
    classes = {"label": ("x", "y", "z"), "embedding": ()}
    columns = Columns({"label": (3,), "embedding": (4,)}, classes, ABOUT, {"embedding": "float16"})
    report = RunSummary(timing=TIMING, counts={"scored": 4, "filled": 1}, recordings=2)
    return Soundscapes._of(blocks, columns, report)


def numbers(path: Path) -> np.ndarray:
    with path.open(newline="") as file:
        return np.array([row[1:] for row in csv.reader(file)][1:], np.float32)


def test_one_of_several_outputs(tmp_path: Path, soundscapes: Soundscapes) -> None:
    with pytest.raises(InputError, match=r"holds one output, not label, embedding; say which, such as output='label'"):
        soundscapes.to_submission(tmp_path / "out.csv")
    with pytest.raises(InputError, match=r"'genus' was not asked for; there are label, embedding"):
        soundscapes.to_submission(tmp_path / "out.csv", output="genus")
    assert not list(tmp_path.iterdir())
    soundscapes.to_submission(tmp_path / "out.csv", output="label")
    assert (tmp_path / "out.csv").read_text() == (
        "row_id,x,y,z\na_5,0,1,2\na_10,3,4,5\na_15,-1000,-1000,-1000\nb_5,9,10,11\nb_10,12,13,14\n"
    )
    soundscapes.to_submission(tmp_path / "out.csv", output="embedding")
    assert (tmp_path / "out.csv").read_text().startswith("row_id,e0,e1,e2,e3\na_5,7,7,7,7\n")


@pytest.mark.parametrize("asked", [True, False])
def test_scores_that_are_edited_are_written(tmp_path: Path, soundscapes: Soundscapes, asked: bool) -> None:
    """Also those of a row that had none; and also what was written into a block before anybody asked for arrays."""
    if asked:
        soundscapes["label"][1:3] = [[-1, -2, -3], [5, 6, 7]]
        soundscapes["label"] *= 2
        soundscapes["label"][4] = np.nan
    else:
        soundscapes._blocks[0].outputs["label"][1:3] = [[-2, -4, -6], [10, 12, 14]]
        soundscapes._blocks[0].outputs["label"][0] *= 2
        soundscapes._blocks[1].outputs["label"][0] *= 2
        soundscapes._blocks[1].outputs["label"][1] = np.nan
    expected = np.array([[0, 2, 4], [-2, -4, -6], [10, 12, 14], [18, 20, 22], [np.nan] * 3], np.float32)
    soundscapes.to_submission(tmp_path / "out.csv", output="label")
    np.testing.assert_array_equal(numbers(tmp_path / "out.csv"), np.nan_to_num(expected, nan=-1000))
    soundscapes.to_npz(tmp_path / "out.npz")
    soundscapes.to_parquet(tmp_path / "out.parquet")
    np.testing.assert_array_equal(npz_arrays(tmp_path / "out.npz")["label"], expected)
    table = pq.read_table(tmp_path / "out.parquet")
    written = [[np.nan] * 3 if row is None else row for row in table["label"].to_pylist()]
    np.testing.assert_array_equal(np.array(written, np.float32), expected)
    assert table["embedding"].to_pylist() == [[7] * 4, [7] * 4, None, [7] * 4, [7] * 4]
    assert table["status"].to_pylist() == ["scored", "scored", "filled", "scored", "scored"]
    soundscapes._columns = soundscapes._columns.only("label")
    soundscapes.to_detections(tmp_path / "found.csv", Detections(top=1))
    with (tmp_path / "found.csv").open(newline="") as file:
        found = [(row["path"], row["end_s"], row["class"], row["score"]) for row in csv.DictReader(file)]
    assert found == [
        ("a.wav", "5", "z", "4"),
        ("a.wav", "10", "x", "-2"),
        ("a.wav", "15", "z", "14"),
        ("b.wav", "5", "z", "22"),
    ]


def test_arrays_cannot_be_replaced_unnoticed(soundscapes: Soundscapes) -> None:
    soundscapes["label"] = np.ones((5, 3))
    assert soundscapes._blocks[1].outputs["label"].tolist() == [[1] * 3] * 2
    with pytest.raises(TypeError):
        soundscapes.outputs["label"] = np.zeros((5, 3))  # type: ignore[index]
    with pytest.raises(InputError, match=r"shape \(3,\), but its rows and columns are \(5, 3\)"):
        soundscapes["label"] = [1, 2, 3]


def test_scores_of_somebody_elses(tmp_path: Path, soundscapes: Soundscapes) -> None:
    mean = np.arange(15, dtype=np.float64).reshape(5, 3) / 3
    mean[3] = np.nan
    soundscapes.to_submission(tmp_path / "out.csv", scores=mean)
    expected = np.nan_to_num(mean.astype(np.float32), nan=-1000)
    np.testing.assert_array_equal(numbers(tmp_path / "out.csv"), expected)
    assert np.isnan(soundscapes["label"][2]).all()  # what is here stays
    soundscapes.to_submission(tmp_path / "list.csv", output="label", scores=mean.tolist())
    assert (tmp_path / "list.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()


def test_scores_of_a_data_frame_go_where_its_names_say(tmp_path: Path, soundscapes: Soundscapes) -> None:
    values = np.arange(15, dtype=np.float64).reshape(5, 3)
    frame = pandas.DataFrame(values, soundscapes.row_ids, ["x", "y", "z"])
    turned = frame.loc[["b_10", "a_5", "a_15", "b_5", "a_10"], ["z", "x", "y"]]
    texts = pandas.DataFrame(
        values, [*map(str, soundscapes.row_ids)], columns=pandas.Index(["x", "y", "z"], dtype="string")
    )
    for given in (frame, turned, turned.rename_axis("row_id").reset_index(), pandas.DataFrame(values), texts):
        soundscapes.to_submission(tmp_path / "out.csv", "label", given)
        np.testing.assert_array_equal(numbers(tmp_path / "out.csv"), values)
    soundscapes["label"] = turned
    np.testing.assert_array_equal(soundscapes["label"], values)
    soundscapes["embedding"] = pandas.DataFrame(values[:, [0, 1, 2, 0]], columns=["e3", "e1", "e0", "e2"])
    np.testing.assert_array_equal(soundscapes["embedding"], values[:, [2, 1, 0, 0]])


def test_a_mask_is_no_score(tmp_path: Path, soundscapes: Soundscapes) -> None:
    scores = np.ma.masked_array(np.ones((5, 3), int), np.eye(5, 1) == np.ones(3))
    soundscapes.to_submission(tmp_path / "out.csv", "label", scores)
    assert numbers(tmp_path / "out.csv")[:, 0].tolist() == [-1000, 1, 1, 1, 1]


FRAME = pandas.DataFrame(np.zeros((5, 3)), ["a_5", "a_10", "a_15", "b_5", "b_10"], ["x", "y", "z"])


def test_a_data_frame_holds_names_that_are_not_utf_8(soundscapes: Soundscapes) -> None:
    first = soundscapes._blocks[0]
    soundscapes._blocks[0] = replace(first, path="caf\udce9.wav", row_ids=[f"caf\udce9_{i}" for i in (5, 10, 15)])
    frame = soundscapes.to_dataframe("label")
    assert (frame["row_id"][0], frame["path"][0]) == ("caf\\xe9_5", "caf\\xe9.wav")
    soundscapes["label"] = frame.iloc[::-1][["row_id", "x", "y", "z"]]
    np.testing.assert_array_equal(soundscapes["label"], frame[["x", "y", "z"]])


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (
            np.zeros((4, 3)),
            r"the scores given for 'label' have the shape \(4, 3\), but its rows and columns are \(5, 3\)",
        ),
        (np.zeros((5, 4)), r"the shape \(5, 4\)"),
        (
            np.where(np.eye(5, 3), np.nan, 1),
            r"the score of 'x' in the row a_5 is nan; a row holds finite numbers, or NaN",
        ),
        (np.where(np.eye(5, 3, -3), np.inf, 1), r"the score of 'x' in the row b_5 is inf"),
        ([["a", "b", "c"]] * 5, "are not an array of numbers"),
        (np.full((5, 3), 1j), "are not an array of numbers"),
        (np.full((5, 3), "2026-01-01", "datetime64[s]"), "are not an array of numbers"),
        (np.full((5, 3), 1e300), r"the score of 'x' in the row a_5 is inf"),
        ([[1, 2, 3], [1]], "are not an array of numbers"),
        (FRAME.rename(columns={"y": "w"}), "the scores given for 'label' lack the column y"),
        (FRAME.assign(path="a.wav"), "'label' have the column path, which the output lacks"),
        (FRAME.iloc[[0, 1, 2, 3]], "'label' lack the row b_10"),
        (FRAME.set_axis(["a_5", "a_10", "a_15", "b_5", pandas.NA]), "'label' lack the row b_10"),
        (FRAME.set_axis([False, True, "z"], axis=1), "'label' lack the column x, y"),
        (FRAME.iloc[[4, 0, 1, 2, 3, 3]], "'label' repeat the row b_5"),
        (pandas.DataFrame(FRAME.to_numpy()).sort_index(ascending=False), "'label' lack the row a_5, a_10"),
        (polars.DataFrame({"z": [0.0] * 5, "x": [0.0] * 5, "y": [0.0] * 5}), "a table that is not pandas'"),
    ],
)
def test_scores_that_no_submission_holds(
    tmp_path: Path, soundscapes: Soundscapes, scores: object, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        soundscapes.to_submission(tmp_path / "out.csv", "label", scores)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_edits_that_no_submission_holds(tmp_path: Path, soundscapes: Soundscapes) -> None:
    soundscapes["label"][3, 1] = np.nan
    with pytest.raises(InputError, match=r"the score of 'y' in the row b_5 is nan"):
        soundscapes.to_submission(tmp_path / "out.csv", "label")


def test_an_output_that_is_read_is_held_once(soundscapes: Soundscapes) -> None:
    label = soundscapes["label"]
    assert all(np.shares_memory(block.outputs["label"], label) for block in soundscapes._blocks)
    assert soundscapes["label"] is soundscapes.outputs["label"] is label


def test_other_outputs_stay_in_pieces(soundscapes: Soundscapes) -> None:
    before = [block.outputs["embedding"] for block in soundscapes._blocks]
    soundscapes["label"][:] = 0
    assert all(block.outputs["embedding"] is mine for block, mine in zip(soundscapes._blocks, before, strict=True))


ROWS = {
    "row_id": ["a_5", "a_10", "a_15", "b_5", "b_10"],
    "path": ["a.wav"] * 3 + ["b.wav"] * 2,
    "start_s": [0, 5, 10, 0, 5],
    "end_s": [5, 10, 15, 5, 10],
    "status": ["scored", "scored", "filled", "scored", "scored"],
}


def test_dataframe_has_a_column_for_each_class(soundscapes: Soundscapes) -> None:
    frame = soundscapes.to_dataframe("label")
    assert list(frame.columns) == [*ROWS, "x", "y", "z"]
    assert frame[list(ROWS)].to_dict("list") == ROWS
    assert (frame.dtypes[["x", "y", "z"]] == np.float32).all()
    np.testing.assert_array_equal(frame[["x", "y", "z"]], soundscapes["label"])
    frame.loc[0, "x"] = 100
    assert soundscapes["label"][0, 0] == 0
    both = soundscapes.to_dataframe()
    assert list(both.columns[5:]) == [f"label.{name}" for name in "xyz"] + [f"embedding.e{i}" for i in range(4)]
    np.testing.assert_array_equal(both.filter(like="embedding."), soundscapes["embedding"])
    with pytest.raises(InputError, match="'genus' was not asked for"):
        soundscapes.to_dataframe("genus")


def test_missing_packages_are_named(soundscapes: Soundscapes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match="a DataFrame needs pandas: `pip install pandas`"):
        soundscapes.to_dataframe()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for needs in (soundscapes.to_arrow, soundscapes.__arrow_c_stream__):
        with pytest.raises(InputError, match="Parquet and Arrow need pyarrow: `pip install pyarrow`"):
            needs()


def test_arrow_is_what_parquet_holds(tmp_path: Path, soundscapes: Soundscapes) -> None:
    soundscapes.to_parquet(tmp_path / "out.parquet")
    table = soundscapes.to_arrow()
    written = pq.read_table(tmp_path / "out.parquet")
    assert written.to_pylist() == table.to_pylist()
    assert written.cast(table.schema).schema.equals(table.schema, check_metadata=True)
    soundscapes["label"][0] = 100
    assert table["label"][0].as_py() == [0, 1, 2]


def test_polars_and_duckdb_take_rows_from_memory(soundscapes: Soundscapes) -> None:
    frame = polars.DataFrame(soundscapes)
    assert frame["row_id"].to_list() == ROWS["row_id"]
    assert frame["label"].to_list() == [[0, 1, 2], [3, 4, 5], None, [9, 10, 11], [12, 13, 14]]
    # DuckDB does not know float16, which the embeddings are here.
    blocks = [replace(block, outputs={"label": block.outputs["label"]}) for block in soundscapes._blocks]
    soundscapes = Soundscapes._of(blocks, soundscapes._columns.only("label"), RunSummary(timing=TIMING))
    means = duckdb.sql("select path, avg(label[2]) from soundscapes group by path order by path").fetchall()
    assert means == [("a.wav", 2.5), ("b.wav", 11.5)]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda original: pickle.loads(pickle.dumps(original))])
def test_copies_hold_edits_of_both(
    tmp_path: Path, soundscapes: Soundscapes, copied: Callable[[Soundscapes], Soundscapes]
) -> None:
    soundscapes["label"][0] = 8
    other = copied(soundscapes)
    other["label"][1] = 9
    other.to_submission(tmp_path / "out.csv", output="label")
    np.testing.assert_array_equal(numbers(tmp_path / "out.csv")[:2], [[8] * 3, [9] * 3])
    assert soundscapes["label"][1].tolist() == [3, 4, 5]


def test_outputs_are_members_and_rows_are_not(soundscapes: Soundscapes) -> None:
    assert "label" in soundscapes and "genus" not in soundscapes
    with pytest.raises(TypeError, match="not iterable"):
        list(soundscapes)  # type: ignore[call-overload]


def test_soundscapes_are_not_made_by_hand() -> None:
    with pytest.raises(TypeError, match="what run_soundscapes returns"):
        Soundscapes()
