"""What is wrong with a dataset is said, with the file and the remedy."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runtime import InputError, OutputError, archive_status, merge_archive
from runtime.archive.folder import LocalFolder
from runtime.archive.ledger import read_ledger
from runtime.archive.part import drop_units
from tests.support.archives import fill, flip_byte

FAILED = "*-failed.parquet"


def part_of(out: Path, pattern: str = "*-00001.parquet") -> Path:
    (path,) = (out / "rows").glob(pattern)
    return path


def flip_first(path: Path) -> None:
    flip_byte(path, 0.02)  # in the first column


def test_a_part_that_is_cut_short_is_named_and_can_be_deleted(
    out: Path, archive: Path, model: Path, plain: Path
) -> None:
    part = part_of(out)
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(InputError, match=rf"{part.name} is damaged, or is no part of a dataset .*; delete it"):
        fill(archive, model, out)
    part.unlink()
    assert archive_status(out).left == 16
    assert fill(archive, model, out).ok == 16
    merge_archive(out, out.parent / "merged.parquet", progress=False)
    assert (out.parent / "merged.parquet").read_bytes() == plain.read_bytes()


def test_a_part_with_a_flipped_bit_is_not_merged(out: Path) -> None:
    flip_byte(part_of(out), 0.3)
    with pytest.raises(InputError, match=rf"{part_of(out).name} is damaged, or is no part of a dataset .*; delete it"):
        merge_archive(out, out.parent / "merged.parquet", progress=False)
    assert not (out.parent / "merged.parquet").exists()


@pytest.mark.parametrize("share", [0.3, 0.999999])
def test_a_unit_is_not_taken_out_of_a_damaged_part(out: Path, share: float) -> None:
    folder, part = LocalFolder(out), part_of(out)
    flip_byte(part, share)
    ledger = read_ledger(folder)
    unit = next(each.unit_id for each in ledger.statuses() if each.file == part.name)
    with pytest.raises(InputError, match=rf"{part.name} is damaged, or is no part of a dataset .*; delete it"):
        ledger.clear(folder, {unit})
    assert part.exists()


def test_a_part_that_the_system_refuses_is_not_called_damaged(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: LocalFolder, name: str) -> bytes:
        raise OSError(5, "Input/output error", name)

    monkeypatch.setattr(LocalFolder, "read", refuse)
    with pytest.raises(InputError, match=r"cannot read .*parquet \(input/output error\); repeat the command"):
        drop_units(LocalFolder(out), part_of(out).name, set())


def test_a_status_that_is_lost_is_written_again(out: Path, archive: Path, model: Path) -> None:
    part = part_of(out)
    status = out / "status" / part.name
    before = pq.read_table(status)
    status.unlink()
    flip_byte(out / "status" / min((out / "rows").glob(FAILED)).name)
    assert fill(archive, model, out).before == 19
    assert pq.read_table(status).equals(before)


def test_a_part_of_another_dataset_is_named(out: Path, archive: Path, model: Path) -> None:
    other = out.parent / "other"
    fill(archive, model, other, outputs=["label"], shard="1/3")
    foreign = part_of(other, "part-001of003-*.parquet")
    shutil.copy(foreign, out / "rows")
    with pytest.raises(InputError, match=rf"{foreign.name} was made by another model, or with other options"):
        archive_status(out)
    (out / "manifest.parquet").unlink()
    with pytest.raises(InputError, match=rf"{foreign.name} was made by another model, or with other options"):
        fill(archive, model, out)  # it has just been planned anew
    (out / "rows" / foreign.name).unlink()
    (out / "status" / foreign.name).unlink()
    pq.write_table(pa.table({"x": [1]}), out / "rows" / "mine.parquet")
    with pytest.raises(InputError, match=r"mine\.parquet is no part of this dataset; move it"):
        archive_status(out)


@pytest.mark.parametrize("harm", [flip_first, lambda path: path.write_bytes(b""), lambda path: path.write_text("PAR1")])
def test_a_manifest_that_is_damaged_can_be_made_anew(out: Path, archive: Path, model: Path, harm: object) -> None:
    manifest = out / "manifest.parquet"
    harm(manifest)  # type: ignore[operator]
    with pytest.raises(
        InputError, match=r"manifest\.parquet is damaged, .*; delete it to plan anew: what is done stays"
    ):
        fill(archive, model, out)
    manifest.unlink()
    assert fill(archive, model, out).before == 19


def test_what_is_missing_is_not_merged(out: Path) -> None:
    for part in (out / "rows").glob(FAILED):
        part.unlink()
    with pytest.raises(InputError, match=r"out lacks 3 of 19 units, the first of .*broken\.wav; let a run do"):
        merge_archive(out, out.parent / "merged.csv", progress=False)


def test_what_is_no_dataset_is_named(tmp_path: Path) -> None:
    for ask in (archive_status, lambda path: merge_archive(path, tmp_path / "x.csv")):
        with pytest.raises(InputError, match=r"is no dataset: it has no manifest\.parquet"):
            ask(tmp_path / "nowhere")  # type: ignore[operator]
    assert not (tmp_path / "nowhere").exists()


def test_a_merge_does_not_write_into_the_dataset(out: Path) -> None:
    with pytest.raises(InputError, match=r"rows/x\.parquet lies in the dataset .*; name a file outside of it"):
        merge_archive(out, out / "rows" / "x.parquet", progress=False)


def test_a_disk_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(
        OutputError, match=rf"^cannot write to {tmp_path} \(read-only file system\); what was committed"
    ):
        LocalFolder(tmp_path).write("rows/part.parquet", b"")
