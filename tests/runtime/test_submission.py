"""Runs whose classes are a sample submission."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from convert.conversion import convert
from convert.proof.synthetic import soundscape
from runtime import InputError, Soundscapes
from runtime.model.artifact import read_artifact
from tests.support.recordings import write
from tests.support.runs import run, write_sample

ROWS = ["a_5", "a_10", "a_15", "a_20", "b_5", "b_10", "b_15", "c_5", "c_10"]


@pytest.fixture(scope="module")
def reference(recordings: Path, model: Path) -> Soundscapes:
    return run(recordings, model)


def test_submission_has_the_samples_columns(
    tmp_path: Path, recordings: Path, model: Path, reference: Soundscapes
) -> None:
    known = read_artifact(model).heads["label"].classes
    sample = write_sample(tmp_path / "sample.csv", [known[7], "1139490", known[2]])
    result = run(recordings, model, classes=sample)
    assert result.unmapped == ["1139490"]
    result.to_submission(tmp_path / "submission.csv")
    header, *rows = csv.reader((tmp_path / "submission.csv").read_text().splitlines())
    assert header == ["row_id", known[7], "1139490", known[2]]
    assert [row[0] for row in rows] == ROWS
    numbers = np.array([row[1:] for row in rows], np.float32)
    np.testing.assert_array_equal(numbers[:, [0, 2]], reference["label"][:, [7, 2]])
    assert not numbers[:, 1].any()
    assert (run(recordings, model, classes=sample, unmapped=-5)["label"][:, 1] == -5).all()


def test_empty_folder_gives_the_samples_rows(tmp_path: Path, model: Path) -> None:
    names = list(read_artifact(model).heads["label"].classes[:2])
    sample = write_sample(tmp_path / "sample.csv", names, ("s_5", "s_10"))
    folder = tmp_path / "test_soundscapes"
    folder.mkdir()
    result = run(folder, model, classes=sample)
    assert result.row_ids == ["s_5", "s_10"]
    assert result.status.tolist() == ["filled", "filled"]
    assert "no recordings were found" in result.summary()
    result.to_submission(tmp_path / "submission.csv")
    assert (
        tmp_path / "submission.csv"
    ).read_text() == f"row_id,{names[0]},{names[1]}\ns_5,-1000,-1000\ns_10,-1000,-1000\n"
    with pytest.raises(InputError, match="no recordings in"):
        run(folder, model)


def test_unreadable_recording_takes_the_samples_rows(tmp_path: Path, model: Path) -> None:
    names = list(read_artifact(model).heads["label"].classes[:2])
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "s.ogg").write_bytes(b"broken")
    result = run(folder, model, classes=write_sample(tmp_path / "sample.csv", names, ("s_5", "s_10", "t_5")))
    assert result.row_ids == ["s_5", "s_10", "t_5"]
    assert result.status.tolist() == ["failed", "failed", "filled"]  # nobody tried to read t


def test_repeated_stems(tmp_path: Path, model: Path) -> None:
    for site in ("north", "south"):
        (tmp_path / site).mkdir()
        write(tmp_path / site / "0500.wav", soundscape(len(site), 5))
    assert run(tmp_path, model).row_ids == ["north/0500_5", "south/0500_5"]
    sample = write_sample(tmp_path / "sample.csv", [read_artifact(model).heads["label"].classes[0]])
    with pytest.raises(InputError, match=r"north.0500\.wav and .*south.0500\.wav would have the same row_ids"):
        run(tmp_path, model, classes=sample)


@pytest.mark.slow
def test_sliced_model_gives_the_same_columns(
    tmp_path: Path, saved_model: Path, recordings: Path, model: Path, reference: Soundscapes
) -> None:
    known = read_artifact(model).heads["label"].classes
    sample = write_sample(tmp_path / "sample.csv", [known[9], "1139490", known[1]])
    sliced = tmp_path / "sliced.onnx"
    artifact = convert(saved_model, sliced, outputs=["label", "embedding"], classes=sample, progress=False)
    assert artifact.heads["label"].classes == (known[1], known[9])
    assert set(artifact.heads) == {"label", "embedding"}
    assert len(artifact.heads["label"].dropped) == len(known) - 2
    assert artifact.artifact_sha256 != read_artifact(model).artifact_sha256
    result = run(recordings, sliced, classes=sample)
    np.testing.assert_allclose(result["label"][:, [0, 2]], reference["label"][:, [9, 1]], atol=1e-5)
    with pytest.raises(InputError, match=f"converted without {known[4]}"):
        run(recordings, sliced, classes=[known[1], known[4]])
