"""SavedModels that are not quite a Perch: converted, or refused in one sentence that says what is wrong and where."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import tensorflow as tf

from convert.cli import main

Infer = Callable[[tf.Tensor], dict[str, tf.Tensor]]


def save(folder: Path, more: Infer, spec: tf.TensorSpec | None = None) -> Path:
    """A SavedModel of plain ops from windows to `label` and the outputs of `more`."""
    module = tf.Module()
    module.weights = tf.Variable(tf.random.stateless_normal([160, 3], [1, 2]))

    def infer(windows: tf.Tensor) -> dict[str, tf.Tensor]:
        audio = tf.reshape(tf.cast(windows, tf.float32), [-1, 160, 1000])
        return {"label": audio[:, :, 0] @ module.weights, **more(tf.reshape(audio, [-1, 160_000]))}

    spec = spec or tf.TensorSpec([None, 160_000], tf.float32, name="inputs")
    module.infer_tf = tf.function(infer, input_signature=[spec], autograph=False)
    tf.saved_model.save(module, str(folder), signatures=module.infer_tf.get_concrete_function())
    (folder / "assets").mkdir(exist_ok=True)
    (folder / "assets" / "label.csv").write_text("ebird2021\na\nb\nc\n")
    return folder


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Callable[[Path], str]:
    def refusal(folder: Path) -> str:
        before = sorted(folder.parent.iterdir())
        assert main([str(folder), "-o", str(folder.parent / "x.onnx"), "--quiet"]) == 2
        assert sorted(folder.parent.iterdir()) == before
        said = capsys.readouterr().err
        assert said.startswith("perch-convert: ") and said.count("\n") == 1 and str(folder) in said
        return said

    return refusal


REFUSED: dict[str, tuple[Infer, str]] = {
    "names": (lambda x: {"names": tf.as_string(x[:, :3])}, "'names' holds string, not floats; leave it out with"),
    "places": (lambda x: {"top": tf.argmax(x, 1)}, "'top' holds int64, not floats"),
    "complex": (lambda x: {"fft": tf.signal.rfft(x[:, :8])}, "'fft' holds complex64, not floats"),
    "one number": (lambda x: {"mean": tf.reduce_mean(x)}, "'mean' has shape (), which has no row for each window"),
    "no rows": (lambda x: {"ones": tf.ones([160, 3])}, "'ones' has shape (160, 3), which has no row for each window"),
    "nothing": (lambda x: {"nothing": x[:, :0]}, "'nothing' has shape (None, 0), whose sizes are 0 or not fixed"),
    "line": (lambda x: {"a\nb": x[:, :2]}, r"'a\nb' has a name that cannot be printed"),
    "some rows": (lambda x: {"loud": tf.boolean_mask(x, x[:, 0] > 0)[:, :3]}, " rows for 4 windows"),
    "random": (lambda x: {"embedding": x[:, :4] + tf.random.normal([4])}, "draws random numbers"),
    "op": (lambda x: {"embedding": tf.math.igamma(x[:, :4] ** 2 + 1, 1.0)}, "Igamma ('Stateful"),
    "angle": (lambda x: {"embedding": tf.math.angle(tf.signal.rfft(x[:, :8]))}, "node 'StatefulPartitionedCall/Angle'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_outputs_and_ops(tmp_path: Path, refusal: Callable[[Path], str], name: str) -> None:
    more, expected = REFUSED[name]
    assert expected in refusal(save(tmp_path / "model", more))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (tf.TensorSpec([None, 160_000], tf.int16), "its input is int16 (None, 160000), not float32 [batch, 160000]"),
        (tf.TensorSpec([None, 160_000, 1], tf.float32), "its input is float32 (None, 160000, 1), not"),
        (tf.TensorSpec(None, tf.float32), "its input is float32 <unknown>, not"),
    ],
)
def test_inputs(tmp_path: Path, refusal: Callable[[Path], str], spec: tf.TensorSpec, expected: str) -> None:
    assert expected in refusal(save(tmp_path / "model", lambda x: {}, spec))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("plain") / "model", lambda x: {})


def damage(change: Callable[[bytes], bytes], name: str = "saved_model.pb") -> Callable[[Path], None]:
    def damaged(folder: Path) -> None:
        (path,) = folder.glob(name)
        path.write_bytes(change(path.read_bytes()))

    return damaged


DAMAGED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "cut": (damage(lambda data: data[:-300]), "saved_model.pb is damaged"),
    "empty": (damage(lambda data: b""), "saved_model.pb is damaged"),
    "no weights": (damage(lambda data: data[:50], "variables/*.data*"), "TensorFlow cannot load"),
    "no index": (lambda folder: (folder / "variables/variables.index").unlink(), "TensorFlow cannot load"),
    "text": (lambda folder: (folder / "saved_model.pb").rename(folder / "x.pbtxt"), "has no saved_model.pb"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged(tmp_path: Path, plain: Path, refusal: Callable[[Path], str], name: str) -> None:
    change, expected = DAMAGED[name]
    folder = shutil.copytree(plain, tmp_path / "model")
    change(folder)
    assert expected in refusal(folder)


def test_a_file_is_not_a_folder(tmp_path: Path, refusal: Callable[[Path], str]) -> None:
    (tmp_path / "model.keras").write_bytes(b"PK")
    assert "is a file, not the folder of a SavedModel" in refusal(tmp_path / "model.keras")
    (tmp_path / "model.onnx").write_bytes(onnx.ModelProto(ir_version=8).SerializeToString())
    assert "is an ONNX file already" in refusal(tmp_path / "model.onnx")


def test_loops_in_plain_ops(tmp_path: Path, refusal: Callable[[Path], str]) -> None:
    def columns(x: tf.Tensor) -> dict[str, tf.Tensor]:
        doubled = tf.map_fn(lambda place: x[:, place] * 2, tf.range(8), fn_output_signature=tf.float32)
        return {"embedding": tf.transpose(doubled)}

    def running(x: tf.Tensor) -> dict[str, tf.Tensor]:
        smooth = tf.scan(lambda state, frame: 0.9 * state + 0.1 * frame, tf.transpose(x[:, :8]))
        return {"embedding": tf.ensure_shape(tf.transpose(smooth), [None, 8])}

    assert "StatelessWhile (node '" in refusal(save(tmp_path / "model", running))
    assert main([str(save(tmp_path / "model", columns)), "-o", str(tmp_path / "x.onnx"), "--quiet"]) == 0


def test_an_unusable_output_can_be_left_out(tmp_path: Path) -> None:
    folder = save(tmp_path / "model", lambda x: {"fft": tf.signal.rfft(x[:, :8]), "top": tf.argmax(x, 1)})
    assert main([str(folder), "-o", str(tmp_path / "x.onnx"), "--quiet", "--outputs", "label"]) == 0
