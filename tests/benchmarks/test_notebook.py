"""The notebook against direct calls of the SavedModel, bit for bit."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from numpy.typing import NDArray

from benchmarks.baseline import notebook
from benchmarks.deadline.contestants import columns_of
from convert.proof import synthetic
from convert.proof.synthetic import write_soundscape
from convert.source.saved_model import inspect
from runtime.classes.class_map import ClassMap, Match
from runtime.errors import InputError
from runtime.model.artifact import read_artifact
from tests.support.recordings import write

UNKNOWN = ("1139490", "22976")
XLA = """
import os, sys
import numpy as np
import tensorflow as tf
from pathlib import Path
from benchmarks.baseline import notebook
from convert.source.saved_model import inspect, without_xla

folder, dumped = Path(sys.argv[1]), sys.argv[2]
windows = np.zeros((1, 160_000), np.float32)
infer = notebook.without_xla(inspect(folder))
infer(windows), infer(windows)
plain = len(os.listdir(dumped))
with without_xla(folder) as copy:
    model = tf.saved_model.load(str(copy))
    model.infer_tf(windows)
print(plain, len(os.listdir(dumped)) - plain)
"""
"""Runs the notebook without XLA, then `infer_tf` of the same copy; prints how many files XLA dumped for each."""


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("soundscapes")
    found = [folder / f"H{i}.ogg" for i in (2, 1)]
    for i, path in enumerate(found):
        write_soundscape(path, i)
    return found


@pytest.mark.slow
def test_window_for_window_what_a_direct_call_gives(
    paths: list[Path], saved_model: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = (saved_model / "assets" / "label.csv").read_text().split()[1:]
    wanted = [names[7], UNKNOWN[0], names[3], names[-1], UNKNOWN[1], names[0]]
    sample = tmp_path / "sample_submission.csv"
    sample.write_text(f"row_id,{','.join(wanted)}\n")
    inspected = inspect(saved_model)
    columns = columns_of(inspected, read_artifact(model), sample)

    loaded = tf.saved_model.load(str(saved_model))
    audio, rate = soundfile.read(paths[1], dtype="float32")
    assert rate == 32_000
    label = loaded.infer_tf(audio.reshape(12, 160_000))["label"].numpy()
    expected = [[0.0 if name in UNKNOWN else row[names.index(name)] for name in wanted] for row in label]
    with monkeypatch.context() as patch:
        patch.setattr(tf.saved_model, "load", lambda _: loaded)  # so that it is compiled but once
        published = notebook.as_published(saved_model)
    np.testing.assert_array_equal(notebook.score(paths[1:], published, columns), np.array(expected, np.float32))

    plain = notebook.without_xla(inspected)
    assert plain is not None
    scores = notebook.score(paths, plain, columns)
    assert np.abs(scores[12:] - expected).max() < 1e-3 * np.ptp(scores)

    notebook.write_submission(tmp_path / "submission.csv", paths, scores, columns)
    with (tmp_path / "submission.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["row_id", *wanted]
    assert [row[0] for row in rows] == [f"{stem}_{end}" for stem in ("H2", "H1") for end in range(5, 65, 5)]
    np.testing.assert_array_equal(np.array([row[1:] for row in rows]).astype(np.float32), scores)


def test_without_a_sample_submission_all_the_files_classes(saved_model: Path, model: Path) -> None:
    columns = columns_of(inspect(saved_model), read_artifact(model), None)
    assert list(columns.names) == (saved_model / "assets" / "label.csv").read_text().split()[1:]
    np.testing.assert_array_equal(columns.positions, np.arange(len(columns.names)))


def test_past_terminate_time_each_file_left_gets_the_constant(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(notebook, "THREADS", 1)

    def infer(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        nonlocal now
        now += 10.0
        return np.full((12, 3), now, np.float32)

    columns = ClassMap((Match("a", 2), Match("none"), Match("c", 0)))
    scores = notebook.score([*paths, *paths, *paths], infer, columns, 25.0)
    scored = [[begun, 0.0, begun] for begun in (110.0, 120.0, 130.0)]  # begun 0, 10 and 20 s after the start
    expected = np.repeat([*scored, *[[-1000.0] * 3] * 3], 12, axis=0)
    np.testing.assert_array_equal(scores, expected)
    assert notebook.score(paths, infer, columns, 0.0).max() == -1000.0


def test_channels_are_averaged_as_librosa_does(tmp_path: Path) -> None:
    sides = np.stack([synthetic.soundscape(seed, 60) for seed in (1, 2)], axis=1)
    path = write(tmp_path / "stereo.wav", sides, subtype="FLOAT")
    np.testing.assert_array_equal(notebook.read(path), sides.mean(axis=1).reshape(12, 160_000))


@pytest.mark.slow
def test_without_xla_nothing_is_compiled(saved_model: Path, tmp_path: Path) -> None:
    environment = os.environ | {"XLA_FLAGS": f"--xla_dump_to={tmp_path}"}
    command = [sys.executable, "-c", XLA, str(saved_model), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    plain, infer_tf = map(int, done.stdout.split())
    assert plain == 0
    assert infer_tf > 0  # such files are written, then, where XLA compiles


def test_v2_is_called_by_its_signature_and_never_without_xla(v2: Path) -> None:
    windows = synthetic.windows(3, 1, 160_000)
    assert notebook.without_xla(inspect(v2)) is None
    labels = notebook.as_published(v2)(windows)
    model = tf.saved_model.load(str(v2))
    expected = model.signatures["serving_default"](inputs=tf.constant(windows))["label"].numpy()
    np.testing.assert_array_equal(labels, expected)


def test_soundscapes_that_a_notebook_cannot_read(paths: list[Path], tmp_path: Path) -> None:
    notebook.check_soundscapes(paths)
    short = write(tmp_path / "short.wav", synthetic.soundscape(0, 10))
    (tmp_path / "words.ogg").write_text("these are words")
    twin = tmp_path / paths[0].name
    twin.write_bytes(paths[0].read_bytes())
    for bad, message in ((short, "10 s at 32000 Hz"), (tmp_path / "words.ogg", "cannot be read"), (twin, "same row")):
        with pytest.raises(InputError, match=message):
            notebook.check_soundscapes([*paths, bad])
