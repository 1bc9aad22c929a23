"""Archives are scored in units, by any number of runs, and the rows are those of a plain run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from convert.proof.synthetic import soundscape
from runtime import ArchiveInterrupted, InputError, archive_status, merge_archive, run_archive, run_soundscapes
from runtime.archive import part
from runtime.archive.folder import LocalFolder
from runtime.archive.ledger import read_ledger
from runtime.archive.manifest import read_manifest
from tests.support.archives import OUTPUTS, fill
from tests.support.recordings import write
from tests.support.rows_files import npz_arrays

UNITS = 19
"""6 recordings of one part, 4 and 3 parts of the long ones, an OGG, one without sound, and 4 of the broken one, which
holds two and a piece of the third."""


def merged(out: Path) -> bytes:
    target = out.parent / "merged.parquet"
    merge_archive(out, target, progress=False)
    return target.read_bytes()


def test_merged_rows_are_the_file_of_a_plain_run(tmp_path: Path, archive: Path, model: Path, plain: Path) -> None:
    summary = fill(archive, model, tmp_path / "out")
    assert (summary.units, summary.share, summary.before, summary.left) == (UNITS, UNITS, 0, 0)
    assert {str(failure.path.name): failure.reason for failure in summary.failures} == {
        "no_sound.wav": "cannot be decoded (Format not recognised)",
        "broken.wav": "is truncated: of 70.0 s only 42.0 s are there",
    }
    assert merged(tmp_path / "out") == plain.read_bytes()


def test_merged_rows_of_several_windows_are_those_of_a_plain_run(tmp_path: Path, archive: Path, model: Path) -> None:
    south, options = archive / "south", {"outputs": ["label"], "hop_s": 2.5, "pool": "max", "progress": False}
    options, postprocessing = {**options, "activation": "sigmoid"}, {"file_scale": 2, "smooth": (1, 2, 1)}
    summary = run_archive(south, model, tmp_path / "out", **options)  # type: ignore[arg-type]
    assert f"{summary.rows} rows in" in summary.summary() and " rows/s, " in summary.summary()
    run_soundscapes(south, model, sink=tmp_path / "plain.parquet", **options, **postprocessing)  # type: ignore[arg-type]
    merge_archive(tmp_path / "out", tmp_path / "merged.parquet", progress=False, **postprocessing)  # type: ignore[arg-type]
    assert (tmp_path / "merged.parquet").read_bytes() == (tmp_path / "plain.parquet").read_bytes()
    with pytest.raises(InputError, match=r"holds the rows of another run: pool was max and is mean"):
        run_archive(south, model, tmp_path / "out", **{**options, "pool": "mean"})  # type: ignore[arg-type]


def test_the_folder_is_read_in_one_line(out: Path, plain: Path) -> None:
    expected = pd.read_parquet(plain).sort_values("row_id", ignore_index=True)
    no_length = expected["path"].str.endswith("no_sound.wav")  # a plain run guesses how long it is, a unit cannot
    expected = expected[~no_length].reset_index(drop=True)
    rows = pd.read_parquet(out / "rows").sort_values("row_id", ignore_index=True)
    own = ["row_id", "path", "start_s", "end_s", "status"]
    pd.testing.assert_frame_equal(rows[own], expected[own])
    scored = expected["status"] == "scored"
    for output in OUTPUTS:
        assert np.array_equal(np.stack(rows[output][scored]), np.stack(expected[output][scored]))
    assert pl.read_parquet(out / "rows").sort("row_id")["row_id"].to_list() == expected["row_id"].to_list()
    counted = duckdb.sql(f"select status, count(*) from '{out}/rows/*.parquet' group by 1").fetchall()
    assert dict(counted) == expected["status"].value_counts().to_dict()


def test_shards_share_the_units(tmp_path: Path, archive: Path, model: Path, plain: Path) -> None:
    out = tmp_path / "out"
    shares = []
    for number in (3, 1, 2):
        summary = fill(archive, model, out, shard=f"{number}/3")
        assert summary.before == summary.left == 0
        shares.append(summary.share)
    assert sum(shares) == UNITS and min(shares) > 1
    assert read_ledger(LocalFolder(out)).repeats == 0
    assert fill(archive, model, out, shard="2/3").before == shares[2]
    assert merged(out) == plain.read_bytes()


def test_what_is_there_is_not_done_again(
    tmp_path: Path, archive: Path, model: Path, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever did it, and however that run ended."""
    out = tmp_path / "out"
    add, added = part.PartWriter.add, []

    def counted(self: part.PartWriter, scored: object) -> object:
        added.append(scored)
        if len(added) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return add(self, scored)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(part.PartWriter, "add", counted)
        with pytest.raises(ArchiveInterrupted) as interrupted:
            fill(archive, model, out)
    assert interrupted.value.summary.left == UNITS - 4
    assert archive_status(out).left == UNITS - 4
    assert "at this speed" in archive_status(out).summary()
    summary = fill(archive, model, out)
    assert (summary.before, summary.ok + summary.failed, summary.left) == (4, UNITS - 4, 0)
    assert merged(out) == plain.read_bytes()
    names = sorted(os.listdir(out / "rows"))
    again = fill(archive, model, out)
    assert (again.before, again.ok, again.failed, sorted(os.listdir(out / "rows"))) == (UNITS, 0, 0, names)


KILLED_AT_RANDOM = """
import os, random, sys, threading, time
import runtime.audio.recording
from runtime.archive import part
runtime.audio.recording.PART_S = 20.0
part.COMMIT_S = 0.0
write, left = part.PartWriter._write, random.Random(int(sys.argv[1])).randrange(5)
between = int(sys.argv[1]) % 2
def counted(self, waiting):
    global left
    left -= 1
    if left < 0:
        write_status = part.write_statuses
        part.write_statuses = lambda *arguments: os.kill(os.getpid(), 9) if between else write_status(*arguments)
        write(self, waiting)
        os.kill(os.getpid(), 9)
    write(self, waiting)
part.PartWriter._write = counted
from runtime.cli import main
sys.exit(main(sys.argv[2:]))
"""


def test_runs_that_are_killed_leave_whole_parts(tmp_path: Path, archive: Path, model: Path, plain: Path) -> None:
    """Also one that is killed between a part and its status."""
    out, killed = tmp_path / "out", 0
    command = [str(archive), "--model", str(model), "-o", f"{out}/", "--outputs", ",".join(OUTPUTS), "--quiet"]
    for number in range(4):
        shard = ["--shard", f"{number % 2 + 1}/2"]
        ended = subprocess.run([sys.executable, "-c", KILLED_AT_RANDOM, str(number), *command, *shard])
        killed += ended.returncode == -signal.SIGKILL
        assert ended.returncode in (-signal.SIGKILL, 0, 1)
    assert killed >= 2
    fill(archive, model, out)
    assert not [path for path in out.iterdir() if path.is_file() and path.name != "manifest.parquet"]
    assert merged(out) == plain.read_bytes()


def test_two_runs_at_once_do_no_harm(out: Path, archive: Path, model: Path, plain: Path) -> None:
    """What was done twice counts once."""
    other = out.parent / "other"
    repeated = fill(archive, model, other, shard="2/2").share
    for folder in ("rows", "status"):
        shutil.copytree(other / folder, out / folder, dirs_exist_ok=True)
    assert archive_status(out).repeats == repeated
    assert f"{repeated} units done twice, by two runs at once; a merge takes one" in archive_status(out).summary()
    assert merged(out) == plain.read_bytes()


def test_recordings_may_lie_elsewhere(tmp_path: Path, archive: Path, model: Path, plain: Path) -> None:
    """On each machine that works on them: rows are called as they were planned."""
    out, elsewhere = tmp_path / "out", tmp_path / "mnt" / "disk7"
    fill(archive, model, out, plan=True)
    shutil.copytree(archive, elsewhere)
    fill(elsewhere, model, out, shard="1/2")
    fill(archive, model, out, shard="2/2")
    assert merged(out) == plain.read_bytes()
    with pytest.raises(InputError, match=r"none of the recordings of .* is there, such as .* they lie now"):
        fill(tmp_path, model, out, shard="2/2", retry_failed=True)


def test_a_plan_scores_nothing(tmp_path: Path, archive: Path, model: Path) -> None:
    out = tmp_path / "out"
    fill(archive, model, out, plan=True)
    assert sorted(path.name for path in out.iterdir()) == ["manifest.parquet"]
    table = pq.read_table(out / "manifest.parquet").to_pandas()
    night = table[table["name"] == "night"]
    assert night["first_window"].tolist() == [0, 4, 8, 12]
    assert night["last_window"].tolist() == [3, 7, 11, 12]
    assert len(set(table["unit_id"])) == len(table) == UNITS
    status = archive_status(out)
    assert (status.left, status.left_s, status.hosts) == (UNITS, None, [])
    assert "19 units left; none was done in the last 10 minutes" in status.summary()


def test_new_recordings_are_added(tmp_path: Path, archive: Path, model: Path, out: Path) -> None:
    archive = Path(shutil.copytree(archive, tmp_path / "archive"))
    write(archive / "north" / "zz.wav", soundscape(11, 12))
    summary = fill(archive, model, out)
    assert (summary.before, summary.ok) == (UNITS, 1)
    assert "zz_15" in pq.read_table(out / "rows")["row_id"].to_pylist()
    write(archive / "south" / "zz.wav", soundscape(12, 12))  # a plain run would now call both by their folders
    assert fill(archive, model, out).ok == 1
    row_ids = pq.read_table(out / "rows")["row_id"].to_pylist()
    assert {"zz_15", "south/zz_15"} < set(row_ids) and "north/zz_15" not in row_ids
    (archive / "north" / "2024_0.wav").unlink()  # nor are others called otherwise when one is gone
    assert fill(archive, model, out).before == UNITS + 2


def test_recordings_planned_below_another_folder_are_not_done_twice(tmp_path: Path, archive: Path, model: Path) -> None:
    out = tmp_path / "out"
    fill(archive, model, out, plan=True)
    with pytest.raises(InputError, match=r"none of the recordings that were planned is in .*north; name the folder"):
        fill(archive / "north", model, out, plan=True)
    above, site = tmp_path / "above", tmp_path / "above" / "site"
    site.mkdir(parents=True)
    for folder in (above, site):
        shutil.copy(archive / "north" / "2024_0.wav", folder / "a.wav")
    fill(site, model, tmp_path / "site", plan=True)
    with pytest.raises(InputError, match=r"site/a\.wav was planned as a\.wav, below another folder; name the folder"):
        fill(above, model, tmp_path / "site", plan=True)


def test_failed_units_and_changed_recordings_are_done_again_if_asked(
    tmp_path: Path, archive: Path, model: Path, out: Path
) -> None:
    archive = Path(shutil.copytree(archive, tmp_path / "archive"))
    write(archive / "south" / "broken.wav", soundscape(10, 70))
    write(archive / "south" / "no_sound.wav", soundscape(11, 12))
    summary = fill(archive, model, out)
    assert (summary.ok, summary.failed_before, len(summary.changed)) == (0, 3, 2)
    assert "2 recordings changed since, such as" in summary.summary()
    summary = fill(archive, model, out, retry_failed=True)
    assert (summary.ok, summary.failed, summary.left, summary.changed) == (5, 0, 0, [])
    assert not [name for name in os.listdir(out / "rows") if "failed" in name]
    merge_archive(out, tmp_path / "merged.npz", progress=False)
    run_soundscapes(archive, model, outputs=OUTPUTS, sink=tmp_path / "plain.npz", progress=False)
    there, here = npz_arrays(tmp_path / "merged.npz"), npz_arrays(tmp_path / "plain.npz")
    for name in ("row_ids", "start_s", "status", *OUTPUTS):
        np.testing.assert_array_equal(there[name], here[name])
    assert archive_status(out).repeats == 0


def test_failures_that_stay_are_recorded_once(out: Path, archive: Path, model: Path, plain: Path) -> None:
    summary = fill(archive, model, out, retry_failed=True)
    assert (summary.before, summary.failed) == (UNITS - 3, 3)
    status = archive_status(out)
    assert (status.failed, status.repeats, status.left) == (3, 0, 0)
    assert status.reasons == {
        "is truncated: of … s only … s are there": 2,
        "cannot be decoded (Format not recognised)": 1,
    }
    assert merged(out) == plain.read_bytes()


def test_a_recording_that_changes_after_it_was_planned_fails(tmp_path: Path, archive: Path, model: Path) -> None:
    archive, out = Path(shutil.copytree(archive, tmp_path / "archive")), tmp_path / "out"
    fill(archive, model, out, plan=True)
    write(archive / "north" / "night.wav", soundscape(7, 50))
    (archive / "south" / "2024_1.wav").unlink()
    summary = fill(archive, model, out, shard="1/1")
    reasons = {failure.path.name: failure.reason for failure in summary.failures}
    assert reasons["2024_1.wav"] == "no such file or directory"
    assert (
        reasons["night.wav"] == "has changed since it was planned: it had 4,032,044 bytes then, and has 3,200,044 now"
    )
    nights = pq.read_table(out / "rows", filters=[("row_id", "in", [f"night_{5 * i}" for i in range(1, 14)])])
    assert len(nights) == 0


def test_windows_around_events(tmp_path: Path, archive: Path, model: Path) -> None:
    """A recording is one unit then."""
    options = {"outputs": ["embedding"], "segments": "peaks", "progress": False}
    run_soundscapes(archive, model, sink=tmp_path / "plain.parquet", **options)  # type: ignore[arg-type]
    summary = run_archive(archive, model, tmp_path / "out", **options)  # type: ignore[arg-type]
    assert summary.units == 11
    assert merged(tmp_path / "out") == (tmp_path / "plain.parquet").read_bytes()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"smooth": (1, 2, 1)}, "smooth cannot be given for a dataset"),
        ({"file_scale": 2, "activation": "sigmoid"}, "file_scale cannot be given for a dataset"),
        ({"deadline_s": 3.0}, "deadline_s cannot be given for a dataset: a dataset has no deadline"),
        ({"sink": "x.csv"}, "sink cannot be given for a dataset"),
        ({"shard": "0/3"}, "shard is 0/3, but must be such as 3/20: from 1/N to N/N"),
        ({"shard": "x"}, "shard is 'x', but must be such as 3/20"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    tmp_path: Path, archive: Path, model: Path, options: dict[str, object], problem: str
) -> None:
    with pytest.raises(InputError, match=problem.replace("(", r"\(")):
        run_archive(archive, model, tmp_path / "out", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_another_model_or_other_options_are_refused(
    tmp_path: Path, archive: Path, model: Path, label_model: Path
) -> None:
    out = tmp_path / "out"
    fill(archive, model, out, outputs=["label"], plan=True)
    with pytest.raises(
        InputError, match=r"out holds the rows of another run: the model's id was \w{12} and is \w{12}; use"
    ):
        fill(archive, label_model, out, outputs=["label"])
    with pytest.raises(InputError, match="outputs was label and is embedding; use what was used before"):
        fill(archive, model, out, outputs=["embedding"], shard="1/2")


def test_a_folder_that_is_no_dataset_stays_as_it_is(tmp_path: Path, archive: Path, model: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match=r"out is no dataset, and holds thesis\.tex; name a new folder"):
        fill(archive, model, tmp_path / "out")
    with pytest.raises(InputError, match=r"plain\.txt is a file, and a dataset is a folder"):
        (tmp_path / "plain.txt").write_text("x")
        fill(archive, model, tmp_path / "plain.txt")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]
    assert read_manifest(LocalFolder(tmp_path / "nowhere")) is None
