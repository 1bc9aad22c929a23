"""Functions of JAX, exported as Perch v2 is and translated to ONNX, compared with JAX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import tensorflow as tf
from hypothesis import settings
from jax.experimental import jax2tf
from numpy.typing import NDArray

from convert.stablehlo import module
from convert.stablehlo.graph import Graph, natural
from convert.stablehlo.module import stablehlo_text, translated
from convert.stablehlo.tensor import PROBES, Tensor, View
from convert.stablehlo.text import parse
from convert.stablehlo.translate import translate

Array = NDArray[Any]
Function = Callable[[Any], Any]
"""A function of one array, whose first axis is the batch, to an array or a nested structure of arrays."""

CLOSE = 1e-5
"""Relative tolerance: float32 sums of a few hundred numbers in another order differ by 1e-6."""
settings.register_profile("modules", deadline=None, derandomize=True, database=None)
settings.load_profile("modules")


def text_of(
    function: Function, shape: Sequence[int], dtype: Any = np.float32, free: bool = True, **options: Any
) -> str:
    """The StableHLO module as TensorFlow prints it; the batch, `shape[0]`, is free or fixed."""
    sizes = ["b" if free else str(shape[0]), *map(str, shape[1:])]
    exported = jax2tf.convert(
        function,
        polymorphic_shapes=[f"({', '.join(sizes)},)"],
        with_gradient=False,
        native_serialization=True,
        **options,
    )
    spec = tf.TensorSpec([None if free else shape[0], *shape[1:]], dtype, name="inputs")
    concrete = tf.function(exported, input_signature=[spec], autograph=False).get_concrete_function()
    return stablehlo_text(SimpleNamespace(path="model", function=concrete, stablehlo=None))


def model_of(
    text: str, shape: Sequence[int], dtype: Any = np.float32, free: bool = True, constants: bool = False
) -> ir.Model:
    """The graph; with `constants` XLA computes values that do not depend on the input, as in a conversion."""
    sizes = np.array([[probe if free else shape[0], *shape[1:]] for probe in PROBES], np.int64)
    dtype = np.dtype(dtype)
    inputs = ir.val("inputs", dtype=ir.DataType.from_numpy(dtype), shape=["batch" if free else shape[0], *shape[1:]])
    functions, arguments = parse(text), [Tensor(sizes, dtype, (View(inputs, natural(len(shape)), sizes),))]
    graph = Graph(inputs)
    if constants:
        graph, results = translated(functions, inputs, arguments)
    else:
        results = translate(functions, graph, arguments)
    return module.model_of(graph, inputs, {f"output_{i}": result for i, result in enumerate(results)})


def session_of(
    text: str, shape: Sequence[int], dtype: Any = np.float32, free: bool = True, constants: bool = False
) -> ort.InferenceSession:
    proto = ir.to_proto(model_of(text, shape, dtype, free, constants))
    return ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])


def sample(shape: Sequence[int], dtype: Any = np.float32) -> Array:
    """Random numbers: normal floats, integers from -9 to 9, booleans; the same for the same number of elements."""
    rng, dtype = np.random.default_rng(int(np.prod(shape))), np.dtype(dtype)
    if dtype.kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(0, 2, shape).astype(bool) if dtype.kind == "b" else rng.integers(-9, 10, shape).astype(dtype)


def assert_equal_to_jax(
    function: Function,
    shape: Sequence[int],
    dtype: Any = np.float32,
    *,
    free: bool = True,
    close: float = CLOSE,
    of_greatest: float | None = None,
    floor: float = 0.0,
    inputs: Callable[[int], Array] | None = None,
    constants: bool = False,
) -> None:
    """Translates a function and compares its outputs with JAX's, for batches of 1, 2 and 5, or of `shape[0]` alone.

    Args:
        close: relative tolerance of each number.
        of_greatest: additional tolerance, relative to the output's greatest number or to `floor`; `close` if None.
        floor: the greatest number computed on the way, where larger numbers than the output's are subtracted.
        inputs: makes the input of a batch size; random numbers if None.
        constants: whether XLA computes values that do not depend on the input.
    """
    session = session_of(text_of(function, shape, dtype, free), shape, dtype, free, constants)
    share = close if of_greatest is None else of_greatest
    reference = jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})  # compiles faster
    for batch in (1, 2, 5) if free else (shape[0],):
        x = inputs(batch) if inputs else sample((batch, *shape[1:]), dtype)
        expected = jax.tree_util.tree_leaves_with_path(reference(x))
        for (path, wanted), actual in zip(expected, session.run(None, {"inputs": x}), strict=True):
            wanted, where = np.asarray(wanted), f"{jax.tree_util.keystr(path)}, batch {batch}"
            assert (actual.shape, actual.dtype) == (wanted.shape, wanted.dtype), where
            if wanted.dtype.kind in "fc":
                greatest = np.max(np.abs(wanted), initial=0, where=np.isfinite(wanted))
                np.testing.assert_allclose(actual, wanted, rtol=close, atol=share * max(greatest, floor), err_msg=where)
            else:
                np.testing.assert_array_equal(actual, wanted, err_msg=where)


def each(cases: dict[str, Function], constant: Any = None) -> Function:
    """All cases in one module, applied to its input and, if there is one, to a constant, which is folded."""

    def function(x: Any) -> dict[str, Any]:
        computed = {name: case(x) for name, case in cases.items()}
        if constant is None:
            return computed
        return computed | {f"{name} of a constant": case(constant) for name, case in cases.items()}

    return function
