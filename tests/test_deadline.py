"""Runs that end before their recordings do."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from convert.synthetic import soundscape
from runtime import Soundscapes, run_soundscapes
from tests.conftest import cut, write

pytestmark = pytest.mark.alone  # what is done by a deadline depends on what else runs


def run(soundscapes: object, model: Path, **options: object) -> Soundscapes:
    return run_soundscapes(soundscapes, model, **{"progress": False, **options})  # type: ignore[arg-type]


def test_run_cut_short_inside_a_long_ogg(tmp_path: Path, model: Path) -> None:
    write(tmp_path / "long.ogg", np.tile(soundscape(0, 60)[::4], 25), 8_000)
    result = run(tmp_path, model, workers=1, hop_s=0.1, deadline_s=4.0)
    assert len(result) == 14_951  # as its header promises, though it is read in one part
    assert 0 < result.count("scored") < 14_951
    assert result.count("scored") + result.count("filled") == 14_951


def test_run_cut_short_inside_oggs_that_promise_nothing(tmp_path: Path, model: Path) -> None:
    for name in ("a", "b"):
        cut(write(tmp_path / f"{name}.ogg", np.tile(soundscape(0, 60)[::4], 25), 8_000), 0.9)
    result = run(tmp_path, model, workers=1, hop_s=0.1, deadline_s=4.0)
    assert result.count("scored") >= 1
    assert result.row_ids[-1].startswith("b_")


@pytest.mark.parametrize("deadline_s", [3.0, 600.0])
def test_interpolation_covers_every_recording(tmp_path: Path, model: Path, deadline_s: float) -> None:
    for i in range(4):
        write(tmp_path / f"{i}.wav", np.tile(soundscape(i, 60), 40 if deadline_s < 10 else 1)[::4], 8_000)
    hop_s = 0.5 if deadline_s < 10 else 5.0  # 4,791 windows each, or 12
    result = run(tmp_path, model, deadline_s=deadline_s, on_deadline="interpolate", workers=2, hop_s=hop_s)
    label = result["label"]
    if deadline_s > 100:
        reference = run(tmp_path, model)
        assert result.status.tolist() == ["scored"] * 48
        np.testing.assert_array_equal(label, reference["label"])
        return
    assert result.timing["elapsed_s"] < deadline_s + 1
    assert result.count("filled") == result.count("failed") == 0
    assert 0 < result.count("scored") < len(result) == 4 * 4791
    assert "of the rows were measured" in result.summary()
    of_recording = result.status.reshape(4, 4791)
    assert ((of_recording == "scored").sum(axis=1) > 0).all()
    for row in np.flatnonzero(result.status == "interpolated")[:200]:
        first = row // 4791 * 4791
        scored = first + np.flatnonzero(of_recording[row // 4791] == "scored")
        nearest = [*scored[scored < row][-1:], *scored[scored > row][:1]]
        np.testing.assert_allclose(label[row], label[nearest].mean(axis=0), rtol=1e-6)


def test_clock_that_jumps_changes_nothing(recordings: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jumps = iter(range(0, 10**9, 10**6))
    monkeypatch.setattr(time, "time", lambda: float(next(jumps)))
    result = run(recordings, model, deadline_s=600)
    assert result.count("scored") == len(result)
    assert result.timing["elapsed_s"] < 600
