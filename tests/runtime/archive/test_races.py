"""Runs that overlap, and recordings that come, go and change meanwhile."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from convert.proof.synthetic import soundscape
from runtime import archive_status, merge_archive
from runtime.archive.ledger import Ledger
from runtime.archive.preparation import Archive, prepare
from runtime.archive.run import score
from runtime.archive.summary import ArchiveSummary
from runtime.request.archive import ArchiveOptions
from runtime.request.request import Request
from tests.support.archives import OUTPUTS, fill
from tests.support.recordings import write


def prepared(archive: Path, model: Path, out: Path, **options: object) -> tuple[Archive, ArchiveSummary]:
    """A run that has looked at the dataset, and has not begun."""
    request = Request(outputs=OUTPUTS, progress=False)
    return prepare(archive, model, out, request, ArchiveOptions(**options))  # type: ignore[arg-type]


def finish(run: tuple[Archive, ArchiveSummary]) -> ArchiveSummary:
    score(*run, report=False)
    return run[1]


def merged(out: Path) -> bytes:
    target = out.parent / "merged.parquet"
    merge_archive(out, target, progress=False)
    return target.read_bytes()


def few(folder: Path) -> Path:
    """An archive of two recordings."""
    folder.mkdir()
    for i, name in enumerate(("a", "b")):
        write(folder / f"{name}.wav", soundscape(i, 12))
    return folder


def test_failed_units_that_two_runs_try_again_at_once_stay_whole(
    out: Path, archive: Path, model: Path, plain: Path
) -> None:
    runs = [prepared(archive, model, out, retry_failed=True, shard=shard) for shard in ("2/2", "1/1", "1/2")]
    assert [finish(run).failed for run in runs] == [3, 3, 0]
    assert merged(out) == plain.read_bytes()
    fill(archive, model, out)  # clears what is there twice
    assert archive_status(out).repeats == 0


def test_a_retry_that_is_killed_before_it_clears_leaves_nothing_for_good(
    out: Path, archive: Path, model: Path, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "clear_failed", lambda *_: None)
        fill(archive, model, out, retry_failed=True)
    assert archive_status(out).repeats == 3
    fill(archive, model, out)
    assert archive_status(out).repeats == 0
    assert merged(out) == plain.read_bytes()


def test_rows_of_recordings_that_cannot_be_looked_at_stay(tmp_path: Path, model: Path) -> None:
    """As when their disk is away for a while."""
    disk, archive = few(tmp_path / "disk"), tmp_path / "archive"
    archive.mkdir()
    for path in disk.iterdir():
        (archive / path.name).symlink_to(path)
    out = tmp_path / "out"
    fill(archive, model, out)
    before = merged(out)
    disk.rename(tmp_path / "away")
    summary = fill(archive, model, out, retry_failed=True)
    assert (summary.before, summary.failed, summary.changed) == (2, 0, [])
    assert merged(out) == before


def test_a_recording_that_is_replaced_while_a_shard_runs(tmp_path: Path, model: Path) -> None:
    """The shard fails with it, under what it was called; a run that planned it anew does it."""
    archive, out = few(tmp_path / "archive"), tmp_path / "out"
    fill(archive, model, out, plan=True)
    shard = prepared(archive, model, out, shard="1/1")
    write(archive / "a.wav", soundscape(2, 17))
    fill(archive, model, out, plan=True)
    assert finish(shard).failed == 1
    status = archive_status(out)
    assert (status.strangers, status.left, status.failed) == (1, 1, 0)
    assert "1 unit in rows/ of recordings that changed or are gone; a merge leaves them out" in status.summary()
    assert fill(archive, model, out).ok == 1
    merged(out)
    table = pq.read_table(tmp_path / "merged.parquet")
    assert table["row_id"].to_pylist() == [*(f"a_{5 * i}" for i in range(1, 5)), "b_5", "b_10", "b_15"]
    assert set(table["status"].to_pylist()) == {"scored"}


def test_units_whose_recordings_are_gone_fail_and_the_rest_is_merged(tmp_path: Path, model: Path) -> None:
    archive, out = few(tmp_path / "archive"), tmp_path / "out"
    fill(archive, model, out, plan=True)
    fill(archive, model, out, shard="1/2")
    (archive / "b.wav").unlink()
    assert [failure.reason for failure in fill(archive, model, out).failures] == ["no such file or directory"]
    merged(out)
    (out / "manifest.parquet").unlink()  # what is done stays done
    assert fill(archive, model, out).before == 1
    assert archive_status(out).strangers == 1


def test_changed_recordings_may_have_any_name(tmp_path: Path, model: Path) -> None:
    archive, out = few(tmp_path / "archive"), tmp_path / "out"
    odd = archive / os.fsdecode(b"caf\xe9.wav")
    shutil.move(archive / "b.wav", odd)
    fill(archive, model, out)
    write(tmp_path / "b.wav", soundscape(4, 7))
    shutil.move(tmp_path / "b.wav", odd)
    summary = fill(archive, model, out, retry_failed=True)
    assert (summary.units, summary.before, summary.ok, summary.failed) == (2, 1, 1, 0)
    assert archive_status(out).strangers == archive_status(out).repeats == 0
    merged(out)
    assert len(pq.read_table(tmp_path / "merged.parquet")) == 5
