import json
from pathlib import Path

import numpy as np
import pytest

from runtime import InputError, run_soundscapes
from runtime.artifact import read_artifact
from runtime.explore.rows import open_rows
from tests.conftest import cut


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
