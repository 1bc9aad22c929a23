"""Files to rows and memory, on the CPU provider."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import soundfile

from benchmarks.cuda import recordings
from benchmarks.cuda.recordings import by_format, enough
from benchmarks.cuda.step import Context
from benchmarks.cuda.steps import files, memory
from benchmarks.throughput.full_run import FullRun, RunPlan, lead
from benchmarks.throughput.workers import WorkerConfig
from convert.proof.synthetic import write_soundscape
from runtime.model.artifact import read_artifact
from runtime.model.cuda import TF32_OVERRIDE
from runtime.model.cuda_options import CudaOptions
from runtime.workers.setup import default_batch


def context(model: Path, folder: Path, seconds: float = 300) -> Context:
    return Context({"tiny": model}, "cpu", None, None, True, time.monotonic() + seconds, folder, {})


def test_a_run_is_timed_if_a_part_of_it_cannot_be(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(files, "Workers", fail)
    monkeypatch.setattr(files, "time_full_run", lambda plan: FullRun(20.0, 100, 1.0, None, None, (), None))
    found = files.measure(context(model, tmp_path), lambda _: None)["trials"]
    assert found["tiny float32 alone"] == {"error": "OSError: no more processes"}
    (run,) = (each for each in found.values() if "windows_per_s" in each)
    assert "share" not in run
    assert len(list(files.lines({"trials": found}))) == 1


class Idle:
    """Processes that claim a rate: decoders 40 windows/s each, the card 100."""

    def __init__(self, config: WorkerConfig, count: int) -> None:
        self.count = count

    def __enter__(self) -> Idle:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def work(self, workload: str, workers: int, *_: object) -> tuple[float, None]:
        assert workers <= self.count
        return (40.0 * workers if workload == "windows" else 100.0), None


def test_runs_are_held_against_the_slower_of_their_parts_the_most_telling_first(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[RunPlan] = []

    def time_full_run(plan: RunPlan) -> FullRun:
        planned.append(plan)
        return FullRun(20.0, 100, 1.0, None, None, (), "memory ran out")

    for name, value in {"time_full_run": time_full_run, "Workers": Idle, "DISTINCT": 1}.items():
        monkeypatch.setattr(files, name, value)
    monkeypatch.setattr(files, "file_for", lambda context, name, precision: context.models[name])
    monkeypatch.setattr(recordings, "MINUTE_S", 10.0)
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    found = files.measure(replace(context(model, tmp_path), quick=False), lambda _: None)
    runs = [each for each in found["trials"].values() if "share" in each]
    done = [(each["precision"], each["format"], each["decoders"]) for each in runs]
    assert done[:4] == [("float32", kind, 16) for kind in ("ogg", "wav", "flac")] + [("float16", "ogg", 16)]
    assert done[4:8] == [("float32", "ogg", count) for count in (8, 4, 2, 1)]
    assert len(done) == len(set(done)) == len(planned) == 16
    assert [each["bounds"] for each in runs[-2:]] == [[100.0, 80.0], [100.0, 40.0]]
    assert [each["share"] for each in runs[-2:]] == [20 / 80, 20 / 40]
    assert all(plan.staged and len(plan.recordings) > lead(plan.setup) / 2 for plan in planned)
    assert sum("memory ran out" in line for line in files.lines(found)) == len(runs)


@pytest.mark.parametrize(("rate", "bound", "whence"), [(900.0, 900.0, "speed"), (9.0, 100.0, "files")])
def test_the_card_is_as_fast_as_the_faster_of_two_steps_found(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: float, bound: float, whence: str
) -> None:
    monkeypatch.setattr(files, "time_full_run", lambda plan: FullRun(20.0, 100, 1.0, None, None, (), None))
    monkeypatch.setattr(files, "Workers", Idle)
    point = {"model": "tiny", "precision": "float32", "batch": default_batch(read_artifact(model), "cpu")}
    usual, other = asdict(CudaOptions()), asdict(CudaOptions(nhwc=True))
    points = [
        {**point, "options": usual, "windows_per_s": {"median": rate}},
        {**point, "options": other, "windows_per_s": {"median": 5000.0}},
        {"error": "it failed"},
    ]
    speed = {"trials": {"options": {"points": points}, "batches": {"skipped": "no time"}}}
    found = files.measure(replace(context(model, tmp_path), done={"speed": speed}), lambda _: None)
    (run,) = (each for each in found["trials"].values() if "share" in each)
    assert run["bounds"][0] == bound and run["card_rate_from"] == whence
    assert any("card as in speed" in line for line in files.lines(found)) == (whence == "speed")


def test_recordings_of_the_user_come_before_synthetic_ones(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    write_soundscape(own / "a.FLAC", 1, 10.0)
    found = by_format(("flac", "ogg"), own, tmp_path / "made", 1)
    assert [path.name for path in (*found["flac"], *found["ogg"])] == ["a.FLAC", "0.ogg"]
    links = enough(found["flac"], 5, read_artifact(model), tmp_path / "links")
    assert len(links) == 3  # two windows each
    assert {soundfile.info(path).frames for path in links} == {320_000}

    def refuse(*_: object) -> None:
        raise OSError("another drive")

    monkeypatch.setattr("os.link", refuse)
    links = enough(found["flac"], 5, read_artifact(model), tmp_path / "elsewhere")
    assert [path.is_symlink() for path in links] == [True] * 3
    assert {soundfile.info(path).frames for path in links} == {320_000}


def test_memory_is_measured_for_each_batch(model: Path, tmp_path: Path) -> None:
    found = memory.measure(context(model, tmp_path), lambda _: None)
    for batch in memory.QUICK_BATCHES:
        each = found["trials"][f"tiny float32, batch {batch}"]
        assert each["bytes"] == sum(each[f"{part}_bytes"] for part in memory.PARTS) > 2**20
    assert len(list(memory.lines(found))) == 3


def test_what_cannot_be_measured_is_said(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TF32_OVERRIDE, "1")  # undone after the test
    there = context(model, tmp_path)
    gone = replace(there, device="cuda:99")
    found = memory.measure(gone, lambda _: None)
    assert all("CUDA does not say how much" in each["error"] for each in found["trials"].values())
    assert found["bytes_a_window"] == {"tiny float32": None}
    assert os.environ[TF32_OVERRIDE] == "0"
