"""What a machine that can fetch nothing gets: light files that are filled there, and what to expect of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from benchmarks.cuda.kit import lighten
from benchmarks.cuda.kit.__main__ import main
from benchmarks.cuda.kit.expected import Expected
from benchmarks.cuda.kit.seeded import Weight, fill
from runtime.errors import InputError
from runtime.model.identity import read_true_artifact
from runtime.model.session import Session


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    folder = tmp_path_factory.mktemp("kits") / "kit"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lighten, "LEAST_VALUES", 256)
        patch.setattr(lighten, "LEAST_A_CHANNEL", 4)
        assert main([str(folder), str(model)]) == 0
    return folder


@pytest.fixture(scope="module")
def filled(kit: Path, model: Path) -> Path:
    assert main([str(kit), "--unpack"]) == 0
    return kit / model.name


def weights(path: Path) -> dict[str, NDArray[np.float32]]:
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


def test_filled_file_is_valid_and_gives_what_was_expected(kit: Path, filled: Path, model: Path) -> None:
    artifact, original = read_true_artifact(filled), read_true_artifact(model)
    assert artifact.artifact_sha256 != original.artifact_sha256
    assert "random" in str(artifact.parity_warning)
    expected, session = Expected(kit / "expected.npz"), Session(filled)
    outputs = expected.outputs(filled.stem, artifact.artifact_sha256)
    assert {"label", "embedding"} <= outputs.keys()
    found = session.run(expected.windows, tuple(outputs), 1)
    for name, values in outputs.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-5 * float(np.ptp(values)))
        assert np.ptp(values) > 0
    session.warm_up(("label", "embedding"), 2)  # which compares with the golden window


def test_large_weights_alone_are_random_and_channels_keep_mean_and_deviation(filled: Path, model: Path) -> None:
    before, after = weights(model), weights(filled)
    changed = [name for name, values in before.items() if not np.array_equal(values, after[name])]
    assert {before[name].ndim for name in changed} == {2, 4}  # of heads and of convolutions
    for name in changed:
        assert before[name].size >= 256
        axis = tuple(range(1, 4)) if before[name].ndim == 4 else tuple(range(before[name].ndim - 1))
        scale = np.abs(before[name]).max()
        np.testing.assert_allclose(after[name].mean(axis), before[name].mean(axis), atol=1e-5 * scale)
        np.testing.assert_allclose(after[name].std(axis), before[name].std(axis), atol=1e-5 * scale)


def test_spectrogram_stays_as_it_was(filled: Path, model: Path) -> None:
    windows = np.random.default_rng(0).standard_normal((2, 160_000)).astype(np.float32)
    found, expected = (Session(path).run(windows, ("frontend",), 1)["frontend"] for path in (filled, model))
    np.testing.assert_array_equal(found, expected)


def test_kit_is_light(kit: Path, filled: Path) -> None:
    assert (kit / f"{filled.name}.light").stat().st_size < 0.5 * filled.stat().st_size
    assert {path.suffix for path in (kit / "audio").iterdir()} == {".wav", ".flac", ".ogg"}


def test_damaged_kit_is_refused(kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (light,) = kit.glob("*.light")
    broken = tmp_path / "broken.onnx.light"
    broken.write_bytes(light.read_bytes()[:1000])
    with pytest.raises(InputError, match="is no light file, or is damaged"):
        fill(broken, tmp_path / "broken.onnx")
    values = Weight.values
    monkeypatch.setattr(Weight, "values", lambda self, *given: values(self, *given) + np.float32(1e-3))
    shutil.copy(light, broken)
    with pytest.raises(InputError, match="SHA-256"):
        fill(broken, tmp_path / "broken.onnx")
    assert not (tmp_path / "broken.onnx").exists()


def test_wrong_use_is_explained(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--unpack"]) == 2
    assert "there is no light file" in capsys.readouterr().err
    assert main([str(tmp_path), str(model), str(model)]) == 2
    assert "two files are called perch" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path)])


def test_random_weights_have_their_mean_and_deviation_and_none_is_far_away() -> None:
    weight = Weight(0, (50, 40, 3), "<f4", 1, seed=7)
    means, deviations = np.linspace(-1, 1, 40, dtype=np.float32), np.linspace(0.1, 2, 40, dtype=np.float32)
    values = weight.values(means, deviations)
    np.testing.assert_allclose(values.mean((0, 2)), means, atol=1e-6)
    np.testing.assert_allclose(values.std((0, 2)), deviations, rtol=1e-5)
    np.testing.assert_array_equal(values, weight.values(means, deviations))
    assert np.abs(values - means[:, np.newaxis]).max() < 2 * deviations.max()
