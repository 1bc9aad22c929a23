"""A model that is loaded once and called often."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from convert.proof.synthetic import soundscape
from runtime import InputError, Model, Progress, Soundscapes, load_model, run_soundscapes
from runtime.model.artifact import read_artifact
from tests.support.recordings import RATE, WINDOW
from tests.support.runs import run, write_sample


@pytest.fixture(scope="module")
def loaded(model: Path) -> Model:
    return load_model(model, "cpu")


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    return soundscape(3, 25).reshape(5, WINDOW)


def same(result: Soundscapes, expected: Soundscapes) -> None:
    assert (result.row_ids, result.status.tolist()) == (expected.row_ids, expected.status.tolist())
    assert [failure.reason for failure in result.failures] == [failure.reason for failure in expected.failures]
    assert [note.text for note in result.notes] == [note.text for note in expected.notes]
    for output in expected.classes:
        np.testing.assert_array_equal(result[output], expected[output])


def test_it_says_what_it_is(loaded: Model, model: Path) -> None:
    artifact = read_artifact(model)
    assert loaded.heads == {name: head.shape for name, head in artifact.heads.items()}
    assert loaded.classes["label"] == artifact.heads["label"].classes
    assert loaded.classes["embedding"] == ()
    assert (loaded.sample_rate, loaded.window_s, loaded.device) == (RATE, 5.0, "cpu")
    assert re.fullmatch(
        r"<Model perch.onnx: perch_v1 on cpu; windows of 5 s at 32,000 Hz to .*label \[40\].*>", repr(loaded)
    )


def test_outputs_are_those_of_a_run(loaded: Model, model: Path, windows: np.ndarray, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", windows.reshape(-1), RATE, subtype="FLOAT")
    result = run(tmp_path, model, outputs=("label", "embedding"))
    outputs = loaded(windows, ["embedding", "label"])
    assert list(outputs) == ["embedding", "label"]
    for name, values in outputs.items():
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, result[name], atol=1e-5)
    assert list(loaded(windows)) == list(loaded.heads)
    np.testing.assert_array_equal(loaded(windows.astype(np.float64), "label")["label"], outputs["label"])


def test_no_windows_have_no_rows(loaded: Model) -> None:
    outputs = loaded(np.empty((0, WINDOW), np.float32))
    assert {name: values.shape for name, values in outputs.items()} == {
        name: (0, *shape) for name, shape in loaded.heads.items()
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w[0], r"shape \[160000\], but must be \[n, 160000\]"),
        (lambda w: w[:, :-1], r"shape \[5, 159999\].*`run` cuts audio of any length"),
        (lambda w: (w * 32767).astype(np.int16), "windows are int16, .* divide int16 by 32768"),
        (lambda w: w.astype(str), "windows are <U"),
    ],
)
def test_what_are_no_windows_is_refused(loaded: Model, windows: np.ndarray, change: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        loaded(change(windows))  # type: ignore[operator]


def test_an_output_that_it_does_not_have_is_refused(loaded: Model, windows: np.ndarray) -> None:
    with pytest.raises(InputError, match="logits"):
        loaded(windows, ["logits"])
    with pytest.raises(InputError, match=r"no output was asked for; the model has .*label"):
        loaded(windows, [])
    with pytest.raises(InputError, match="outputs is 5, but must be a name or a list of names"):
        loaded(windows, 5)  # type: ignore[arg-type]


def test_several_threads_may_call_it(loaded: Model, windows: np.ndarray) -> None:
    expected = loaded(windows, ["label"])["label"]
    rows = run_rows(loaded, windows)
    outputs: dict[int, np.ndarray] = {}
    results: dict[int, np.ndarray] = {}

    def work(i: int) -> None:
        outputs[i] = loaded(windows, ["label"])["label"]
        results[i] = run_rows(loaded, windows)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        np.testing.assert_array_equal(outputs[i], expected)
        np.testing.assert_array_equal(results[i], rows)


def run_rows(loaded: Model, windows: np.ndarray) -> np.ndarray:
    return loaded.run(windows.reshape(-1), RATE, progress=False)["label"]


@pytest.mark.parametrize(
    ("rate", "channels", "options"),
    [
        (32_000, 1, {"outputs": ["label", "embedding"], "hop_s": 2.5, "activation": "sigmoid", "smooth": (1, 2, 1)}),
        (48_000, 2, {"outputs": ["embedding"], "embedding_dtype": "float16", "normalize": "peak"}),
        (44_100, 1, {"segments": "peaks", "max_peaks": 3}),
        (8_000, 3, {"batch_size": 3}),
    ],
)
def test_rows_are_those_of_a_wav(
    tmp_path: Path, loaded: Model, model: Path, rate: int, channels: int, options: dict[str, object]
) -> None:
    samples = np.stack([soundscape(i, 20)[: rate * 17] for i in range(channels)])
    samples[:, rate * 6] = np.nan if channels == 3 else samples[:, rate * 6]
    soundfile.write(tmp_path / "audio.wav", samples.T, rate, subtype="FLOAT")
    expected = run_soundscapes(tmp_path / "audio.wav", model, progress=False, device="cpu", **options)  # type: ignore[arg-type]
    result = loaded.run(samples if channels > 1 else samples[0], rate, progress=False, **options)  # type: ignore[arg-type]
    same(result, expected)


def test_a_long_recording_is_scored_in_parts(
    loaded: Model, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.audio.recording.PART_S", 10.0)
    samples = soundscape(5, 33)
    soundfile.write(tmp_path / "audio.wav", samples, RATE, subtype="FLOAT")
    reports: list[Progress] = []
    same(loaded.run(samples, RATE, progress=reports.append), run(tmp_path / "audio.wav", model, device="cpu"))
    assert len({report.done for report in reports}) > 3  # 0, parts, 1


def test_rows_go_to_a_sink_and_a_sample_rules(loaded: Model, tmp_path: Path) -> None:
    names = list(loaded.classes["label"][:3])
    sample = write_sample(tmp_path / "sample.csv", names, rows=("dawn_10", "dawn_5", "dusk_5"))
    target = tmp_path / "out.csv"
    result = loaded.run(soundscape(1, 12), RATE, name="dawn", classes=sample, sink=target, progress=False)
    with target.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["row_id", *names]
    assert [row[0] for row in rows[1:]] == ["dawn_10", "dawn_5", "dusk_5"]
    assert (result.count("scored"), result.lacking, result.dropped) == (2, 1, 1)


def test_rows_not_reached_in_time_are_filled(loaded: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.audio.recording.PART_S", 10.0)
    result = loaded.run(soundscape(2, 60), RATE, deadline_s=1e-3, sink=tmp_path / "out.csv", progress=False)
    assert len(result) == 12
    assert result.count("filled") == 12
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 13


@pytest.mark.parametrize(
    ("samples", "rate", "options", "message"),
    [
        (np.zeros(RATE, np.int16), RATE, {}, "samples are int16"),
        (np.zeros((2, 3, RATE), np.float32), RATE, {}, "samples have the shape"),
        (np.zeros(RATE, np.float32), 0, {}, "sample_rate is 0"),
        (np.zeros(RATE, np.float32), RATE, {"device": "cpu"}, "device cannot be given for audio in memory"),
        (np.zeros(RATE, np.float32), RATE, {"workers": 2}, "workers cannot be given for audio in memory"),
        (np.zeros(RATE, np.float32), RATE, {"tf32": True}, "tf32 cannot be given for audio in memory"),
        (np.zeros(RATE, np.float32), RATE, {"resume": True, "sink": "a.csv"}, "resume cannot be given"),
        (np.zeros(RATE, np.float32), RATE, {"outputs": ["logits"]}, "logits"),
        (np.zeros(RATE, np.float32), RATE, {"sink": "rows.txt"}, "rows.txt"),
    ],
)
def test_what_cannot_be_run_is_refused(
    loaded: Model, samples: np.ndarray, rate: int, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        loaded.run(samples, rate, **options)  # type: ignore[arg-type]


def test_options_that_cannot_be_loaded_are_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="threads is 0"):
        load_model(model, threads=0)
    with pytest.raises(InputError, match="device is 'tpu'"):
        load_model(model, "tpu")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="tf32 is 'yes', but must be True or False"):
        load_model(model, tf32="yes")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "/a", "../a", "a/b", "a\0b", "a\nb", 3])
def test_names_that_no_file_could_have_are_refused(loaded: Model, name: object) -> None:
    with pytest.raises(InputError, match="must be a name without folders"):
        loaded.run(np.zeros(RATE, np.float32), RATE, name=name)  # type: ignore[arg-type]


def test_a_run_that_is_ended_leaves_its_sink_to_the_next(loaded: Model, tmp_path: Path) -> None:
    class StoppedError(Exception):
        pass

    def stop(report: Progress) -> None:
        raise StoppedError

    target = tmp_path / "out.csv"
    with pytest.raises(StoppedError):
        loaded.run(soundscape(1, 12), RATE, sink=target, progress=stop)
    assert list(tmp_path.iterdir()) == []
    assert loaded.run(soundscape(1, 12), RATE, sink=target, progress=False).sink == target
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_a_script_may_end_while_rows_are_computed(model: Path) -> None:
    program = (
        "import sys, numpy as np; from runtime import load_model; "
        "samples = np.random.default_rng(0).standard_normal(32_000 * 300).astype(np.float32); "
        f"result = load_model({str(model)!r}).run(samples, 32_000, deadline_s=0.05, progress=False); "
        "print(len(result), result.count('filled') > 0)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "60 True\n", "")
