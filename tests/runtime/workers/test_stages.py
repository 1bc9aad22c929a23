"""Decoding and scoring in processes of their own, as on a GPU, with the CPU provider."""

from __future__ import annotations

import functools
import os
import queue
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import runtime.rows.scoring
import runtime.workers.headers
import runtime.workers.stages
from benchmarks.measuring.usage import children
from convert.proof.synthetic import soundscape
from runtime import ArtifactError, PerchError, Soundscapes
from runtime.workers.protocol import Notice, RingSetup
from runtime.workers.scorer import LANES, BatchScorer, lacks_memory
from runtime.workers.stages import DecoderProcess, ScorerProcess, Stages
from tests.support import runs
from tests.support.broken import edited
from tests.support.deadlines import LONG, ends_when, windows_came
from tests.support.decoders import crashing_decoder
from tests.support.processes import Killer, open_files
from tests.support.recordings import cut, write

OUTPUTS = ("label", "embedding")


run_in_pool = functools.partial(runs.run, outputs=OUTPUTS)
run = functools.partial(run_in_pool, engine=Stages)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for i, seconds in enumerate((12, 31, 5, 60, 7)):
        write(folder / f"good{i}.flac", soundscape(i, seconds))
    (folder / "text.wav").write_text("no sound")
    cut(write(folder / "half.wav", soundscape(9, 30)), 0.5)
    audio = soundscape(8, 10)
    audio[3] = np.nan
    write(folder / "nan.wav", audio, subtype="FLOAT")
    return folder


def same(result: Soundscapes, reference: Soundscapes) -> None:
    assert result.row_ids == reference.row_ids
    assert result.status.tolist() == reference.status.tolist()
    assert [(f.path, f.reason) for f in result.failures] == [(f.path, f.reason) for f in reference.failures]
    for name in OUTPUTS:
        np.testing.assert_allclose(result[name], reference[name], atol=1e-4)


@pytest.mark.parametrize(("workers", "batch_size"), [(1, 4), (3, 7), (2, 32)])
def test_rows_are_those_of_the_pool(folder: Path, model: Path, workers: int, batch_size: int) -> None:
    same(run(folder, model, workers=workers, batch_size=batch_size), run_in_pool(folder, model))
    assert not children(os.getpid())


def test_long_recording_is_shared(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.audio.recording.PART_S", 60.0)
    path = write(tmp_path / "long.wav", soundscape(0, 126)[::4], 8_000)
    same(run(path, model, workers=2, batch_size=16), run_in_pool(path, model))


@pytest.mark.parametrize("module", ["runtime.workers.decoder", "runtime.workers.scorer"])
def test_killed_process_costs_nothing(folder: Path, model: Path, module: str) -> None:
    write(folder / "long.wav", np.tile(soundscape(0, 60)[::4], 4), 8_000)
    reference = run_in_pool(folder, model)

    def at_work(pid: int) -> bool:
        if module == "runtime.workers.scorer":  # its lanes start when the session is ready
            return module in command(pid) and len(list(Path(f"/proc/{pid}/task").iterdir())) >= 2 + LANES
        return module in command(pid) and any(name.endswith((".flac", ".wav")) for name in open_files(pid))

    with Killer(at_work) as killer:
        same(run(folder, model, workers=2, batch_size=4), reference)
    assert len(killer.killed) == 1


def test_scorer_that_cannot_start_again_ends_the_run(
    tmp_path: Path, folder: Path, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for i in range(3):
        write(folder / f"more{i}.wav", np.tile(soundscape(i, 60)[::4], 5), 8_000)
    mortal = tmp_path / "mortal.onnx"
    mortal.write_bytes(model.read_bytes())

    engines: list[Stages] = []

    class Seen(Stages):
        """An engine that the test can look at."""

        def __enter__(self) -> Self:
            engines.append(self)
            return super().__enter__()

    def vanish(pid: int) -> bool:
        ready = {type(child) for engine in engines for child in engine.children if child.ready}
        at_work = ready.issuperset(Stages.kinds) and "runtime.workers.scorer" in command(pid)
        if at_work:
            mortal.unlink()
        return at_work

    with Killer(vanish):
        result = run(folder, mortal, engine=Seen, workers=2, batch_size=4)
    (message,) = caplog.messages
    assert re.match(r"scoring ended early.*there is no model", message)
    assert result.count("filled") > 0
    assert {failure.path.name for failure in result.failures} <= {"half.wav", "nan.wav", "text.wav"}


def test_decoder_that_crashes_or_hangs_costs_its_recording_alone(
    tmp_path: Path, folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = run(folder, model)
    monkeypatch.syspath_prepend(crashing_decoder(tmp_path / "decoder"))
    for name in ("crash", "hang"):
        write(folder / f"{name}.wav", soundscape(9, 10))
    monkeypatch.setattr(runtime.workers.headers, "MOST_S", 3600.0)

    class Patient(Stages):
        """Times out the recording that hangs alone, and no process of a slow machine."""

        def is_busy(self, child: DecoderProcess | ScorerProcess) -> bool:
            return any(each.decoder is child and each.task.path.name == "hang.wav" for each in self._attempts.values())

    result = run(folder, model, engine=Patient, workers=2, batch_size=4, recording_timeout_s=1.0)
    reasons = {failure.path.name: failure.reason for failure in result.failures}
    assert "was killed by signal 11, 2 times" in reasons["crash.wav"]
    assert reasons["hang.wav"] == "the worker did not respond for 1 s, 2 times"
    keep = [i for i, row_id in enumerate(result.row_ids) if not row_id.startswith(("crash", "hang"))]
    assert [result.row_ids[i] for i in keep] == good.row_ids
    np.testing.assert_allclose(result["label"][keep], good["label"], atol=1e-4)


def test_deadline_and_model_that_cannot_be_loaded(
    tmp_path: Path, folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "long.wav", np.tile(soundscape(0, 60)[::4], 60), 8_000)
    with monkeypatch.context() as patch:
        ends_when(patch, lambda table: windows_came(table) > 0)
        result = run(folder, model, workers=1, hop_s=0.05, **LONG)  # 72,000 windows
    assert result.count("filled") > 0

    def misspell(proto: onnx.ModelProto) -> None:
        next(node for node in proto.graph.node if node.op_type == "Conv").op_type = "Canv"

    damaged = edited(model, tmp_path / "damaged.onnx", misspell, entries={})
    with pytest.raises(ArtifactError, match="cannot be loaded as ONNX"):
        run(folder, damaged)


def test_decoders_that_never_start_are_told(folder: Path, model: Path) -> None:
    class Misled(DecoderProcess):
        def __init__(self, setup: RingSetup, inbox: queue.SimpleQueue[tuple[Any, Any]]) -> None:
            super().__init__(replace(setup, shape=replace(setup.shape, slots=1000)), inbox)

    class WithoutDecoders(Stages):
        kinds = (ScorerProcess, Misled)

    with pytest.raises(PerchError, match=r"^cannot start scoring: the worker ended with code 1 \(ValueError: mmap"):
        run(folder, model, engine=WithoutDecoders, workers=2)
    assert not children(os.getpid())


def on_cpu(error: Exception) -> bool:
    return lacks_memory(error, "cpu")


class SmallCard:
    """Sessions on a card that has room for batches of `room` windows; `calls` are what they were asked for."""

    artifact = None

    def __init__(self, room: int, said: str) -> None:
        self.room, self.said = room, said
        self.calls: list[tuple[str, int]] = []

    def open(self) -> Any:
        self.calls.append(("open", 0))
        return self

    def golden_rows(self, outputs: Sequence[str], size: int) -> dict[str, Any]:
        self.calls.append(("check", size))
        return {}

    def check(self, rows: object) -> None:
        """They are right."""

    def run(self, windows: NDArray[np.float32], outputs: Sequence[str], size: int) -> dict[str, Any]:
        self.calls.append(("run", size))
        if size > self.room:
            raise RuntimeError(self.said)
        return dict.fromkeys(outputs, windows)


@pytest.mark.parametrize(
    "said",
    [
        "BFCArena: Failed to allocate memory for requested buffer of size 1",
        "CUDA failure 2: out of memory ; GPU=0",
        "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0",
        "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    ],
)
def test_batch_is_halved_when_memory_runs_out(said: str) -> None:
    notices: list[Any] = []
    card, windows = SmallCard(3, said), np.zeros((8, 4), np.float32)
    scorer = BatchScorer(card.open, ["label"], 8, on_cpu, notices.append)
    assert scorer(windows)["label"] is windows
    scorer(windows)
    assert card.calls == [
        *(("open", 0), ("check", 8), ("run", 8)),
        *(("open", 0), ("check", 4), ("run", 4)),
        *(("open", 0), ("check", 2), ("run", 2)),
        ("run", 2),
    ]
    assert [type(notice) for notice in notices] == [Notice] * 2
    assert notices[-1].text == "memory ran out; going on with batches of 2 windows instead of 4"


def test_other_errors_and_single_windows_without_room_are_raised() -> None:
    windows = np.zeros((8, 4), np.float32)
    for room, said in ((3, "an illegal instruction was encountered"), (0, "out of memory")):
        card = SmallCard(room, said)
        with pytest.raises(RuntimeError, match=said):
            BatchScorer(card.open, ["label"], 4, on_cpu, lambda _: None)(windows)
        assert card.calls[-1] == ("run", 4 if room else 1)


def test_where_models_cannot_be_loaded_anew_no_thread_waits_for_them() -> None:
    using = threading.Barrier(2)

    class Gone(SmallCard):
        def open(self) -> Any:
            if self.calls:
                raise RuntimeError("the card fell off the bus")
            return super().open()

        def run(self, windows: NDArray[np.float32], outputs: Sequence[str], size: int) -> dict[str, Any]:
            using.wait(60)
            return super().run(windows, outputs, size)

    notices: list[Any] = []
    scorer = BatchScorer(Gone(2, "out of memory").open, ["label"], 4, on_cpu, notices.append)
    with ThreadPoolExecutor(2) as threads:
        tries = [threads.submit(scorer, np.zeros((4, 4), np.float32)) for _ in range(2)]
    assert ["fell off the bus" in str(each.exception()) for each in tries] == [True, True] and notices == []


def test_models_are_loaded_anew_once_no_thread_uses_them() -> None:
    """Two threads run out of memory at once."""
    using, opened = threading.Barrier(2), []

    class Card(SmallCard):
        def open(self) -> Any:
            opened.append(list(self.calls))
            return super().open()

        def run(self, windows: NDArray[np.float32], outputs: Sequence[str], size: int) -> dict[str, Any]:
            if size == 4:
                using.wait(60)
            self.calls.append(("begun", size))
            try:
                return super().run(windows, outputs, size)
            finally:
                self.calls.append(("ended", size))

    card, windows = Card(2, "out of memory"), np.zeros((4, 4), np.float32)
    scorer = BatchScorer(card.open, ["label"], 4, on_cpu, lambda _: None)
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(scorer, [windows] * 2))
    assert [each["label"] is windows for each in found] == [True, True]
    _, second = opened
    assert second.count(("begun", 4)) == second.count(("ended", 4)) == 2
    assert not [call for call in second if call[1] == 2]


@pytest.mark.parametrize(
    ("said", "free", "lacking"),
    [
        ("CUDNN_FE failure 11: CUDNN_BACKEND_API_FAILED ; GPU=0", 100 * 2**20, True),
        ("CUDNN_FE failure 11: CUDNN_BACKEND_API_FAILED ; GPU=0", 2**30, False),
        ("CUBLAS failure 1: the library was not initialized ; GPU=0", 0, True),
        ("CUDNN failure 1001: CUDNN_STATUS_NOT_INITIALIZED ; GPU=0", None, False),
        ("an illegal instruction was encountered", 0, False),
        ("CUDA failure 2: out of memory ; GPU=0", None, True),
    ],
)
def test_errors_of_cuda_s_libraries_on_a_full_card_are_lack_of_memory(
    monkeypatch: pytest.MonkeyPatch, said: str, free: int | None, lacking: bool
) -> None:
    monkeypatch.setattr("runtime.model.cuda_calls.free_bytes", lambda device: free)
    assert lacks_memory(RuntimeError(said), "cuda:0") is lacking


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
