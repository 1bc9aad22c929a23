"""Runs whose windows are around the loudest events."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import runtime.run
from runtime import InputError, Soundscapes
from runtime.cli import main
from runtime.workers.stages import Stages
from tests.support import runs
from tests.support.planted import noise, plant
from tests.support.recordings import RATE, cut, write
from tests.support.rows_files import npz_arrays
from tests.support.runs import interrupt

NAMES = ("a.wav", "b.wav", "c.flac", "d.wav")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings with events (12 and 25 s; 4 and 9 s, breaking off at 10 s; 1 s), one without, one no sound."""
    folder = tmp_path_factory.mktemp("focal")
    write(folder / "a.wav", plant(noise(0, 30), [12, 25], 0.5, (2000, 4000)))
    cut(write(folder / "b.wav", plant(noise(1, 20), [4, 9], 0.5, (2000, 4000))), 0.5)
    write(folder / "c.flac", noise(2, 8))
    write(folder / "d.wav", plant(noise(3, 3), [1], 0.5, (2000, 4000)))
    (folder / "e.wav").write_text("no sound")
    return folder


run = functools.partial(runs.run, segments="peaks")


@pytest.fixture(scope="module")
def reference(folder: Path, model: Path) -> Soundscapes:
    return run(folder, model, workers=1)


def test_rows_are_windows_around_events(folder: Path, model: Path, reference: Soundscapes, tmp_path: Path) -> None:
    assert reference.status.tolist() == ["scored"] * 5
    starts = reference.start_s
    np.testing.assert_allclose(starts, [9.5, 22.5, 1.5, 5, 0], atol=0.1)
    np.testing.assert_array_equal(reference.end_s, starts + 5)
    stems = ("a", "a", "b", "b", "d")
    assert reference.row_ids == [f"{stem}_{start + 5:.10g}" for stem, start in zip(stems, starts, strict=True)]
    audio = plant(noise(0, 30), [12, 25], 0.5, (2000, 4000))[round(starts[0] * RATE) :][: 5 * RATE]
    alone = run(write(tmp_path / "window.wav", audio), model, segments="grid")
    np.testing.assert_allclose(reference["label"][0], alone["label"][0], atol=1e-3)
    assert [failure.path.name for failure in reference.failures] == ["b.wav", "e.wav"]
    assert "is truncated" in reference.failures[0].reason
    assert (reference.without_events, reference.not_reached) == (1, 0)
    assert "without events, so without rows: 1 of 5 recordings" in reference.summary()


def test_workers_do_not_change_a_bit(folder: Path, model: Path, reference: Soundscapes) -> None:
    result = run(folder, model, workers=3)
    assert result.row_ids == reference.row_ids
    np.testing.assert_array_equal(result["label"], reference["label"])
    result = run(folder, model, engine=Stages, workers=2, batch_size=4)
    assert result.row_ids == reference.row_ids
    assert [failure.path for failure in result.failures] == [failure.path for failure in reference.failures]
    np.testing.assert_allclose(result["label"], reference["label"], atol=1e-4)


def test_as_many_as_asked_for_and_normalised(folder: Path, model: Path, reference: Soundscapes) -> None:
    result = run([folder / "a.wav", folder / "b.wav"], model, max_peaks=1, normalize="peak")
    assert len(result) == 2
    assert set(result.row_ids) < set(reference.row_ids)
    assert np.abs(result["label"][0] - reference["label"][reference.row_ids.index(result.row_ids[0])]).max() > 1e-3


def test_window_with_a_sample_that_is_no_number_is_failed(tmp_path: Path, model: Path) -> None:
    audio = plant(noise(0, 30), [8, 22], 0.5, (2000, 4000))
    audio[7 * RATE] = np.nan
    result = run(write(tmp_path / "nan.wav", audio, subtype="FLOAT"), model)
    assert result.status.tolist() == ["failed", "scored"]
    assert [failure.reason for failure in result.failures] == ["holds samples that are not finite numbers"]


def test_interrupted_run_is_taken_up(
    tmp_path: Path, folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.parquet"
    run(folder, model, outputs=("label", "embedding"), sink=tmp_path / "whole.parquet")
    interrupt(folder, model, target, 3, monkeypatch, segments="peaks")
    with pytest.raises(InputError, match=r"cannot resume \S*: segments was peaks and is grid; use"):
        run(folder, model, outputs=("label", "embedding"), segments="grid", sink=target, resume=True)
    with pytest.raises(InputError, match="max_peaks was 5 and is 4"):
        run(folder, model, outputs=("label", "embedding"), max_peaks=4, sink=target, resume=True)
    result = run(folder, model, outputs=("label", "embedding"), sink=target, resume=True)
    assert pq.read_table(target).equals(pq.read_table(tmp_path / "whole.parquet"))
    assert (result.without_events, len(result), len(result.failures)) == (1, 5, 2)


def test_deadline_leaves_recordings_out(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        write(tmp_path / name, plant(noise(0, 10), [5], 0.5, (2000, 4000)))
    monkeypatch.setattr(runtime.run, "RESERVE", 1.0)  # so that nothing is reached
    target = tmp_path / "out.csv"
    result = run(tmp_path, model, deadline_s=5, sink=target)
    assert (len(result), result.not_reached, result.without_events, result.failures) == (0, 4, 0, [])
    assert "not scored in time: 4 of 4 recordings" in result.summary()
    assert len(target.read_text().splitlines()) == 1


def test_recordings_without_any_event_make_a_table_without_rows(tmp_path: Path, model: Path) -> None:
    write(tmp_path / "noise.wav", noise(0, 8))
    result = run(tmp_path, model, sink=tmp_path / "out.parquet")
    assert (len(result), result.without_events) == (0, 1)
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 0
    run(tmp_path, model).to_npz(tmp_path / "out.npz")
    assert npz_arrays(tmp_path / "out.npz")["label"].shape[0] == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"segments": "loud"}, "segments is 'loud', but must be 'grid' or 'peaks'"),
        ({"max_peaks": 0}, "max_peaks is 0, but must be at least 1"),
        ({"hop_s": 2.5}, "windows around peaks have no hop"),
        ({"on_deadline": "interpolate", "deadline_s": 60}, "needs windows on a grid"),
    ],
)
def test_what_peaks_cannot_do(folder: Path, model: Path, options: dict[str, object], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        run(folder, model, **options)


def test_command(tmp_path: Path, folder: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample = tmp_path / "sample_submission.csv"
    sample.write_text("row_id,abethr1\na_5,0\n")
    command = [str(folder / "a.wav"), "--model", str(model), "-o", str(tmp_path / "out.csv")]
    assert main([*command, "--segments", "peaks", "--classes", str(sample)]) == 2
    assert "whose rows are a grid" in capsys.readouterr().err
    assert main([*command, "--segments", "peaks", "--max-peaks", "1"]) == 0
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 2
