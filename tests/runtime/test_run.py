"""Recordings to rows, through real worker processes and a converted model."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile

import runtime.model.cuda
import runtime.model.session
from convert.proof.synthetic import soundscape
from runtime import DeviceError, InputError, Soundscapes
from runtime.audio.recording import Recording
from runtime.model.artifact import read_artifact
from runtime.model.cuda import gpus
from runtime.model.session import Session
from runtime.request.request import Request
from runtime.run import run_request
from runtime.workers.stages import Stages
from tests.support.broken import edited
from tests.support.deadlines import LONG, ends_when
from tests.support.processes import Killer, open_files
from tests.support.recordings import RATE, WINDOW, cut, write
from tests.support.runs import run

ROWS = ["a_5", "a_10", "a_15", "a_20", "b_5", "b_10", "b_15", "c_5", "c_10"]


@pytest.fixture(scope="module")
def reference(recordings: Path, model: Path) -> Soundscapes:
    return run(recordings, model, outputs=("label", "embedding"), workers=1)


def test_rows_are_what_the_model_gives_for_each_window(recordings: Path, model: Path, reference: Soundscapes) -> None:
    assert reference.row_ids == ROWS
    assert reference.status.tolist() == ["scored"] * len(ROWS)
    assert reference.failures == []
    assert len(repr(reference)) < 400
    assert reference.classes["label"] == read_artifact(model).heads["label"].classes
    session = Session(model)
    windows = [
        window.samples
        for name in ("a.flac", "b.wav", "c.ogg")
        for window in Recording(recordings / name, RATE, WINDOW).windows()
    ]
    label, embedding = session(np.stack([w for w in windows if w is not None]), ["label", "embedding"])
    np.testing.assert_allclose(reference["label"], label, atol=1e-4)
    np.testing.assert_allclose(reference["embedding"], embedding, atol=1e-4)


def test_rows_are_the_same_bits_with_more_workers_and_in_any_order(
    recordings: Path, model: Path, reference: Soundscapes
) -> None:
    paths = [recordings / name for name in ("c.ogg", "a.flac", "b.wav")]
    result = run(paths, model, outputs=("label", "embedding"), workers=2)
    assert result.row_ids == reference.row_ids
    np.testing.assert_array_equal(result["label"], reference["label"])
    np.testing.assert_array_equal(result["embedding"], reference["embedding"])


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_rows_do_not_depend_on_the_batch(
    recordings: Path, model: Path, reference: Soundscapes, batch_size: int
) -> None:
    result = run(recordings, model, batch_size=batch_size)
    np.testing.assert_allclose(result["label"], reference["label"], atol=1e-4)


def test_engine_may_be_another(recordings: Path, model: Path, reference: Soundscapes) -> None:
    result = run_request(recordings, model, Request(outputs=["label", "embedding"], progress=False), engine=Stages)
    np.testing.assert_array_equal(result["label"], reference["label"])


def test_hop_and_normalisation(recordings: Path, model: Path, reference: Soundscapes) -> None:
    result = run(recordings / "b.wav", model, hop_s=2.5)
    assert result.row_ids == ["b_5", "b_7.5", "b_10", "b_12.5"]
    np.testing.assert_allclose(result["label"][0], reference["label"][4], atol=1e-4)
    peak = run(recordings / "b.wav", model, normalize="peak")
    assert np.abs(peak["label"] - reference["label"][4:7]).max() > 1e-2


def test_a_graph_for_one_window_is_fed_one_by_one(
    tmp_path: Path, recordings: Path, model: Path, reference: Soundscapes
) -> None:
    def fix(proto: onnx.ModelProto) -> None:
        for value in [proto.graph.input[0], *proto.graph.output]:
            value.type.tensor_type.shape.dim[0].dim_value = 1
        del proto.graph.value_info[:]

    fixed = edited(model, tmp_path / "fixed.onnx", fix, {"batch": "1"})
    np.testing.assert_allclose(run(recordings, fixed, batch_size=4)["label"], reference["label"], atol=1e-4)


def test_bad_recordings_stop_nothing(tmp_path: Path, model: Path) -> None:
    for i in (0, 5):
        write(tmp_path / f"good{i}.wav", soundscape(i, 20))
    cut(write(tmp_path / "half.flac", soundscape(7, 40)), 0.6)
    (tmp_path / "empty.ogg").touch()
    (tmp_path / "text.wav").write_text("these are words")
    audio = soundscape(8, 10)
    audio[3] = np.nan
    soundfile.write(tmp_path / "nan.wav", audio, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "silent.wav", np.zeros(5 * RATE), RATE)
    write(tmp_path / "short.wav", soundscape(9, 0.3))
    result = run(tmp_path, model, workers=2)
    status = dict(zip(result.row_ids, result.status, strict=True))
    assert [status[f"good{i}_{end}"] for i in (0, 5) for end in (5, 10, 15, 20)] == ["scored"] * 8
    assert [status[f"empty_{end}"] for end in (5, 10, 15, 20)] == ["failed"] * 4  # as many as most have
    assert [status[f"text_{end}"] for end in (5, 10, 15, 20)] == ["failed"] * 4
    assert [status["nan_5"], status["nan_10"]] == ["failed", "scored"]
    assert [status["silent_5"], status["short_5"]] == ["scored", "scored"]
    halves = [status[f"half_{end}"] for end in range(5, 45, 5)]
    assert halves[:2] == ["scored", "scored"]
    assert halves[-1] == "failed"
    assert [failure.path.name for failure in result.failures] == ["empty.ogg", "half.flac", "nan.wav", "text.wav"]
    scored = result.status == "scored"
    assert np.isfinite(result["label"][scored]).all()
    assert np.isnan(result["label"][~scored]).all()


def test_one_long_recording_is_shared_by_all_workers(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.audio.recording.PART_S", 60.0)
    write(tmp_path / "long.wav", soundscape(11, 150))
    one = run(tmp_path, model, workers=1)
    both = run(tmp_path, model, workers=2)
    assert (one.timing.workers, both.timing.workers) == (1, 2)
    assert run(tmp_path, model, workers=7).timing.workers == 3  # it has three parts
    np.testing.assert_array_equal(both["label"], one["label"])


def test_worker_killed_in_the_middle_costs_nothing(
    tmp_path: Path, recordings: Path, model: Path, reference: Soundscapes
) -> None:
    write(tmp_path / "long.wav", soundscape(11, 180))
    with Killer(lambda pid: any(target.endswith("long.wav") for target in open_files(pid))) as killer:
        result = run([tmp_path / "long.wav", *recordings.iterdir()], model, workers=2)
    assert len(killer.killed) == 1
    assert result.failures == []
    assert (result.status == "scored").all()
    by_id = dict(zip(result.row_ids, result["label"], strict=True))
    for row_id, row in zip(reference.row_ids, reference["label"], strict=True):
        np.testing.assert_array_equal(by_id[row_id], row)


def test_worker_killed_at_its_start_is_done_without(recordings: Path, model: Path, reference: Soundscapes) -> None:
    with Killer(lambda pid: True) as killer:
        result = run(recordings, model, workers=2)
    assert len(killer.killed) == 1
    np.testing.assert_array_equal(result["label"], reference["label"])


def test_recording_that_kills_every_worker_is_given_up(tmp_path: Path, recordings: Path, model: Path) -> None:
    write(tmp_path / "long.wav", soundscape(11, 180))
    with Killer(lambda pid: any(target.endswith("long.wav") for target in open_files(pid)), times=2) as killer:
        result = run([tmp_path / "long.wav", *recordings.iterdir()], model, workers=1)
    assert len(killer.killed) == 2
    ((path, reason),) = [(failure.path.name, failure.reason) for failure in result.failures]
    assert path == "long.wav"
    assert "was killed by signal 9, 2 times" in reason
    assert result.count("failed") >= 4  # as many rows as most have: its header is not touched again
    assert [row_id for row_id, status in zip(result.row_ids, result.status) if status == "scored"][:9] == ROWS


def test_what_python_prints_at_its_start_does_no_harm(
    tmp_path: Path, recordings: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('hello from the site', flush=True)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert run(recordings, model).count("scored") == len(ROWS)


def test_scores_that_are_not_finite_fail(tmp_path: Path, model: Path) -> None:
    audio = soundscape(1, 10)
    audio[5] = 3e38
    soundfile.write(tmp_path / "huge.wav", audio, RATE, subtype="FLOAT")
    result = run(tmp_path, model)
    assert result.status.tolist() == ["failed", "scored"]
    assert "not finite" in result.failures[0].reason
    assert np.isnan(result["label"][0]).all()
    assert np.isfinite(result["label"][1]).all()


def test_deadline_leaves_a_complete_file(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "short.wav", soundscape(1, 10))
    soundfile.write(folder / "slow.wav", np.zeros(6 * 3600 * 1000, np.int16), 1000)  # six hours, little on disk
    ends_when(monkeypatch, lambda table: table.report.counts["scored"] > 2)
    result = run(folder, model, workers=2, fill=-7, **LONG)
    assert len(result) == 2 + 6 * 720
    assert result.count("failed") == 0
    assert 2 < result.count("scored") < len(result)
    assert result.status[:2].tolist() == ["scored", "scored"]
    result.to_submission(tmp_path / "out.csv")
    rows = list(csv.reader((tmp_path / "out.csv").read_text().splitlines()))
    assert len(rows) == 1 + len(result)
    assert {len(row) for row in rows} == {41}
    assert set(rows[-1][1:]) == {"-7"}
    assert "-7" not in rows[1]


def test_deadline_before_the_first_row(recordings: Path, model: Path) -> None:
    result = run(recordings, model, deadline_s=0.01)
    assert result.count("filled") == len(result)
    assert result.failures == []


def test_npz_holds_everything(tmp_path: Path, reference: Soundscapes) -> None:
    reference.to_npz(tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as saved:
        assert saved["row_ids"].tolist() == ROWS
        np.testing.assert_array_equal(saved["embedding"], reference["embedding"])
        assert saved["status"].tolist() == reference.status.tolist()
    with pytest.raises(InputError, match=r"output='label', or write a \.parquet or \.npz"):
        reference.to_submission(tmp_path / "out.csv")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outputs": ("logits",)}, "no output 'logits'"),
        ({"outputs": ()}, "no output was asked for"),
        ({"hop_s": 0}, "hop_s is 0"),
        ({"workers": 0}, "workers is 0"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"normalize": "loud"}, "'raw' or 'peak'"),
        ({"deadline_s": -1}, "deadline_s is -1"),
        ({"device": "gpu"}, "'auto', 'cpu', 'cuda'"),
        ({"unmapped": "mean", "classes": ["x"]}, "'zero' or a number"),
        ({"outputs": ("embedding",), "classes": ["x"]}, "columns of the output 'label'"),
        ({"hop_s": float("nan")}, "hop_s is nan"),
        ({"fill": "none"}, "fill is 'none'"),
    ],
)
def test_wrong_arguments_are_named(recordings: Path, model: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(recordings, model, **options)


@pytest.mark.skipif(bool(gpus()), reason="there is a GPU")
def test_cuda_never_falls_back(recordings: Path, model: Path) -> None:
    with pytest.raises(DeviceError, match=r"device='cuda.*' .*or use device='cpu'|onnxruntime-gpu"):
        run(recordings, model, device="cuda")
    assert run(recordings / "c.ogg", model, device="auto").timing.device == "cpu"


def test_two_builds_of_onnxruntime_are_refused(
    tmp_path: Path, recordings: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("onnxruntime", "onnxruntime_gpu"):
        folder = tmp_path / f"{name}-9.9.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 9.9\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DeviceError, match=r"both installed .*pip uninstall"):
        run(recordings, model)


SCRIPT = """
import sys
from runtime import run_soundscapes
soundscapes = run_soundscapes({recordings!r}, {model!r}, workers=2, progress=False)
print(len(soundscapes), sorted({{"tensorflow", "tf2onnx", "onnx", "jax"}} & set(sys.modules)))
"""


@pytest.mark.parametrize("way", ["script", "standard input"])
def test_starts_from_anywhere_without_tensorflow(tmp_path: Path, recordings: Path, model: Path, way: str) -> None:
    code = SCRIPT.format(recordings=str(recordings), model=str(model))
    script = tmp_path / "script.py"  # without a __main__ guard
    script.write_text(code)
    command, given = ([sys.executable, "-"], code) if way == "standard input" else ([sys.executable, str(script)], None)
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=600)
    assert done.stderr == ""
    assert done.stdout == "9 []\n"


def test_cores_are_those_that_a_scheduler_or_container_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from runtime import cores

    assert 1 <= cores.usable_cores() <= (os.cpu_count() or 1)
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 4, 5}, raising=False)
    monkeypatch.setattr(cores, "QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(cores, "TOPOLOGY", str(tmp_path / "{} {}"))  # nothing is known of it
    assert cores.usable_cores() == 6
    for quota, count in (("max 100000", 6), ("250000 100000", 2), ("50000 100000", 1)):
        cores.QUOTA.write_text(quota)
        assert cores.usable_cores() == count
    cores.QUOTA.unlink()
    for cpu in range(6):  # two logical ones are one physical one
        (tmp_path / f"{cpu} physical_package_id").write_text("0")
        (tmp_path / f"{cpu} core_id").write_text(f"{cpu % 3}")
    assert cores.usable_cores() == 3


def test_unused_provider_is_not_taken_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime-gpu lists CUDA also where it cannot load: "auto" has to look for a device itself."""
    monkeypatch.setattr(runtime.model.session.ort, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(runtime.model.cuda, "gpus", list)
    assert runtime.model.session.choose_device("auto") == "cpu"
    assert runtime.model.session.choose_device("cuda:1") == "cuda:1"
