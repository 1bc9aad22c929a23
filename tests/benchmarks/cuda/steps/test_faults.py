"""Faults provoked on the CPU provider, and the full card with stand-ins for card and runs."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.cuda.step import Context
from benchmarks.cuda.steps import faults
from benchmarks.cuda.steps.runs import Ended, Runs
from runtime.errors import PerchError

HALVED = "perch-run: memory ran out; going on with batches of 128 windows instead of 256"


def context(model: Path, folder: Path, device: str = "cpu", **done: Any) -> Context:
    return Context({"tiny": model}, device, None, None, True, time.monotonic() + 300, folder, done)


@pytest.fixture
def runs(model: Path, tmp_path: Path) -> Runs:
    runs = Runs(context(model, tmp_path))
    embedding = np.random.default_rng(0).random((2, 3), np.float32)
    np.savez(runs.reference, row_ids=["a_5", "a_10"], status=["scored"] * 2, embedding=embedding)
    return runs


def test_other_rows_do_not_pass(runs: Runs, tmp_path: Path) -> None:
    with np.load(runs.reference) as file:
        rows = dict(file)
    for changed, problem in (
        ({"row_ids": rows["row_ids"][::-1]}, "they are other rows"),
        ({"embedding": -rows["embedding"]}, None),
    ):
        np.savez(tmp_path / "other.npz", **{**rows, **changed})
        found = runs.judged(Ended(0, "", ""), tmp_path / "other.npz")
        assert not found["passed"] and found["rows"].get("problem") == problem
    assert runs.judged(Ended(0, "", ""), runs.reference)["rows"]["same_bits"]
    assert not runs.judged(Ended(1, "", "it failed"), runs.reference)["passed"]
    assert "NOT AS IT SHOULD BE" in "".join(faults.lines({"trials": {"killed": found}}))


def test_a_run_that_is_over_cannot_be_killed(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    over = [sys.executable, "-c", ""]
    monkeypatch.setattr(runs, "start", lambda target: subprocess.Popen(over, stdout=subprocess.PIPE, text=True))
    with pytest.raises(PerchError, match="before it could be killed, the run ended with code 0"):
        faults.killed(runs)


def test_a_run_that_did_not_score_cannot_be_killed_in_the_middle(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = [sys.executable, "-c", "import time; time.sleep(600)"]
    pipes: Any = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    monkeypatch.setattr(runs, "start", lambda target: subprocess.Popen(waits, text=True, **pipes))
    monkeypatch.setattr(faults, "MOST_S", 0.1)
    with pytest.raises(PerchError, match="a quarter of the rows was not there"):
        faults.killed(runs)


def test_what_compares_rows_is_skipped_without_rows_to_compare_with(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless, started = [sys.executable, "-c", "import time; time.sleep(600)"], []
    pipes: Any = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)

    def start(self: Runs, target: Path, *more: object) -> Any:
        started.append(more)
        return subprocess.Popen(endless, text=True, **pipes)

    monkeypatch.setattr(Runs, "start", start)
    monkeypatch.setattr("benchmarks.cuda.steps.runs.MOST_S", 0.1)
    found = faults.measure(context(model, tmp_path), lambda _: None)["trials"]
    assert found["undisturbed"]["error"].startswith("perch-run ended with code -9: killed: it had not ended")
    assert [name for name, each in found.items() if "skipped" in each] == ["full card", "killed", "two at once"]
    assert [more[0] for more in started if more] == ["--device"] and len(started) == 2


CPU_BUILD, GPU_BUILD = ["CPUExecutionProvider"], ["CUDAExecutionProvider", "CPUExecutionProvider"]
NO_SUCH = "perch-run: --device cuda:1 cannot be used: there is no GPU 1"


@pytest.mark.parametrize(
    ("said", "build", "clear"),
    [
        (f"perch-run: tiny.onnx: its weights are made up\n{NO_SUCH}", GPU_BUILD, True),
        (f"Traceback (most recent call last):\n{NO_SUCH}", GPU_BUILD, False),
        (f"{NO_SUCH}\nperch-run: interrupted", GPU_BUILD, False),
        ("", GPU_BUILD, False),
        (NO_SUCH, CPU_BUILD, False),
        ("perch-run: --device cuda:1 needs onnxruntime-gpu, and this is a CPU build", CPU_BUILD, True),
    ],
)
def test_a_missing_card_is_told_clearly(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, said: str, build: list[str], clear: bool
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: build)
    monkeypatch.setattr(runs, "start", lambda *_: None)
    monkeypatch.setattr(runs, "ended", lambda _: Ended(2, "", said))
    monkeypatch.setattr("runtime.model.cuda.gpus", lambda: ["Some Card"])
    assert faults.beyond_the_last(runs)["passed"] is clear


@pytest.mark.parametrize(
    ("device", "build", "passed"), [("cpu", CPU_BUILD, True), ("cpu", GPU_BUILD, True), ("cuda:0", CPU_BUILD, False)]
)
def test_a_run_that_names_no_device_takes_a_card_that_it_can_use(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, build: list[str], passed: bool
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: build)
    monkeypatch.setattr("runtime.model.cuda.gpus", lambda: ["Some Card"])
    assert faults.auto(Runs(context(model, tmp_path, device)))["passed"] is passed


class NoRuns(Runs):
    """Runs on a full card that end as the test says, by the room they have."""

    def __init__(self, context: Context, *ends: str) -> None:
        super().__init__(context)
        self._ends = iter(ends)

    def start(self, target: Path, *more: object) -> Any:
        return None

    def ended(self, process: Any) -> Ended:
        said = next(self._ends)
        return Ended(2 if said == "failed" else 0, "", said)

    def judged(self, ended: Ended, target: Path) -> dict[str, Any]:
        return {**ended.as_json(), "passed": ended.code == 0}


@pytest.fixture
def rooms(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rooms that were left on a card."""
    asked: list[int] = []

    @contextlib.contextmanager
    def filled(device: str, leave: int) -> Iterator[int]:
        asked.append(leave)
        yield leave

    monkeypatch.setattr(faults, "filled", filled)
    return asked


def test_the_room_on_a_full_card_is_what_a_small_batch_needs(model: Path, tmp_path: Path, rooms: list[int]) -> None:
    memory = {
        "trials": {
            "a": {"model": "tiny", "precision": "float32", "batch": faults.SMALL, "bytes": 1000},
            "b": {"error": "it failed"},
        }
    }
    there = context(model, tmp_path, "cuda:0", memory=memory)
    found = faults.full_card(NoRuns(there, "failed", "", f"{HALVED}\n{HALVED}"))
    assert rooms == [1200, 1920, 1152]
    assert [each["passed"] for each in found["tries"]] == [False, False, True]
    assert found["passed"] and found["halved"] == 2


def test_a_batch_that_always_fits_shows_nothing(model: Path, tmp_path: Path, rooms: list[int]) -> None:
    found = faults.full_card(NoRuns(context(model, tmp_path, "cuda:0"), "", "", ""))
    assert not found["passed"] and len(rooms) == faults.TRIES and rooms == sorted(rooms, reverse=True)
    assert "skipped" in faults.full_card(NoRuns(context(model, tmp_path)))
