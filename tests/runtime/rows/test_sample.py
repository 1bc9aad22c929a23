"""A sample submission rules where its rows name recordings that are there: exactly its rows, in its order."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import runtime.rows.sample
from convert.proof.synthetic import soundscape
from runtime import Detections, InputError, Soundscapes
from runtime.audio.paths import find_recordings
from runtime.model.artifact import read_artifact
from runtime.rows.block import Block, Columns
from runtime.rows.sample import Lack, SampleSubmission, match_sample
from tests.support.deadlines import LONG, ends_when
from tests.support.recordings import cut, write
from tests.support.rows_files import npz_arrays
from tests.support.runs import interrupt, run

COLUMNS = Columns({"label": (2,)}, {"label": ("x", "y")})
ROWS = ("b_10", "a_05", "zz_5", "a_5", "b_5", "b_20", "a_7.5", "a_20", "a_end")
STATUS = ["scored", "scored", "filled", "scored", "scored", "filled", "filled", "scored", "filled"]


@pytest.fixture(scope="module")
def names(model: Path) -> tuple[str, ...]:
    return read_artifact(model).heads["label"].classes[:3]


def sample_file(folder: Path, rows: Sequence[str], names: Sequence[str], **more: str) -> Path:
    """`more` are other columns and what is in all their cells."""
    path = folder / "sample.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["row_id", *more, *names])
        table.writerows([row, *more.values(), *["0.5"] * len(names)] for row in rows)
    return path


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, names: Sequence[str]) -> Path:
    return sample_file(tmp_path_factory.mktemp("sample"), ROWS, names)


@pytest.fixture(scope="module")
def reference(recordings: Path, model: Path, names: Sequence[str]) -> Soundscapes:
    """All rows that there are."""
    return run(recordings, model, classes=names)


def expected(reference: Soundscapes) -> np.ndarray:
    """The scores of `ROWS`."""
    at = dict(zip(reference.row_ids, reference["label"], strict=True))
    at |= {"a_05": at["a_5"]}
    return np.stack([at.get(row, np.full(3, np.nan, np.float32)) for row in ROWS])


def test_a_sample_rules(
    tmp_path: Path, recordings: Path, model: Path, sample: Path, reference: Soundscapes, names: Sequence[str]
) -> None:
    result = run(recordings, model, classes=sample)
    assert result.row_ids == list(ROWS)
    assert result.status.tolist() == STATUS
    np.testing.assert_array_equal(result["label"], expected(reference))
    assert (len(result), result.counts) == (9, {"scored": 5, "filled": 4})
    assert (result.lacking, result.dropped, result.recordings) == (4, 3, 2)
    summary = result.summary()
    for line in (
        "filled: 1 row of the sample submission, beyond the end of a recording\n",
        "filled: 2 rows of the sample submission, where no window ends; a hop of 2.5 s scores all rows\n",
        "filled: 1 row of the sample submission, of recordings that are not there: zz\n",
        "dropped: 3 rows that the sample submission does not have\n",
        "left out: 1 recording of which the sample submission has no row: c.ogg",
    ):
        assert line in summary
    assert "not reached" not in summary
    result.to_submission(tmp_path / "out.csv")
    header, *lines = csv.reader((tmp_path / "out.csv").read_text().splitlines())
    assert header == ["row_id", *names]
    assert [line[0] for line in lines] == list(ROWS)
    numbers = np.array([line[1:] for line in lines], np.float32)
    np.testing.assert_array_equal(numbers, np.nan_to_num(expected(reference), nan=-1000))
    run(recordings, model, classes=sample, sink=tmp_path / "sink.csv")
    assert (tmp_path / "sink.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()
    later = run(recordings, model, classes=sample, on_deadline="interpolate", **LONG)
    np.testing.assert_array_equal(later["label"], result["label"])


def test_files_of_arrays_have_its_rows(
    tmp_path: Path, recordings: Path, model: Path, sample: Path, reference: Soundscapes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.rows.sample, "PAGE_BYTES", 100)
    options = {"classes": sample, "outputs": ("label", "embedding")}
    run(recordings, model, sink=tmp_path / "out.parquet", **options)
    result = run(recordings, model, **options)
    result.to_npz(tmp_path / "out.npz")
    table, saved = pq.read_table(tmp_path / "out.parquet"), npz_arrays(tmp_path / "out.npz")
    assert table["row_id"].to_pylist() == saved["row_ids"].tolist() == list(ROWS)
    assert table["status"].to_pylist() == saved["status"].tolist() == STATUS
    paths = [*map(str, (recordings / "b.wav", recordings / "a.flac"))]
    assert (
        table["path"].to_pylist()
        == saved["path"].tolist()
        == [paths[0], paths[1], "", paths[1], *paths[:1] * 2, *paths[1:] * 3]
    )
    np.testing.assert_array_equal(saved["end_s"], [10, 5, 5, 5, 5, 20, 7.5, 20, np.nan])
    np.testing.assert_array_equal(table["start_s"].to_numpy(), saved["start_s"])
    np.testing.assert_array_equal(saved["label"], expected(reference))
    rows = [[np.nan] * 3 if row is None else row for row in table["label"].to_pylist()]
    np.testing.assert_array_equal(np.array(rows, np.float32), expected(reference))
    result.to_detections(tmp_path / "labels", Detections(top=1, format="audacity"))
    assert {path.name: len(path.read_text().splitlines()) for path in (tmp_path / "labels").iterdir()} == {
        "a.txt": 3,
        "b.txt": 2,
    }


def test_scores_are_smoothed_before_rows_go(recordings: Path, model: Path, sample: Path, names: Sequence[str]) -> None:
    smooth = {"smooth": (1, 2, 1)}
    result = run(recordings, model, classes=sample, **smooth)
    np.testing.assert_array_equal(result["label"], expected(run(recordings, model, classes=names, **smooth)))


def test_interrupted_run_goes_on(
    tmp_path: Path, recordings: Path, model: Path, sample: Path, names: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"outputs": ("label",), "classes": sample, "workers": 1}
    run(recordings, model, sink=tmp_path / "whole.csv", **options)
    target = tmp_path / "out.csv"
    interrupt(recordings, model, target, 1, monkeypatch, **options)
    assert [line.split(",")[0] for line in target.read_text().splitlines()[1:]] == list(ROWS)
    other = sample_file(tmp_path, ROWS[1:], names)
    with pytest.raises(InputError, match=r"the sample submission was .*9 rows .* and is .*8 rows"):
        run(recordings, model, sink=target, resume=True, **{**options, "classes": other})
    result = run(recordings, model, sink=target, resume=True, **options)
    assert target.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert result.counts == {"scored": 5, "filled": 4}
    assert not (tmp_path / "out.csv.partial").exists()


def test_what_was_not_read_is_told_apart(
    tmp_path: Path, model: Path, names: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "first.wav", soundscape(1, 9))
    cut(write(folder / "half.wav", soundscape(2, 20)), 0.6)
    (folder / "no.wav").write_text("no sound")
    write(folder / "late.wav", soundscape(3, 9))
    rows = [f"{name}_{end}" for name in ("no", "half", "first", "late") for end in (25, 20, 10)]
    classes = sample_file(tmp_path, rows, names)
    result = run(folder, model, classes=classes)
    assert result.row_ids == rows
    told = {"no": "failed " * 3, "half": "filled failed scored ", "first": "filled filled scored "}
    told["late"] = told["first"]
    assert " ".join(result.status) + " " == "".join(told.values())
    assert (result.lacking, len(result.failures)) == (5, 2)
    ends_when(monkeypatch, lambda table: table._recording >= 3)
    cut_short = run(folder, model, classes=classes, workers=1, **LONG)
    assert cut_short.status.tolist() == [*result.status[:9], "filled", "filled", "filled"]
    assert cut_short.lacking == 3
    assert "not reached in time and filled, in a CSV by -1000: 3 rows" in cut_short.summary()


def test_sample_that_names_none_says_nothing(
    recordings: Path, model: Path, names: Sequence[str], tmp_path: Path
) -> None:
    result = run(recordings, model, classes=sample_file(tmp_path, ["soundscape_8358733_5"], names))
    assert len(result) == 9
    assert result.lacking == result.dropped == 0
    assert "the sample submission names none of the recordings" in result.summary()


def test_column_that_is_no_class(
    recordings: Path, model: Path, names: Sequence[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    classes = sample_file(tmp_path, ["c_5"], names, Usage="Public", corcra="-", id="x7")
    result = run(recordings / "c.ogg", model, classes=classes)
    assert result.classes["label"] == ("corcra", *names)  # eBird's corncrake, whatever its cells hold
    expected = (f"{classes}: the column '{name}' is no class, and left out" for name in ("Usage", "id"))
    assert all(map(str.startswith, caplog.messages, expected))
    assert len(caplog.messages) == 2
    numbers = sample_file(tmp_path, ["c_5"], names, Usage="7", empty="")
    assert run(recordings / "c.ogg", model, classes=numbers).classes["label"] == ("Usage", "empty", *names)


# The rest looks at `SampleSubmission` alone.


def rows_of(row_ids: Sequence[str], folder: Path, hop_s: float = 5) -> SampleSubmission:
    found = match_sample(row_ids, find_recordings(folder), 100, 500, round(hop_s * 100))
    assert found is not None
    return found


def folder_of(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def block(name: str, first: int, count: int, hop_s: float = 5, status: str = "scored") -> Block:
    """A recording's rows, whose scores are their end and 1."""
    starts = (first + np.arange(count)) * hop_s
    label = np.stack([starts + 5, np.ones(count)], axis=1).astype(np.float32)
    return Block(
        "", [f"{name}_{end:g}" for end in starts + 5], starts, starts + 5, np.full(count, status), {"label": label}
    )


def arranged(rows: SampleSubmission, blocks: Iterator[Block] | Sequence[Block]) -> list[tuple[str, float, str]]:
    """Each row's name, first score (0 if there is none) and status."""
    return [
        (row_id, float(np.nan_to_num(score)), str(status))
        for page in rows.arranged(blocks, COLUMNS)
        for row_id, score, status in zip(page.row_ids, page.outputs["label"][:, 0], page.status, strict=True)
    ]


@pytest.mark.parametrize(
    ("files", "row_ids"),
    [
        (("a.wav",), ("a_5", "a_05", "a_5.0", "a_5.", " a_5 ", "a_5.004")),
        (("with_under_score.wav",), ("with_under_score_5",)),
        (("north/x.wav", "south/x.wav"), ("south/x_5", "north/x_5", "north\\x_5", "north/x.wav_5")),
        (("north/x.wav",), ("x_5", "north/x_5", "north/x.wav_5")),
        ((unicodedata.normalize("NFD", "größe.wav"),), ("größe_5",)),
        (("a 7.5_5.wav",), ("a 7.5_5_5",)),
    ],
)
def test_names_of_rows(tmp_path: Path, files: Sequence[str], row_ids: Sequence[str]) -> None:
    rows = rows_of(row_ids, folder_of(tmp_path, *files))
    assert not rows.absent
    assert rows.lacking == 0
    found = arranged(rows, [block(name, 0, 1) for name in rows.recordings.names])
    assert found == [(row_id, 5, "scored") for row_id in row_ids]


def test_rows_that_no_window_has(tmp_path: Path) -> None:
    ends = ("0", "7.5", "-5", "nan", "inf", "1e1", "\u0665", "", "2" * 400, "5_", "4.99")
    rows = rows_of([f"a_{end}" for end in ends] + ["a", "_5", "a_10"], folder_of(tmp_path, "a.wav"))
    assert arranged(rows, [block("a", 0, 3)])[-1] == ("a_10", 10, "scored")
    assert rows.counts == {"scored": 1, "filled": len(ends) + 2}
    assert rows.lacking == len(ends) + 2
    assert rows.dropped == 2
    assert "filled: 2 rows of the sample submission, without a recording's name and a _: a, _5" in rows.summary()
    assert "filled: 1 row of the sample submission, of recordings that are not there: a_5" in rows.summary()
    halves = rows_of(["a_7.5", "a_10"], tmp_path, 2.5)
    assert arranged(halves, [block("a", 0, 9, 2.5)]) == [("a_7.5", 7.5, "scored"), ("a_10", 10, "scored")]


def test_recordings_come_in_the_order_of_the_sample(tmp_path: Path) -> None:
    folder_of(tmp_path, *(f"{name}.wav" for name in "abcd"))
    rows = rows_of(["d_5", "d_10", "b_10", "b_5", "x_5", "c_5"], tmp_path)
    assert rows.recordings.names == ("d", "b", "c")
    assert [path.name for path in rows.unnamed] == ["a.wav"]
    assert rows.absent == ["x"]


def test_no_more_is_held_than_has_to_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a sample in which each recording's rows are together, a page goes out as soon as its recordings came."""
    monkeypatch.setattr(runtime.rows.sample, "PAGE_BYTES", 3 * 8)
    folder_of(tmp_path, *(f"{i}.wav" for i in range(9)))
    rows = rows_of([f"{i}_{end}" for i in range(9) for end in (10, 5)], tmp_path)
    came: list[int] = []

    def blocks() -> Iterator[Block]:
        for i in range(9):
            came.append(i)
            yield block(str(i), 0, 2)

    pages = rows.arranged(blocks(), COLUMNS)
    seen = []
    for page in pages:
        seen += page.row_ids
        assert len(came) <= len(seen) // 2 + 2
    assert seen == list(rows.row_ids)


def test_parts_and_gaps(tmp_path: Path) -> None:
    """Of a recording in parts, some of which never came; those of failed ones are failed, others are not reached."""
    folder_of(tmp_path, "a.wav", "b.wav")
    rows = rows_of([f"{name}_{end}" for end in (25, 5, 15) for name in "ab"], tmp_path)
    rows.note(0, Lack.UNREADABLE)
    found = arranged(rows, [block("a", 0, 2), block("a", 4, 2, status="failed"), block("b", 0, 2), block("b", 4, 1)])
    assert [status for _, _, status in found] == ["failed", "scored", "scored", "scored", "failed", "filled"]
    assert [score for _, score, _ in found] == [0, 25, 5, 5, 0, 0]
    assert rows.lacking == 0  # b was not read to its end


def test_recording_is_found_by_looking_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row's recording, however many rows and recordings there are."""
    folder_of(tmp_path, *(f"{i}.wav" for i in range(60)))
    asked: list[str] = []
    find = runtime.rows.sample._ByName.__getitem__
    monkeypatch.setattr(
        runtime.rows.sample._ByName, "__getitem__", lambda self, name: (asked.append(name), find(self, name))[1]
    )
    rows = rows_of([f"{i}_{5 * k + 5}" for k in range(30) for i in range(60)], tmp_path)
    assert len(asked) == 60
    assert len(arranged(rows, [block(str(i), 0, 30) for i in range(60)])) == rows.counts["scored"] == 1800


def test_ambiguous_names_are_refused(tmp_path: Path) -> None:
    folder_of(tmp_path, "north/x.wav", "south/x.wav", "y.wav")
    with pytest.raises(InputError, match=r"north.x\.wav and .*south.x\.wav would have the same row_ids"):
        rows_of(["y_5", "x_5"], tmp_path)
    assert rows_of(["y_5"], tmp_path).recordings.names == ("y",)
