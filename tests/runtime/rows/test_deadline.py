"""Runs that end before their recordings do."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from convert.proof.synthetic import soundscape
from runtime.rows.deadline import Deadline
from runtime.workers.schedule import Schedule
from tests.support.deadlines import LONG, ends_when, windows_came
from tests.support.recordings import cut, write
from tests.support.runs import run


def test_run_cut_short_inside_a_long_ogg(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "long.ogg", np.tile(soundscape(0, 60)[::4], 8), 8_000)
    ends_when(monkeypatch, lambda table: windows_came(table) > 0)
    result = run(tmp_path, model, workers=1, hop_s=0.1, **LONG)
    assert len(result) == 4_751  # as its header promises, though it is read in one part
    assert 0 < result.count("scored") < 4_751
    assert result.count("scored") + result.count("filled") == 4_751


def test_run_cut_short_inside_oggs_that_promise_nothing(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        cut(write(tmp_path / f"{name}.ogg", np.tile(soundscape(0, 60)[::4], 8), 8_000), 0.9)
    ends_when(monkeypatch, lambda table: windows_came(table) > 0)
    result = run(tmp_path, model, workers=1, hop_s=0.1, **LONG)
    assert result.count("scored") >= 1
    assert result.row_ids[-1].startswith("b_")


@pytest.fixture
def minutes(tmp_path: Path) -> Path:
    for i in range(4):
        write(tmp_path / f"{i}.wav", soundscape(i, 60)[::4], 8_000)
    return tmp_path


def test_interpolation_with_time_enough_gives_the_same(minutes: Path, model: Path) -> None:
    result = run(minutes, model, on_deadline="interpolate", workers=2, **LONG)
    reference = run(minutes, model)
    assert result.status.tolist() == ["scored"] * 48
    np.testing.assert_array_equal(result["label"], reference["label"])


def test_interpolation_covers_every_recording(minutes: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends_when(monkeypatch, lambda table: sum(bool(received.done) for received in table._received.values()) == 4)
    monkeypatch.setattr(Schedule, "_first_step", lambda self: 4)
    result = run(minutes, model, on_deadline="interpolate", workers=2, hop_s=0.5, **LONG)
    label = result["label"]
    assert result.count("filled") == result.count("failed") == 0
    assert 0 < result.count("scored") < len(result) == 4 * 111
    assert "of the rows were measured" in result.summary()
    of_recording = result.status.reshape(4, 111)
    assert ((of_recording == "scored").sum(axis=1) > 0).all()
    for row in np.flatnonzero(result.status == "interpolated"):
        first = row // 111 * 111
        scored = first + np.flatnonzero(of_recording[row // 111] == "scored")
        nearest = [*scored[scored < row][-1:], *scored[scored > row][:1]]
        np.testing.assert_allclose(label[row], label[nearest].mean(axis=0), rtol=1e-6)


def test_no_more_is_interpolated_than_there_is_time_for(
    minutes: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_when(monkeypatch, lambda table: sum(bool(received.done) for received in table._received.values()) == 4)
    monkeypatch.setattr(Schedule, "_first_step", lambda self: 4)
    monkeypatch.setattr(Deadline, "rows_to_interpolate", lambda *_: 20)
    result = run(minutes, model, on_deadline="interpolate", workers=2, hop_s=0.5, **LONG)
    assert result.count("interpolated") == 20
    assert result.count("scored") + result.count("filled") == 4 * 111 - 20


def test_clock_that_jumps_changes_nothing(recordings: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jumps = iter(range(0, 10**9, 10**6))
    monkeypatch.setattr(time, "time", lambda: float(next(jumps)))
    result = run(recordings, model, **LONG)
    assert result.count("scored") == len(result)
    assert result.timing.elapsed_s < 10**6  # a jump
