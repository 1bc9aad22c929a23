"""Constants of a converted graph equal those that TensorFlow computes, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx_ir as ir
import pytest
import tensorflow as tf
from jax.experimental import jax2tf

from convert.passes.edit import Array
from convert.source.reference import Reference
from convert.source.saved_model import SavedModel, inspect
from convert.stablehlo import module, xla
from convert.tf import constants
from convert.tf import ops as tf_ops
from convert.untrained import frontend as plain
from convert.untrained.native import frontend as native
from convert.untrained.recipe import V1_MEL
from tests.support.jax_modules import assert_equal_to_jax, each, sample

BINS, BANDS, ROWS = 513, 160, 311
VARIANCE, SCALE = (np.random.default_rng(0).random((2, 64)) + 0.01).astype(np.float32)


def write(folder: Path, infer: Callable[[Any, Any, Any], Any], compiled: bool, exported: bool) -> SavedModel:
    """A SavedModel of a function of windows and two variables."""
    if exported:
        infer = jax2tf.convert(
            infer,
            with_gradient=False,
            native_serialization_platforms=("cpu",),
            polymorphic_shapes=["(b, _)", None, None],
        )
    serving = tf.Module()
    serving.variables_ = [tf.Variable(VARIANCE), tf.Variable(SCALE)]
    spec = tf.TensorSpec([None, 160_000], tf.float32, name="inputs")
    serving.infer_tf = tf.function(
        lambda inputs: infer(inputs, *serving.variables_), [spec], jit_compile=compiled, autograph=False
    )
    tf.saved_model.save(serving, str(folder), signatures=serving.infer_tf.get_concrete_function())
    (folder / "assets").mkdir(exist_ok=True)
    (folder / "assets" / "label.csv").write_text("ebird2021\n" + "".join(f"a{i}\n" for i in range(64)))
    return inspect(folder)


def by_jax(audio: Any, variance: Any, scale: Any) -> dict[str, Any]:
    frames = audio[:, : ROWS * BINS].reshape(-1, ROWS, BINS)
    norm = jax.lax.rsqrt(variance + 1e-3) * scale
    return {"frontend": frames @ native._mel_matrix(BINS, *V1_MEL), "label": audio[:, :64] * norm}


def by_tensorflow(audio: Any, variance: Any, scale: Any) -> dict[str, Any]:
    frames = tf.reshape(audio[:, : ROWS * BINS], [-1, ROWS, BINS])
    norm = tf.math.rsqrt(variance + 1e-3) * scale
    return {
        "frontend": tf.einsum("btf,fm->btm", frames, plain._mel_matrix(BINS, V1_MEL)),
        "label": audio[:, :64] * norm,
    }


@pytest.mark.parametrize(
    ("infer", "compiled", "exported"),
    [(by_jax, True, True), (by_tensorflow, True, False), (by_tensorflow, False, False)],
    ids=["StableHLO", "plain ops compiled by XLA", "plain ops"],
)
def test_constants_are_tensorflows_own(tmp_path: Path, infer: Any, compiled: bool, exported: bool) -> None:
    source = write(tmp_path / "saved_model", infer, compiled, exported)
    assert source.compiled is compiled and (source.stablehlo is not None) is exported
    rows = np.eye(2 * ROWS, BINS, dtype=np.float32).reshape(2, ROWS * BINS)  # a matrix multiplied by these is itself
    windows = np.zeros((3, 160_000), np.float32)
    windows[:2, : ROWS * BINS], windows[2] = rows, 1
    expected = Reference(source)(windows)
    matrix = expected["frontend"][:2].reshape(-1, BANDS)[:BINS]
    graph = module.to_onnx(source) if exported else ir.from_proto(tf_ops.to_onnx(source))
    stored = [each.const_value.numpy() for each in graph.graph.initializers.values() if each.const_value is not None]
    assert among(stored, matrix)
    assert among(stored, expected["label"][2])


def test_constants_that_tensorflow_cannot_compute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved_model: Path
) -> None:
    def fails(*_: object) -> None:
        raise ValueError("no kernel\nand more")

    monkeypatch.setattr(constants, "_computed", fails)
    with pytest.warns(RuntimeWarning, match=r"so NumPy does \(no kernel\)$"):
        assert tf_ops.to_onnx(inspect(saved_model)).graph.node
    monkeypatch.setattr(xla, "run", fails)
    source = write(tmp_path / "saved_model", by_jax, True, True)
    with pytest.warns(RuntimeWarning, match=r"so NumPy does \(no kernel\)$"):
        assert list(module.to_onnx(source).graph)


COMPUTED: dict[str, Callable[[Any], Any]] = {
    "complex": lambda x: jnp.abs(jnp.exp(1j * x) * (2 + 1j) + x) + jnp.exp(1j * x).imag,
    "counted": lambda x: x[:, :2] * jnp.sqrt(jnp.arange(2.0) + 1.0),
    "of one number": lambda x: jnp.log1p(jnp.sum(jnp.square(x[:, :1]), axis=1)),
    "one number": lambda x: x[:, 0] * 0 + jnp.log1p(jnp.float32(VARIANCE[0])),
    "chosen": lambda x: jnp.where(jnp.tanh(x) > 0.1, x, -x).sum(1),
    "halved": lambda x: jnp.float16(x) * jnp.float16(2),
    "rounded": lambda x: (x.astype(jnp.bfloat16) * 2).astype(np.float32),
}


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_constants_of_every_kind_are_computed() -> None:
    assert_equal_to_jax(each(COMPUTED, jnp.asarray(sample((3, 5)))), (1, 5), constants=True)


def among(arrays: list[Array], wanted: Array) -> bool:
    """Whether one of the arrays equals it to the last bit, up to the order of its axes."""
    squeezed = [array.squeeze() for array in arrays]
    return any(np.array_equal(array, wanted) or np.array_equal(array.T, wanted) for array in squeezed)
