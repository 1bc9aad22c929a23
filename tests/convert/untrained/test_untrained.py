"""Untrained models exported by JAX: what TensorFlow makes of them, their class lists, the command that writes them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.protobuf import saved_model_pb2

from convert.proof import synthetic
from convert.untrained import __main__ as command
from convert.untrained import frontend
from convert.untrained.native import frontend as native_frontend
from convert.untrained.native.perch import write_saved_model
from convert.untrained.recipe import PCEN, TINY, TINY_V2, TINY_V2_PUBLISHED, V1_MEL, Frontend, Smoothing, taps

WINDOWS = synthetic.windows(100, 4, 160_000)


@pytest.fixture(scope="module")
def v2_outputs(v2: Path) -> dict[str, NDArray[np.float32]]:
    return outputs(v2, WINDOWS)


def outputs(folder: Path, windows: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    with tf.device("CPU"):
        found = tf.saved_model.load(str(folder)).signatures["serving_default"](inputs=tf.constant(windows))
    return {name: value.numpy() for name, value in found.items()}


def call_modules(folder: Path) -> list[Any]:
    proto = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    functions = proto.meta_graphs[0].graph_def.library.function
    return [node for function in functions for node in function.node_def if node.op == "XlaCallModule"]


def shapes(found: dict[str, NDArray[np.float32]]) -> dict[str, tuple[int, ...]]:
    assert {value.dtype for value in found.values()} == {np.dtype(np.float32)}
    return {name: value.shape for name, value in found.items()}


def test_v2_is_one_module_of_stablehlo_behind_a_signature(v2: Path) -> None:
    (node,) = call_modules(v2)
    assert list(node.attr["platforms"].list.s) == [b"CPU"]
    loaded = tf.saved_model.load(str(v2))
    assert list(loaded.signatures) == ["serving_default"]
    assert not hasattr(loaded, "infer_tf")
    ((), inputs) = loaded.signatures["serving_default"].structured_input_signature
    assert inputs == {"inputs": tf.TensorSpec([None, 160_000], tf.float32, name="inputs")}


def test_v2_outputs(v2: Path, v2_outputs: dict[str, NDArray[np.float32]]) -> None:
    def expected(batch: int) -> dict[str, tuple[int, ...]]:
        heads = {"label": (60,), "embedding": (24,), "spatial_embedding": (16, 4, 24), "spectrogram": (500, 128)}
        return {name: (batch, *shape) for name, shape in heads.items()}

    assert shapes(v2_outputs) == expected(4)
    alone = outputs(v2, WINDOWS[:1])
    assert shapes(alone) == expected(1)
    for name, value in alone.items():
        np.testing.assert_allclose(value, v2_outputs[name][:1], atol=1e-4 * np.ptp(v2_outputs[name]), rtol=0)


def test_clips_differ(v2_outputs: dict[str, NDArray[np.float32]]) -> None:
    positions = v2_outputs["spatial_embedding"]
    assert 0.2 < (positions < 0).mean() < 0.8
    np.testing.assert_allclose(v2_outputs["embedding"], positions.mean(axis=(1, 2)), atol=1e-5)
    label = v2_outputs["label"]
    assert len(set(label.argmax(axis=1))) >= 3
    assert 0.5 < label.std(axis=0).mean() < 5
    assert (v2_outputs["spectrogram"].std(axis=0) > 0).any()


def test_v2_class_lists(v2: Path) -> None:
    assert sorted(path.name for path in (v2 / "assets").iterdir()) == ["labels.csv", "perch_v2_ebird_classes.csv"]
    labels = (v2 / "assets/labels.csv").read_bytes()
    assert labels.count(b"\n") == labels.count(b"\r\n") == 61 and labels.endswith(b"\r\n")
    header, *names = labels.decode().splitlines()
    assert header == "inat2024_fsd50k"
    assert names == sorted(set(names)) and all(len(name.split(" ")) == 2 for name in names)
    codes = (v2 / "assets/perch_v2_ebird_classes.csv").read_bytes()
    assert codes.count(b"\n") == 61 and b"\r" not in codes
    header, *birds = codes.decode().splitlines()
    assert header == "ebird2021"
    assert birds.count("no_ebird_code") == 20
    assert len(set(birds)) == 41


def test_v1_native_has_the_plain_ones_outputs_and_class_lists(v1: Path, saved_model: Path) -> None:
    assert call_modules(v1) and not call_modules(saved_model)
    plain, native = outputs(saved_model, WINDOWS[:2]), outputs(v1, WINDOWS[:2])
    assert shapes(native) == shapes(plain)
    np.testing.assert_allclose(native["frontend"], plain["frontend"], atol=1e-4)
    loaded = tf.saved_model.load(str(v1))
    called = loaded.infer_tf(WINDOWS[:2])
    np.testing.assert_array_equal(called["label"], native["label"])
    assets = {path.name: path.read_bytes() for path in (saved_model / "assets").iterdir()}
    assert {path.name: path.read_bytes() for path in (v1 / "assets").iterdir()} == assets


@pytest.mark.parametrize(("kind", "smoothing"), [("simple", "causal"), ("simple", "reversed"), ("complex", "reversed")])
def test_both_frameworks_see_the_same_spectrogram(kind: Frontend, smoothing: Smoothing) -> None:
    there = frontend.spectrogram(kind, V1_MEL, tf.constant(WINDOWS), smoothing).numpy()
    recipe = replace(TINY, frontend=kind, smoothing=smoothing)
    here = jax.jit(lambda audio: native_frontend.spectrogram(recipe, audio))(WINDOWS)
    np.testing.assert_allclose(here, there, atol=1e-4)  # float32 noise, through PCEN's root


def test_smoothing_of_a_constant() -> None:
    causal, backwards = (taps(PCEN["simple"], kind) for kind in ("causal", "reversed"))
    assert len(causal) == len(backwards) == 256
    assert sum(causal) == pytest.approx(1)
    assert causal[1:] == sorted(causal[1:]) and backwards[:-1] == sorted(backwards[:-1], reverse=True)


def log_mel(magnitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Perch v2's scaling of an STFT's magnitude `[frames, 513]`, in double precision and in words of its own."""

    def to_mel(hertz: Any) -> Any:
        return 1127 * np.log1p(hertz / 700)

    bins, edges = to_mel(np.linspace(0, 16_000, 513)), np.linspace(to_mel(60), to_mel(16_000), 130)
    bands = np.stack([np.interp(bins, edges[i : i + 3], [0, 1, 0]) for i in range(128)], axis=1)
    bands[0] = 0
    return 0.1 * np.log(np.maximum(magnitude @ bands, 1e-5))


def test_spectrogram_of_v2() -> None:
    stft = scipy.signal.stft(WINDOWS[0].astype(np.float64), nperseg=640, noverlap=320, nfft=1024, padded=False)[2]
    expected = log_mel(np.abs(stft[:, :500]).T)
    actual = native_frontend.spectrogram(TINY_V2, jnp.asarray(WINDOWS[:1]))[0]
    np.testing.assert_allclose(actual, expected, atol=1e-4)  # float32 noise next to the floor


def test_spectrogram_of_v2_as_published() -> None:
    padded = np.pad(WINDOWS[0].astype(np.float64), 160)
    frames = np.lib.stride_tricks.sliding_window_view(padded, 640)[::320]
    expected = log_mel(np.abs(np.fft.rfft(frames * np.hanning(640), 1024)) / np.hanning(640).sum())
    actual = native_frontend.spectrogram(TINY_V2_PUBLISHED, jnp.asarray(WINDOWS[:1]))[0]
    np.testing.assert_allclose(actual, expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "batch"), [("native pair", None), ("native, one window a call", 1)])
def test_pair(of_kind: Callable[[str], Path], kind: str, batch: int | None) -> None:
    folder = of_kind(kind)
    logits, embedding = (spec.shape for spec in tf.saved_model.load(str(folder)).signatures["serving_default"].outputs)
    assert (logits.as_list(), embedding.as_list()) == ([batch, 40], [batch, 24])
    assert [path.name for path in (folder / "assets").iterdir()] == ["label.csv"]
    assert shapes(outputs(folder, WINDOWS[:1])) == {"output_0": (1, 40), "output_1": (1, 24)}


@pytest.mark.slow
def test_module_for_two_platforms_runs_on_this_one(tmp_path: Path, v2_outputs: dict[str, NDArray[np.float32]]) -> None:
    folder = write_saved_model(tmp_path / "saved_model", TINY_V2, ["cpu", "cuda"])
    (node,) = call_modules(folder)
    assert list(node.attr["platforms"].list.s) == [b"CPU", b"CUDA"]
    for name, value in outputs(folder, WINDOWS).items():
        np.testing.assert_allclose(value, v2_outputs[name], atol=1e-4 * np.ptp(v2_outputs[name]), rtol=0)


@pytest.mark.slow
def test_module_for_cuda_alone_does_not_run_on_a_cpu(of_kind: Callable[[str], Path], v2: Path) -> None:
    folder = of_kind("v2 for CUDA alone")
    with pytest.raises(tf.errors.OpError, match=r"platform CPU is not among the platforms required.*CUDA"):
        outputs(folder, WINDOWS[:1])

    def prototypes(folder: Path) -> Any:
        return next(v for v in tf.saved_model.load(str(folder)).weights if v.name.startswith("label/prototypes"))

    assert prototypes(folder).shape == prototypes(v2).shape == (60, 24, 4)
    assert (prototypes(folder) != prototypes(v2)).numpy().all()  # another seed


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command with tiny models; returns the exit code and what it said."""
    monkeypatch.setattr(command, "MODELS", {"v1": ("Perch v1", TINY), "v2": ("Perch v2", TINY_V2)})

    def run(*args: object) -> tuple[int, str]:
        try:
            code = command.main([str(arg) for arg in args])
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return code, printed.err if code else printed.out

    return run


@pytest.mark.slow
def test_command_writes_over_another_model(run: Run, tmp_path: Path, v2_outputs: dict[str, Any]) -> None:
    assert run(tmp_path / "x")[0] == 0
    assert not call_modules(tmp_path / "x")
    code, said = run(tmp_path / "x", "--model", "v2")
    assert code == 0 and "an untrained Perch v2" in said and said.count("\n") == 1
    assert not (tmp_path / "x/assets/label.csv").exists()
    for name, value in outputs(tmp_path / "x", WINDOWS).items():
        np.testing.assert_array_equal(value, v2_outputs[name])  # the same seed


@pytest.mark.parametrize(
    "args",
    [
        ["--platforms", "cuda"],
        ["--model", "v2", "--frontend", "complex"],
        ["--model", "v2", "--fixed-batch"],
        ["--model", "v2", "--pair"],
        ["--model", "v2", "--smoothing", "reversed"],
    ],
    ids=" ".join,
)
def test_options_that_do_not_go_together(run: Run, tmp_path: Path, args: list[str]) -> None:
    code, said = run(tmp_path / "x", *args)
    assert code == 2 and args[-1 if args[-1].startswith("--") else -2] in said.splitlines()[-1]
    assert not (tmp_path / "x").exists()


def test_without_jax(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("convert.untrained.native")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("convert.untrained.native", raising=False)
    monkeypatch.setitem(sys.modules, "jax", None)
    code, said = run(tmp_path / "x", "--native")
    assert code == 2
    assert said.count("\n") == 1 and "run `pip install '.[dev]'`" in said
    assert not (tmp_path / "x").exists()
