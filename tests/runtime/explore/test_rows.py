from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runtime import InputError, run_soundscapes
from runtime.explore.checks import lacking
from runtime.explore.cli import main
from runtime.explore.rows import open_rows
from runtime.model.artifact import read_artifact
from tests.support.recordings import cut
from tests.support.rows_files import write_labels, write_rows


@pytest.fixture(scope="module")
def files(model: Path, recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same rows as Parquet and `.npz`, some of them without scores."""
    folder = tmp_path_factory.mktemp("rows")
    damaged = folder / "d.wav"
    damaged.write_bytes((recordings / "b.wav").read_bytes())
    cut(damaged, 0.5)
    found = run_soundscapes(
        [recordings, damaged], model, outputs=["embedding", "label", "frontend"], hop_s=2.5, workers=1, progress=False
    )
    assert found.count("failed")
    found.to_parquet(folder / "out.parquet")
    found.to_npz(folder / "out.npz")
    np.savez(folder / "expected.npz", label=found["label"], embedding=found["embedding"], frontend=found["frontend"])
    return folder


@pytest.mark.parametrize("name", ["out.parquet", "out.npz"])
def test_rows_are_read_as_they_were_written(files: Path, model: Path, name: str) -> None:
    rows = open_rows(files / name)
    with np.load(files / "expected.npz") as expected:
        for output in expected.files:
            np.testing.assert_array_equal(rows.output(output), expected[output])
        np.testing.assert_array_equal(rows.has_score, np.isfinite(expected["label"]).all(axis=1))
    artifact = read_artifact(model)
    assert rows.classes["label"] == artifact.heads["label"].classes
    assert rows.shapes["frontend"] == artifact.heads["frontend"].shape
    assert rows.count == len(rows.row_ids) == len(rows.paths)
    assert rows.row_ids[0] == "a_5"
    assert Path(rows.paths[-1]).name == "d.wav"
    np.testing.assert_array_equal(rows.end_s - rows.start_s, 5)
    assert rows.start_s[1] == 2.5
    assert rows.about["saved_model_sha256"] == artifact.saved_model_sha256
    assert rows.about["artifact_sha256"] == artifact.artifact_sha256
    assert rows.about["hop_s"] == "2.5"
    assert json.loads(rows.about["options"])["normalize"] == "raw"


def test_blocks_are_the_whole(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.explore.rows.BLOCK_BYTES", 512)
    for name in ("out.parquet", "out.npz"):
        rows = open_rows(files / name)
        pieces = list(rows.blocks("embedding"))
        assert len(pieces) > 2
        assert [start for start, _ in pieces] == np.cumsum([0, *(len(values) for _, values in pieces[:-1])]).tolist()
        with np.load(files / "expected.npz") as expected:
            np.testing.assert_array_equal(np.concatenate([values for _, values in pieces]), expected["embedding"])


def test_what_is_no_file_of_rows_is_refused(files: Path, tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    other = tmp_path / "other.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"x": [1]}), other)
    text = tmp_path / "text.parquet"
    text.write_text("row_id,amecro\n")
    array = tmp_path / "array.npz"
    np.savez(array, x=np.zeros(3))
    empty, odd = tmp_path / "empty.npz", tmp_path / "odd.npz"
    empty.touch()
    with np.load(files / "out.npz") as saved:
        np.savez(odd, **{**saved, "label": saved["label"][:3]})
    for path in (other, text, array, empty, odd):
        with pytest.raises(InputError, match=f"{path.name} holds no rows of perch-run"):
            open_rows(path)
    with pytest.raises(InputError, match=r"cannot read .*nowhere.parquet: "):
        open_rows(tmp_path / "nowhere.parquet")
    with pytest.raises(InputError, match=r"holds no genus, but embedding, label, frontend; run perch-run with"):
        list(open_rows(files / "out.parquet").blocks("genus"))


@pytest.mark.parametrize("outputs", [["a.label", "b.label", "a.embedding"], ["label", "a.embedding"]])
def test_rows_of_several_models_are_to_be_run_again_with_one(outputs: list[str]) -> None:
    assert lacking("embedding", outputs, several_models=True).endswith(
        "of several models, and perch-explore reads rows of one; run perch-run with one --model, and "
        "`--outputs embedding,label`"
    )


ROWS = 6


def change(folder: Path, table: pa.Table, column: str, values: Any, metadata: dict[str, str] | None = None) -> Path:
    """Rows with another column."""
    at = table.schema.get_field_index(column)
    about = table.schema.field(at).metadata if metadata is None else metadata
    path = folder / "changed.parquet"
    pq.write_table(table.set_column(at, pa.field(column, values.type, metadata=about), values), path)
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    values = np.random.default_rng(0).standard_normal((ROWS, 4)).astype(np.float32)
    path = tmp_path_factory.mktemp("table") / "out.parquet"
    return pq.read_table(write_rows(path, values, 3, values[:, :2], ("amecro", "comrav")))


def lists(values: Any) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ravel(values)), np.shape(values)[1])


def times(**changed: float) -> pa.Array:
    return pa.array([changed.get(f"_{row}", row % 3 * 5.0) for row in range(ROWS)])


NAMES = [f"r{row}_5" for row in range(ROWS)]
DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("start_s", times(_2=-5), "the window of r0_15 reaches from -5 to 15 s"),
        ("start_s", times(_2=15), "the window of r0_15 reaches from 15 to 15 s"),
        ("start_s", times(_2=float("nan")), "the window of r0_15 reaches from nan"),
        ("end_s", pa.array([1e12] * ROWS), "from 0 to 1e+12 s"),
        ("end_s", pa.array([15.0] * ROWS), "the window of r0_5 reaches from 0 to 15 s"),
        ("end_s", pa.array([float("inf")] * ROWS), "from 0 to inf s"),
        ("end_s", pa.array([None] * ROWS, pa.float64()), "from 0 to nan s"),
        ("end_s", pa.array(["5"] * ROWS), "its times are not numbers"),
        ("row_id", pa.array([None, *NAMES[1:]]), "scored rows have no name"),
        ("row_id", pa.array(["a_5", "b_5", "a_5", *NAMES[3:]]), "several rows are called a_5"),
        ("row_id", pa.array(range(ROWS)), "its column row_id is not text"),
        ("row_id", pa.array([b"\xff"] * ROWS), "its column row_id is not text"),
        ("path", pa.array([""] * ROWS), "scored rows have no name or no path"),
        ("path", pa.array(["a\0"] * ROWS), r"the path 'a\x00' cannot be the name of a file"),
        ("status", pa.array(["good"] * ROWS), "some rows have the status good"),
        ("embedding", pa.array([[1.0]] * ROWS), "embedding holds list<"),
        ("embedding", lists(np.ones((ROWS, 4), np.int32)), "not lists of 4 floats"),
        ("embedding", lists(np.ones((ROWS, 3))), "embedding holds 3 numbers a row, not 4"),
    ],
)
def test_columns_that_perch_run_does_not_write(
    table: pa.Table, tmp_path: Path, column: str, values: Any, said: str
) -> None:
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        open_rows(change(tmp_path, table, column, values))
    assert "changed.parquet holds no rows of perch-run" in str(caught.value)
    assert "make such a file with `perch-run" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "classes", "said"),
    [
        ("[]", "[]", "label is not one vector a row, but has 0 dimensions"),
        ("[1, 2]", "[]", "label is not one vector a row, but has 2 dimensions"),
        ("[2.0]", "[]", "label has no shape"),
        ("[-2]", "[]", "label has no shape"),
        ("null", "[]", "label has no shape"),
        ("[3]", '["a", "b", "c"]', "label holds 2 numbers a row, not 3"),
        ("[100000000000]", "[]", "more than any model's"),
        ("[2]", '["a"]', "label has 2 columns but 1 name"),
        ("[2]", "[]", "label has 2 columns but 0 names"),
        ("[2]", "[1, 2]", "the classes of label are not names"),
        ("[2]", '"ab"', "the classes of label are not names"),
        ("[2]", DEEP, "holds no rows of perch-run, or is damaged; make"),
        (DEEP, "[]", "holds no rows of perch-run, or is damaged; make"),
        ("{", "[]", "holds no rows of perch-run, or is damaged; make"),
    ],
)
def test_outputs_that_are_told_wrongly(table: pa.Table, tmp_path: Path, shape: str, classes: str, said: str) -> None:
    about = {"shape": shape, "classes": classes}
    with pytest.raises(InputError, match=re.escape(said)):
        open_rows(change(tmp_path, table, "label", table["label"], about))


@pytest.mark.parametrize("options", ["[]", "{", DEEP, '{"normalize": 5}', '{"normalize": "loud"}'])
def test_options_that_are_told_wrongly(table: pa.Table, tmp_path: Path, options: str) -> None:
    path = tmp_path / "out.parquet"
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"options": options.encode()}), path)
    with pytest.raises(InputError, match="its options cannot be read"):
        open_rows(path)


@pytest.mark.parametrize("name", ["row_id", "path", "start_s", "status"])
def test_columns_that_are_missing(table: pa.Table, tmp_path: Path, name: str) -> None:
    pq.write_table(table.drop_columns([name]), tmp_path / "out.parquet")
    with pytest.raises(InputError, match=f"holds no rows of perch-run, or is damaged .it has no column {name}"):
        open_rows(tmp_path / "out.parquet")


@pytest.mark.parametrize("command", [["plot"], ["search", "--like", "r0_5"], ["prelabel", "--labels", "{labels}"]])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_no_numbers(
    table: pa.Table, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], value: float
) -> None:
    labels = write_labels(tmp_path / "labels.csv", [("r0_5", "a"), ("r0_10", ""), ("r1_5", "a"), ("r1_10", "")])
    values = np.ones((ROWS, 4), np.float32)
    values[4] = value
    path = change(tmp_path, table, "embedding", lists(values))
    name, *rest = (arg.format(labels=labels) for arg in command)
    assert main([name, str(path), *rest]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "changed.parquet is damaged: r1_10 is scored, but its embedding holds NaN" in error


def test_rows_that_a_sample_asked_for_in_vain(table: pa.Table, tmp_path: Path) -> None:
    """They have no recording, and any time."""
    path = change(tmp_path, table, "status", pa.array(["filled", *["scored"] * (ROWS - 1)]))
    path = change(tmp_path, pq.read_table(path), "path", pa.array(["", *["a.wav"] * (ROWS - 1)]))
    rows = open_rows(change(tmp_path, pq.read_table(path), "start_s", times(_0=-2)))
    np.testing.assert_array_equal(np.isnan(rows.output("embedding")).all(axis=1), [True] + [False] * (ROWS - 1))
    assert np.isnan(rows.row("embedding", 0)).all()


def test_a_folder_is_merged_first(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a folder; .* `perch-run --merge .* -o out.parquet`$"):
        open_rows(tmp_path)


def test_no_rows_at_all(table: pa.Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, labels = tmp_path / "out.parquet", write_labels(tmp_path / "labels.csv", [("r0_5", "a")])
    pq.write_table(table.slice(0, 0), path)
    for args in (
        ["plot"],
        ["plot", "--color", "hour"],
        ["plot", "--timeline", "r0"],
        ["search", "--like", "r0_5"],
        ["prelabel", "--labels", str(labels)],
    ):
        assert main([args[0], str(path), *args[1:]]) == 2
    assert capsys.readouterr().err.count(f"perch-explore: {path} holds no rows; run perch-run") == 5


@pytest.fixture(scope="module")
def arrays(files: Path) -> dict[str, Any]:
    with np.load(files / "out.npz") as saved:
        return dict(saved)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("embedding", lambda values: values[:, 0], "embedding is not one vector a row, but has 0 dimensions"),
        ("embedding", lambda values: values[:, None], "embedding is not one vector a row, but has 2 dimensions"),
        ("embedding", lambda values: values.astype(object), "holds no rows of perch-run"),
        ("embedding", lambda values: values > 0, "embedding holds bool, not floats"),
        ("label", lambda values: values[:, :-1], "columns but 40 names"),
        ("row_ids", lambda values: values.astype(bytes), "its columns are not text and times"),
        ("row_ids", lambda values: np.stack([values, values], 1), "its columns are not text and times"),
        ("row_ids", lambda values: np.char.add("\ud800", values), "cannot be the name of a file"),
        ("start_s", lambda values: values.astype(str), "its times are not numbers"),
        ("start_s", lambda values: values[:2], "its arrays differ in length"),
        ("about", lambda _: np.array('{"options": 5}'), "its metadata are not text"),
        ("about", lambda _: np.array(DEEP), "holds no rows of perch-run"),
        ("classes", lambda _: np.array('{"label": 5}'), "the classes of label are not names"),
        ("classes", lambda _: np.array("[]"), "holds no rows of perch-run"),
        ("classes", lambda _: np.array("{}"), "columns but 0 names"),
    ],
)
def test_arrays_that_perch_run_does_not_write(
    arrays: dict[str, Any], tmp_path: Path, name: str, change: Callable[[Any], Any], said: str
) -> None:
    np.savez(tmp_path / "out.npz", **{**arrays, name: change(arrays[name])})
    with pytest.raises(InputError, match=re.escape(said)):
        open_rows(tmp_path / "out.npz")


def test_an_archive_that_would_fill_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.explore.row_files.UNPACKED_BYTES", 2**20)
    np.savez_compressed(tmp_path / "out.npz", embedding=np.zeros((2**16, 8), np.float32))
    with pytest.raises(InputError, match="it would unpack to 2,097,"):
        open_rows(tmp_path / "out.npz")


def test_damage_anywhere_is_one_sentence(files: Path, tmp_path: Path) -> None:
    """What can be read is read; all else is an InputError."""
    rng = np.random.default_rng(5)
    for name in ("out.parquet", "out.npz"):
        whole, path = (files / name).read_bytes(), tmp_path / name
        for _ in range(60):
            damaged = bytearray(whole)
            for place in rng.integers(max(0, len(whole) - 4000), len(whole), 3):
                damaged[place] = int(rng.integers(256))
            path.write_bytes(damaged[: rng.integers(len(whole))] if rng.random() < 0.2 else damaged)
            try:
                rows = open_rows(path)
                for output in rows.shapes:
                    rows.output(output)
            except InputError as error:
                assert name in str(error)
