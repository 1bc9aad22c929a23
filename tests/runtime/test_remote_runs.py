from pathlib import Path

import numpy as np
import pytest

from convert.proof.synthetic import soundscape
from runtime import Soundscapes
from runtime.errors import InputError
from runtime.model.artifact import read_artifact
from tests.support.recordings import write
from tests.support.rows_files import npz_arrays
from tests.support.runs import interrupt, run, write_sample
from tests.support.stores import Store, hurry

OUTPUTS = ("label", "embedding")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "site").mkdir()
    for i, name in enumerate(("a.wav", "b.flac", "site/a.ogg", "site/c.mp3")):
        write(folder / name, soundscape(i, 21))
    (folder / "broken.wav").write_bytes(b"RIFF and then nothing")
    (folder / "notes.txt").touch()
    return folder


def assert_same(one: Soundscapes, other: Soundscapes) -> None:
    assert one.row_ids == other.row_ids
    np.testing.assert_array_equal(one.status, other.status)
    for name in OUTPUTS:
        np.testing.assert_array_equal(one[name], other[name])
    assert [failure.reason for failure in one.failures] == [failure.reason for failure in other.failures]


def test_rows_of_a_folder_in_s3_are_those_of_its_copy(store: Store, recordings: Path, model: Path) -> None:
    url = store.put_folder(recordings, "run")
    store.proxy.cuts = {"b.flac": (100_000, 2), "a.wav": (300_000, 1)}  # which nobody notices
    there = run(url, model, outputs=OUTPUTS)
    here = run(recordings, model, outputs=OUTPUTS)
    assert_same(there, here)
    assert sum(left for _, left in store.proxy.cuts.values()) == 0
    assert set(there.row_ids) > {"a_5", "site/a_5", "b_20", "c_25"}
    assert there.paths == [path.replace(str(recordings), url) for path in here.paths]


def test_one_recording_that_is_cut_off_fails_alone(
    store: Store, recordings: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(tmp_path / "hurry", monkeypatch)
    url = store.put_folder(recordings, "cut")
    store.proxy.cuts = {"cut/a.wav": (600_000, np.inf)}
    there, here = run(url, model, outputs=OUTPUTS), run(recordings, model, outputs=OUTPUTS)
    reasons = {str(failure.path).rpartition("/")[2]: failure.reason for failure in there.failures}
    assert sorted(reasons) == ["a.wav", "broken.wav"]
    assert "could not be reached for 0.3 s" in reasons["a.wav"]
    failed = there.status == "failed"
    lost = {row_id for row_id, bad in zip(there.row_ids, failed & (here.status == "scored")) if bad}
    assert lost
    assert lost < {f"a_{end}" for end in (5, 10, 15, 20, 25)}
    assert there.row_ids == here.row_ids
    for name in OUTPUTS:
        np.testing.assert_array_equal(there[name][~failed], here[name][~failed])


def test_a_run_over_urls_resumes(
    store: Store, recordings: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = store.put_folder(recordings, "resumed")
    interrupt(url, model, tmp_path / "rows.npz", 2, monkeypatch)  # type: ignore[arg-type]
    store.proxy.reset()
    resumed = run(url, model, sink=tmp_path / "rows.npz", resume=True, outputs=OUTPUTS)
    assert store.proxy.of("resumed/a.wav") == 0
    assert not resumed.count("filled")
    run(recordings, model, sink=tmp_path / "copy.npz", outputs=OUTPUTS)
    there, here = npz_arrays(tmp_path / "rows.npz"), npz_arrays(tmp_path / "copy.npz")
    for name in ("row_ids", "status", *OUTPUTS):
        np.testing.assert_array_equal(there[name], here[name])


def test_a_sample_submission_names_recordings_in_s3(
    store: Store, recordings: Path, model: Path, tmp_path: Path
) -> None:
    url = store.put_folder(recordings, "sample")
    names = list(read_artifact(model).heads["label"].classes[:2])
    sample = write_sample(tmp_path / "sample.csv", names, ("site/a_10", "b_5", "nothing_5"))
    there = run(url, model, classes=sample)
    assert (there.row_ids, there.status.tolist()) == (["site/a_10", "b_5", "nothing_5"], ["scored", "scored", "filled"])


def test_results_are_not_written_to_a_url(model: Path, recordings: Path) -> None:
    with pytest.raises(InputError, match=r"^cannot write s3://b/x\.csv: a file is written to a disk"):
        run(recordings, model, sink="s3://b/x.csv")
