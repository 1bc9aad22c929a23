"""Rows that go to a file as they come, and runs that are taken up again."""

from __future__ import annotations

import csv
import functools
import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import runtime.rows.scoring
import runtime.run
from convert.proof.synthetic import soundscape
from runtime import ArtifactError, InputError, Interrupted, OutputError, Soundscapes
from runtime.model.artifact import read_artifact
from runtime.rows.formats.parquet_file import ParquetFile
from runtime.rows.sinks import FileSink, Target
from tests.support import runs
from tests.support.recordings import write
from tests.support.runs import interrupt

OUTPUTS = ("label", "embedding")


run = functools.partial(runs.run, outputs=OUTPUTS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folder")
    for i in range(6):
        write(folder / f"r{i}.wav", soundscape(i, 10))
    (folder / "bad.wav").write_text("no sound")
    return folder


@pytest.fixture(scope="module")
def reference(folder: Path, model: Path) -> Soundscapes:
    return run(folder, model)


def same(path: Path, reference: Soundscapes) -> None:
    table = pq.read_table(path)
    assert table["row_id"].to_pylist() == reference.row_ids
    assert table["status"].to_pylist() == reference.status.tolist()
    scored = reference.status == "scored"
    for name in OUTPUTS:
        rows = table[name].to_pylist()
        assert [row is not None for row in rows] == scored.tolist()
        values = np.array([row for row in rows if row is not None], np.float32)
        np.testing.assert_array_equal(values, reference[name][scored])


def test_what_killed_runs_were_writing_is_removed(tmp_path: Path, folder: Path, model: Path) -> None:
    others = [".out.parquet.old.7.partial", ".out.parquet.partial", ".in.parquet.7.partial"]
    probes = [".out.parquet.7.probe", "..out.parquet.7.probe.7.partial"]
    for name in [".out.parquet.7.partial", ".out.parquet.123456.partial", *probes, *others]:
        (tmp_path / name).touch()
    (tmp_path / ".out.parquet.8.partial" / "a database").mkdir(parents=True)
    run(folder / "r0.wav", model, sink=tmp_path / "out.parquet")
    assert {path.name for path in tmp_path.iterdir()} == {"out.parquet", *others}


def test_parquet_holds_the_same_rows(tmp_path: Path, folder: Path, model: Path, reference: Soundscapes) -> None:
    target = tmp_path / "out.parquet"
    result = run(folder, model, sink=target)
    same(target, reference)
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]
    table = pq.read_table(target)
    assert table["path"].to_pylist()[-1] == str(folder / "r5.wav")
    assert table["start_s"].to_pylist()[-2:] == [0, 5]
    assert table["end_s"].to_pylist()[-2:] == [5, 10]
    artifact = read_artifact(model)
    assert table.schema.field("embedding").type.list_size == artifact.heads["embedding"].shape[0]
    assert tuple(json.loads(table.schema.field("label").metadata[b"classes"])) == artifact.heads["label"].classes
    assert table.schema.metadata[b"artifact_sha256"].decode() == artifact.artifact_sha256
    assert len(result) == len(reference)
    assert result.counts == reference.counts
    assert result.summary().splitlines()[0] == reference.summary().splitlines()[0]
    with pytest.raises(InputError, match=r"the rows are in .*out\.parquet"):
        result["label"]
    reference.to_parquet(tmp_path / "memory.parquet")
    same(tmp_path / "memory.parquet", reference)


def test_csv_is_what_memory_gives(tmp_path: Path, folder: Path, model: Path) -> None:
    run(folder, model, outputs=("label",)).to_submission(tmp_path / "memory.csv")
    run(folder, model, outputs=("label",), sink=tmp_path / "sink.csv")
    assert (tmp_path / "sink.csv").read_bytes() == (tmp_path / "memory.csv").read_bytes()


def test_npz_is_what_memory_gives(
    tmp_path: Path, folder: Path, model: Path, reference: Soundscapes, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.npz"
    interrupt(folder, model, target, 3, monkeypatch, embedding_dtype="float16")
    half = run(folder, model, embedding_dtype="float16")
    result = run(folder, model, sink=target, resume=True, embedding_dtype="float16")
    assert 0 < result.timing.windows < half.timing.windows
    assert [path.name for path in tmp_path.iterdir()] == ["out.npz"]
    half.to_npz(tmp_path / "memory.npz")
    for path in (target, tmp_path / "memory.npz"):
        with np.load(path) as saved:
            arrays = dict(saved)
        assert json.loads(str(arrays.pop("classes"))) == {name: list(names) for name, names in half.classes.items()}
        assert json.loads(str(arrays.pop("about")))["artifact_sha256"] == read_artifact(model).artifact_sha256
        expected = {"row_ids": half.row_ids, "path": half.paths, "start_s": half.start_s, "end_s": half.end_s}
        times = np.array([time or "" for time in half.recorded_at])
        expected |= {"status": half.status, "recorded_at": times, **half.outputs}
        assert arrays.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_array_equal(arrays[name], values)
        assert (arrays["label"].dtype, arrays["embedding"].dtype) == (np.float32, np.float16)


@pytest.mark.parametrize("after", [2, 4])
def test_interrupted_run_is_taken_up(
    tmp_path: Path, folder: Path, model: Path, reference: Soundscapes, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    target = tmp_path / "out.parquet"
    interrupt(folder, model, target, after, monkeypatch)
    interrupted = pq.read_table(target)
    assert interrupted["row_id"].to_pylist() == reference.row_ids  # all rows are there, those not reached unscored
    assert "filled" in interrupted["status"].to_pylist()
    with pytest.raises(InputError, match=r"a run that did not end; go on with it by `--resume`"):
        run(folder, model, sink=target)
    with (tmp_path / "out.parquet.partial").open("ab") as spool:
        spool.write(bytes(30))  # as if killed while writing
    result = run(folder, model, sink=target, resume=True)
    same(target, reference)
    assert result.timing.windows < reference.count("scored")
    assert [failure.path for failure in result.failures] == [folder / "bad.wav"]
    assert not (tmp_path / "out.parquet.partial").exists()
    with pytest.raises(InputError, match="no unfinished run beside it"):
        run(folder, model, sink=target, resume=True)


def nothing_scored(*_: object) -> None:
    raise KeyboardInterrupt


def test_run_interrupted_before_anything_was_finished_is_taken_up(
    tmp_path: Path, folder: Path, model: Path, reference: Soundscapes, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.parquet"
    for _ in range(2):  # the first time there is neither output nor anything to resume
        with monkeypatch.context() as patch, pytest.raises(Interrupted):
            patch.setattr(runtime.rows.scoring.ScoringLoop, "_score", nothing_scored)
            run(folder, model, sink=target, resume=True)
        assert set(pq.read_table(target)["status"].to_pylist()) == {"filled"}
    with pytest.raises(ArtifactError):  # which is no reason to forget it
        run(folder, tmp_path / "no.onnx", sink=target, resume=True)
    run(folder, model, sink=target, resume=True)
    same(target, reference)
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


def test_rows_that_were_cut_off_during_the_run_are_not_lost_in_silence(
    tmp_path: Path, folder: Path, model: Path, reference: Soundscapes, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, spool = tmp_path / "out.parquet", tmp_path / "out.parquet.partial"
    finish = runtime.run.FileSink.finish

    def cut_first(self: object, *arguments: object, **options: object) -> None:
        os.truncate(spool, spool.stat().st_size // 2)
        finish(self, *arguments, **options)  # type: ignore[arg-type]

    with (
        monkeypatch.context() as patch,
        pytest.raises(OutputError, match=r"the first \d are there as they were") as error,
    ):
        patch.setattr(runtime.run.FileSink, "finish", cut_first)
        run(folder, model, sink=target)
    assert "make room" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == [spool.name]
    assert 0 < run(folder, model, sink=target, resume=True).timing.windows < reference.count("scored")
    same(target, reference)


def test_a_recording_whose_stem_is_there_leaves_rows_their_names_or_is_refused(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings, target = tmp_path / "recordings", tmp_path / "out.csv"
    for name in ("r1.wav", "r2.wav", "a/t.wav", "z/y.wav"):
        (recordings / name).parent.mkdir(parents=True, exist_ok=True)
        write(recordings / name, soundscape(0, 5))
    interrupt(recordings, model, target, 3, monkeypatch, outputs=("label",), workers=1)  # one after another
    (recordings / "s").mkdir()
    other = write(recordings / "s" / "t.wav", soundscape(1, 5))
    with pytest.raises(InputError, match=r"rows of .*t\.wav were named 't' and would now be named 'a/t'"):
        run(recordings, model, sink=target, resume=True, outputs=("label",))
    other.rename(recordings / "z" / "r2.wav")
    run(recordings, model, sink=target, resume=True, outputs=("label",))
    row_ids = [line.partition(",")[0] for line in target.read_text().splitlines()[1:]]
    assert row_ids == ["t_5", "r1_5", "r2_5", "z/r2_5", "y_5"]


def test_long_recording_is_taken_up_between_its_parts(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.audio.recording.PART_S", 60.0)
    path = write(tmp_path / "long.wav", soundscape(0, 126)[::4], 8_000)
    reference = run(path, model, workers=1)
    assert (reference.status == "scored").all()
    assert len(reference) == 26
    target = tmp_path / "out.parquet"
    interrupt(path, model, target, 1, monkeypatch, workers=2)
    result = run(path, model, sink=target, resume=True)
    same(target, reference)
    assert result.timing.windows == 26 - 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: os.utime(folder / "r0.wav", (1, 1)), "r0.wav has changed since"),
        (lambda folder: (folder / "r0.wav").unlink(), "r0.wav next, but there is .*r1.wav"),
        (lambda folder: write(folder / "a.wav", soundscape(9, 5)), "r0.wav next, but there is .*a.wav"),
    ],
)
def test_changed_recordings_are_refused(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, change: object, message: str
) -> None:
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for i in range(3):
        write(recordings / f"r{i}.wav", soundscape(i, 5))
    target = tmp_path / "out.csv"
    interrupt(recordings, model, target, 1, monkeypatch, outputs=("label",))
    change(recordings)  # type: ignore[operator]
    with pytest.raises(InputError, match=message):
        run(recordings, model, sink=target, resume=True, outputs=("label",))
    assert (tmp_path / "out.csv.partial").exists()


def test_changed_options_are_refused(
    tmp_path: Path, folder: Path, model: Path, reference: Soundscapes, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.parquet"
    interrupt(folder, model, target, 2, monkeypatch)
    with pytest.raises(InputError, match=r"hop_s was 5 and is 2.5; use"):
        run(folder, model, sink=target, resume=True, hop_s=2.5)
    with pytest.raises(InputError, match="outputs was label,embedding and is embedding"):
        run(folder, model, sink=target, resume=True, outputs=("embedding",))
    write(folder / "s.wav", soundscape(9, 5))  # behind what was finished
    try:
        run(folder, model, sink=target, resume=True, workers=1)
    finally:
        (folder / "s.wav").unlink()
    table = pq.read_table(target)
    assert table["row_id"].to_pylist() == [*reference.row_ids, "s_5"]


@pytest.mark.parametrize("header", ['{"run2": 1}', "5", '{"format": 0, "run": {}, "crc32": 0}'])
def test_leftovers_of_another_version_are_refused(tmp_path: Path, folder: Path, model: Path, header: str) -> None:
    text = header.encode()
    spool = tmp_path / "out.parquet.partial"
    spool.write_bytes(len(text).to_bytes(8, "little") + bytes(8) + text)
    for resume in (False, True):
        with pytest.raises(InputError, match="not left by a run of this version"):
            run(folder, model, sink=tmp_path / "out.parquet", resume=resume)
    assert spool.read_bytes().endswith(text)


def test_rows_that_the_machine_lost_are_scored_again(
    tmp_path: Path, folder: Path, model: Path, reference: Soundscapes, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.parquet"
    interrupt(folder, model, target, 4, monkeypatch)
    spool = tmp_path / "out.parquet.partial"
    data = spool.read_bytes()
    spool.write_bytes(data[:-500] + bytes(500))
    result = run(folder, model, sink=target, resume=True)
    same(target, reference)
    assert 0 < result.timing.windows < reference.count("scored")


def test_two_runs_do_not_write_one_file(tmp_path: Path, folder: Path, model: Path) -> None:
    columns = run(folder / "r0.wav", model)._columns
    sink = FileSink(Target(tmp_path / "out.parquet", ParquetFile(), columns, 0.0), {}, False)
    try:
        with pytest.raises(InputError, match="another run is writing"):
            run(folder, model, sink=tmp_path / "out.parquet")
    finally:
        sink.close(keep=False)
    run(folder, model, sink=tmp_path / "out.parquet")


def test_names_of_any_kind(tmp_path: Path, model: Path) -> None:
    names = ["with space", "new\nline", 'quo"te,comma', "größe 鳥", "x" * 251, os.fsdecode(b"not \xff utf8")]
    folder = tmp_path / "in"
    folder.mkdir()
    for name in names:
        write(tmp_path / "a.wav", soundscape(0, 5)).rename(folder / f"{name}.wav")
    result = run(folder, model, sink=tmp_path / "out.parquet")
    assert result.counts == {"scored": len(names)}
    row_ids = pq.read_table(tmp_path / "out.parquet")["row_id"].to_pylist()
    not_utf8 = tmp_path / os.fsdecode(b"not \xff utf8.parquet")
    run(folder, model, sink=not_utf8)
    with not_utf8.open("rb") as opened:
        assert pq.read_table(opened)["row_id"].to_pylist() == row_ids
    assert set(row_ids) == {*(f"{name}_5" for name in names[:-1]), "not \\xff utf8_5"}
    run(folder, model, outputs=("label",), sink=tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.reader(file))[1:]
    assert {row[0] for row in rows} == {f"{name}_5" for name in names}


def test_what_cannot_be_written_is_refused_at_once(tmp_path: Path, folder: Path, model: Path) -> None:
    with pytest.raises(InputError, match=r"end it in \.csv, \.parquet or \.npz; a \.txt holds detections"):
        run(folder, model, sink=tmp_path / "out.txt")
    with pytest.raises(InputError, match=r"a CSV holds one vector a row"):
        run(folder, model, sink=tmp_path / "out.csv")
    for name in ("/", "hoplite:/", "a\0b.csv"):
        with pytest.raises(InputError, match=r"it has no name|holds a NUL"):
            run(folder, model, sink=name)
    with pytest.raises(InputError, match="resume needs a sink"):
        run(folder, model, resume=True)
    (tmp_path / "out.parquet.partial").write_text("somebody else's")
    with pytest.raises(InputError, match="is in the way"):
        run(folder, model, sink=tmp_path / "out.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet.partial"]
