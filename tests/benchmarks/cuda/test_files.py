"""Files to rows and memory, on the CPU provider."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile

from benchmarks.cuda import files, memory
from benchmarks.cuda.recordings import by_format, enough
from benchmarks.cuda.step import Context
from benchmarks.throughput.full_run import FullRun
from convert.proof.synthetic import write_soundscape
from runtime.model.artifact import read_artifact


def context(model: Path, folder: Path, seconds: float = 300) -> Context:
    return Context({"tiny": model}, "cpu", None, None, True, time.monotonic() + seconds, folder, {})


def test_a_run_is_held_against_the_slower_of_its_parts(model: Path, tmp_path: Path) -> None:
    kept: list[Any] = []
    found = files.measure(context(model, tmp_path), kept.append)
    (name,) = (name for name in found["trials"] if "decoder" in name)
    run = found["trials"][name]
    assert run["windows_per_s"] / min(run["bounds"]) == run["share"]
    assert run["windows"] >= 12 and run["complaint"] is None and run["took_s"] > run["scoring_s"]
    assert len(kept) == 2 * len(found["trials"])
    assert name in list(files.lines(found))[1]


def test_a_run_is_timed_if_a_part_of_it_cannot_be(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(files, "Workers", fail)
    monkeypatch.setattr(files, "time_full_run", lambda plan: FullRun(20.0, 100, 1.0, None, None, (), None))
    found = files.measure(context(model, tmp_path), lambda _: None)["trials"]
    assert found["tiny float32 alone"] == {"error": "OSError: no more processes"}
    (run,) = (each for each in found.values() if "windows_per_s" in each)
    assert "share" not in run


def test_recordings_of_the_user_come_before_synthetic_ones(model: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    write_soundscape(own / "a.FLAC", 1, 10.0)
    found = by_format(("flac", "ogg"), own, tmp_path / "made", 1)
    assert [path.name for path in (*found["flac"], *found["ogg"])] == ["a.FLAC", "0.ogg"]
    links = enough(found["flac"], 5, read_artifact(model), tmp_path / "links")
    assert len(links) == 3  # two windows each
    assert {soundfile.info(path).frames for path in links} == {320_000}


def test_memory_is_measured_for_each_batch(model: Path, tmp_path: Path) -> None:
    found = memory.measure(context(model, tmp_path), lambda _: None)
    for batch in memory.QUICK_BATCHES:
        each = found["trials"][f"tiny float32, batch {batch}"]
        assert each["bytes"] == each["process_bytes"] + each["weights_bytes"] + each["run_bytes"] > 2**20
    assert len(list(memory.lines(found))) == 3


def test_what_cannot_be_measured_is_said(model: Path, tmp_path: Path) -> None:
    there = context(model, tmp_path)
    gone = replace(there, device="cuda:99")
    found = memory.measure(gone, lambda _: None)
    assert all("CUDA does not say how much" in each["error"] for each in found["trials"].values())
    assert found["bytes_a_window"] == {"tiny float32": None}
