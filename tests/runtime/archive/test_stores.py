"""Archives and datasets in an object store: a real S3 server, with connections cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime import OutputError, archive_status, merge_archive
from runtime.archive.folder import StoreFolder
from tests.support.archives import fill
from tests.support.rows_files import npz_arrays
from tests.support.stores import BUCKET, Store, hurry


@pytest.fixture
def url(store: Store, archive: Path) -> str:
    return store.put_folder(archive, "archive")


def test_an_archive_in_s3_fills_a_dataset_in_s3(
    store: Store, url: str, archive: Path, model: Path, plain: Path, tmp_path: Path
) -> None:
    """Cut connections change nothing. The rows are those of a copy on a disk, but for their paths."""
    out = f"s3://{BUCKET}/out"
    store.proxy.reset()
    store.proxy.cuts = {"night.wav": (70_000, 2), "manifest": (100, 1)}
    for number in (2, 1):
        fill(url, model, f"{out}/", shard=f"{number}/2")  # type: ignore[arg-type]
    assert store.proxy.cuts == {"night.wav": (70_000, 0), "manifest": (100, 0)}
    puts = [path for method, path in store.proxy.requests if method == "PUT"]
    assert sum("/rows/" in path for path in puts) == len(StoreFolder(out).files("rows/"))
    assert archive_status(out).left == 0
    merge_archive(out, tmp_path / "there.npz", progress=False)
    fill(archive, model, tmp_path / "out")
    merge_archive(tmp_path / "out", tmp_path / "here.npz", progress=False)
    there, here = npz_arrays(tmp_path / "there.npz"), npz_arrays(tmp_path / "here.npz")
    for name in ("row_ids", "start_s", "status", "embedding", "label"):
        np.testing.assert_array_equal(there[name], here[name])
    assert there["path"].tolist() == [path.replace(str(archive), url) for path in here["path"].tolist()]


def test_a_store_that_takes_nothing_is_named(
    store: Store, archive: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(tmp_path / "hurry", monkeypatch)
    store.proxy.reset()
    store.proxy.denied = "/denied/rows/part"
    with pytest.raises(OutputError, match=rf"cannot write to s3://{BUCKET}/denied \(.*\); what was committed stays"):
        fill(archive, model, f"s3://{BUCKET}/denied/")
    store.proxy.reset()
    assert fill(archive, model, f"s3://{BUCKET}/denied/").before == 0


def test_a_manifest_is_written_by_the_first(store: Store) -> None:
    folder = StoreFolder(f"s3://{BUCKET}/once")
    assert folder.write_once("manifest.parquet", b"one")
    assert not folder.write_once("manifest.parquet", b"two")
    assert folder.read("manifest.parquet") == b"one"
    folder.remove("manifest.parquet")
    assert folder.files() == {}
