"""Small ONNX graphs for tests of passes: written as text, run, and compared before and after a pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

from convert.passes.pipeline import clean, infer_shapes

Array = NDArray[np.float32]
RNG = np.random.default_rng(0)


def normal(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def graph_of(text: str, **weights: NDArray[np.generic]) -> ir.Model:
    """A model from ONNX's own text format, with weights by name."""
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{text}')
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in weights.items())
    return ir.from_proto(proto)


def outputs_of(model: ir.Model, x: Array) -> list[Array]:
    """All outputs, as ONNX Runtime computes them without optimising."""
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return list(ort.InferenceSession(proto.SerializeToString(), options).run(None, {"x": x}))


def run_graph(model: ir.Model, names: list[str], **feeds: NDArray[np.generic]) -> list[Array]:
    """The outputs with these names, as ONNX Runtime computes them with its optimisations."""
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return list(ort.InferenceSession(proto.SerializeToString(), options).run(names, feeds))


def ops(model: ir.Model) -> Counter[str]:
    """How many nodes of each op type the graph has."""
    return Counter(node.op_type for node in model.graph)


def assert_same(model: ir.Model, x: Array, *passes: Callable[[ir.Graph], object], tolerance: float = 1e-5) -> ir.Model:
    """Runs passes and asserts that each output differs by no more than `tolerance` times its range."""
    before = outputs_of(model, x)
    for run in passes:
        model = infer_shapes(model)
        run(model.graph)
        clean(model)
    for old, new in zip(before, outputs_of(model, x), strict=True):
        assert old.shape == new.shape
        assert np.abs(old - new).max() <= tolerance * max(np.ptp(old), 1e-3)
    return model
