from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime import run_soundscapes
from runtime.explore.cli import main
from runtime.explore.queries import Query
from runtime.explore.rows import open_rows
from runtime.explore.similarity import find_similar
from tests.support.recordings import RATE
from tests.support.rows_files import write_rows

RNG = np.random.default_rng(3)
EMBEDDING = RNG.standard_normal((200, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("search") / "out.parquet"
    return write_rows(path, EMBEDDING, 10, status={7: "failed", 8: "filled"})


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def refused(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    assert main(["search", *map(str, args)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_the_nearest_are_found_whatever_the_blocks(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = EMBEDDING / np.linalg.norm(EMBEDDING, axis=1, keepdims=True)
    cosines = (unit @ unit[[33, 120]].T).max(axis=1)
    cosines[[33, 120, 7, 8]] = -2
    expected = np.argsort(-cosines)[:12]
    for size in (2**25, 640):
        monkeypatch.setattr("runtime.explore.rows.BLOCK_BYTES", size)
        queries = [Query("a", 7 * EMBEDDING[33], ((0, 33),)), Query("b", EMBEDDING[120], ((0, 120),))]
        hits = find_similar([open_rows(rows)], queries, 12)
        assert [hit.row for hit in hits] == expected.tolist()
        np.testing.assert_allclose([hit.similarity for hit in hits], cosines[expected], atol=1e-6)


def test_of_equal_rows_the_first_are_found(tmp_path: Path) -> None:
    same = write_rows(tmp_path / "same.parquet", np.ones((50, 4), np.float32), 10)
    hits = find_similar([open_rows(same)], [Query("q", np.ones(4, np.float32), ((0, 2),))], 5)
    assert [hit.row for hit in hits] == [0, 1, 3, 4, 5]


def test_half_floats_are_read(rows: Path, tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    saved = pyarrow.parquet.read_table(rows)
    at = saved.schema.get_field_index("embedding")
    half = saved.schema.field(at).with_type(pyarrow.list_(pyarrow.float16(), 16))
    pieces = [chunk.cast(half.type) for chunk in saved.column(at).chunks]
    path = tmp_path / "half.parquet"
    pyarrow.parquet.write_table(saved.set_column(at, half, pyarrow.chunked_array(pieces)), path)
    read, expected = open_rows(path).output("embedding"), open_rows(rows).output("embedding")
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, expected, atol=2e-3)
    np.testing.assert_array_equal(np.isnan(read), np.isnan(expected))
    np.testing.assert_array_equal(open_rows(path).row("embedding", 42), read[42])


def test_a_window_by_its_row_or_its_place(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_rows(tmp_path / "other.parquet", EMBEDDING[::-1], 10, first=20)
    written = []
    for like in ("r3_20", "r3.wav@15", "site/r3.wav@0:15", "r3.wav@0:00:15.0"):
        assert main(["search", str(rows), str(other), "--like", like, "--top", "3", "-o", str(tmp_path / "a.csv")]) == 0
        written.append([{**hit, "like": ""} for hit in table(tmp_path / "a.csv")])
    assert written[0] == written[1] == written[2] == written[3]
    # The same embedding stands in the other file; the window itself is not found.
    assert written[0][0]["row_id"] == "r36_35"
    assert written[0][0]["similarity"] == "1.0"
    assert (written[0][0]["path"], written[0][0]["start_s"]) == ("site/r36.wav", "30")
    assert "r36_35" in capsys.readouterr().out


def test_other_recordings_alone(rows: Path, tmp_path: Path) -> None:
    path = tmp_path / "hits.csv"
    assert main(["search", str(rows), "--like", "r3_20", "--top", "500", "-o", str(path)]) == 0
    assert len(table(path)) == 200 - 2 - 1
    assert main(["search", str(rows), "--like", "r3_20", "--top", "500", "--other-recordings", "-o", str(path)]) == 0
    assert len(table(path)) == 200 - 2 - 10
    assert "site/r3.wav" not in {hit["path"] for hit in table(path)}


def test_a_recording_is_listened_to(
    model: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for normalize in ("raw", "peak"):
        run_soundscapes(
            recordings,
            model,
            outputs=["embedding"],
            hop_s=2.5,
            normalize=normalize,  # type: ignore[arg-type]
            workers=1,
            sink=tmp_path / "out.parquet",
            progress=False,
        )
        # The same audio under another name, its start moved: found where it was.
        audio, rate = soundfile.read(recordings / "b.wav", dtype="float32")
        moved = tmp_path / "moved.wav"
        soundfile.write(moved, np.concatenate([np.zeros(RATE), audio]), rate, subtype="FLOAT")
        like = ["--like", f"{moved}@3.5", "--model", str(model)]
        assert main(["search", str(tmp_path / "out.parquet"), *like, "-o", str(tmp_path / "hits.csv")]) == 0
        first = table(tmp_path / "hits.csv")[0]
        assert first["row_id"] == "b_7.5"
        assert float(first["similarity"]) > 0.99999
    out = tmp_path / "out.parquet"
    assert "no row belongs to" in (error := refused(capsys, out, "--like", f"{moved}@3.5")) and "--model" in error
    others = write_rows(tmp_path / "others.parquet", EMBEDDING, 10)
    error = refused(capsys, others, "--like", "r0_5", "--model", model)
    assert f"{model} did not make the rows of {others}" in error
    assert "ends before" in refused(capsys, out, "--like", f"{moved}@77", "--model", model)
    assert "starts at 3 s (near it: 2.5, 5)" in refused(capsys, out, "--like", "b.wav@3")


def test_a_place_in_several_channels_is_no_window(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    songs = 0.1 * np.random.default_rng(5).standard_normal((10 * RATE, 2)).astype(np.float32)
    soundfile.write(tmp_path / "st.wav", songs, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "one.wav", songs[:, 1], RATE, subtype="FLOAT")
    out, hits = tmp_path / "out.parquet", tmp_path / "hits.csv"
    how = {"outputs": ["embedding"], "channel": "each", "workers": 1, "progress": False}
    run_soundscapes([tmp_path / "st.wav", tmp_path / "one.wav"], model, sink=out, **how)  # type: ignore[arg-type]
    assert "st.wav@5 is st_ch1_10 or st_ch2_10; name one of them" in refused(capsys, out, "--like", "st.wav@5")
    assert main(["search", str(out), "--like", "st_ch1_10", "-o", str(hits)]) == 0
    assert "st_ch2_10" in {hit["row_id"] for hit in table(hits)}
    heard = ["--model", str(model), "--like"]
    assert "st.wav has 2 channels, and each row of" in refused(capsys, out, *heard, "st.wav@2.5")
    assert main(["search", str(out), *heard, "one.wav@2.5"]) == 0
    assert main(["search", str(out), "--like", "one.wav@5", "-o", str(hits)]) == 0
    assert table(hits)[0]["row_id"] == "st_ch2_10"


def test_a_window_beside_means_of_several_is_said_to_be_one(
    model: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    how = {"outputs": ["embedding"], "hop_s": 2.5, "pool": "mean", "workers": 1, "progress": False}
    out = tmp_path / "out.parquet"
    run_soundscapes(recordings, model, sink=out, **how)  # type: ignore[arg-type]
    said = f"the rows of {out} are means of several windows (--pool)"
    assert main(["search", str(out), "--like", "b.wav@5"]) == 0
    assert said not in capsys.readouterr().out
    assert main(["search", str(out), "--like", "b.wav@5.5", "--model", str(model)]) == 0
    assert said in capsys.readouterr().out


def test_what_cannot_be_searched(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no row is called nothing; give a row_id such as r0_5" in refused(capsys, rows, "--like", "nothing")
    assert "has no score" in refused(capsys, rows, "--like", "r0_40")
    assert "is given twice" in refused(capsys, rows, rows, "--like", "r0_5")
    assert "must be at least 1" in refused(capsys, rows, "--like", "r0_5", "--top", "0")
    other = write_rows(tmp_path / "o.parquet", EMBEDDING, 10, about={"saved_model_sha256": "b" * 64})
    assert "was made with another model than" in refused(capsys, rows, other, "--like", "r0_5")
    peak = write_rows(tmp_path / "p.parquet", EMBEDDING, 10, normalize="peak")
    assert "another --normalize than" in refused(capsys, rows, peak, "--like", "r0_5")
    zero = write_rows(tmp_path / "z.parquet", np.zeros_like(EMBEDDING), 10)
    assert "is zero" in refused(capsys, zero, "--like", "r0_5")
    for name in ("hits.html", "hits"):
        assert "end its name in .csv" in refused(capsys, rows, "--like", "r0_5", "-o", tmp_path / name)
        assert not (tmp_path / name).exists()


def test_an_unknown_option_points_to_the_help_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["search", "rows.parquet", "--like", "a_5", "--colour", "species"])
    assert capsys.readouterr().err == (
        "perch-explore search: unrecognized arguments: --colour species; `perch-explore search --help` explains the "
        "options\n"
    )
