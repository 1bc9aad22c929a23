"""Converts a SavedModel whose graph is StableHLO to ONNX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from convert import WINDOW_SAMPLES
from convert.errors import ConversionError, warn_of_numpy_constants
from convert.source import versions
from convert.source.saved_model import SavedModel
from convert.stablehlo.constants import Substitution, Trace, Values
from convert.stablehlo.graph import Graph, natural
from convert.stablehlo.tensor import PROBES, Tensor, View, constant
from convert.stablehlo.text import Function, parse
from convert.stablehlo.translate import outputs, translate
from convert.write import IR_VERSION, OPSET
from runtime.errors import first_line
from runtime.model.schema import INPUTS

TO_FUNCTIONS = "func.func(tf-executor-graph-pruning),func.func(tf-executor-to-functional-conversion)"
TO_STABLEHLO = "tf-xla-call-module-deserialization"
"""TensorFlow's own passes. Inside `builtin.module(...)` they would silently do nothing."""


def to_onnx(model: SavedModel) -> ir.Model:
    """The model as ONNX: input `inputs`, an output for each head under its name.

    Raises:
        ConversionError: TensorFlow cannot read the StableHLO, or an operation cannot be translated; names it and its
            line.
    """
    functions = parse(stablehlo_text(model))
    windows = ir.val(INPUTS, dtype=ir.DataType.FLOAT, shape=["batch" if model.free_batch else 1, WINDOW_SAMPLES])
    try:
        graph, results = translated(functions, windows, _arguments(model, windows))
        both = zip(model.outputs, results, strict=True)
        named = {output.name: result for output, result in both if not output.problem}
        return model_of(graph, windows, named)
    except ConversionError as error:
        raise ConversionError(f"{model.path} cannot be converted: {error}") from error


def model_of(graph: Graph, windows: ir.Value, named: Mapping[str, Tensor]) -> ir.Model:
    """A translated graph as a model, with these outputs by name.

    Raises:
        ConversionError: a result cannot be an output.
    """
    made = ir.Graph(
        [windows],
        outputs(graph, named),
        nodes=graph.nodes,
        initializers=list(graph.constants.values()),
        opset_imports={"": OPSET},
        name="perch",
    )
    return ir.Model(made, ir_version=IR_VERSION)


def translated(
    functions: Mapping[str, Function], windows: ir.Value, arguments: Sequence[Tensor]
) -> tuple[Graph, list[Tensor]]:
    """The graph of the first function, with constants computed by XLA, and its results."""
    values, graph = _computed(functions, windows, arguments), Graph(windows)
    return graph, translate(functions, graph, arguments, Substitution(values))


def _computed(functions: Mapping[str, Function], windows: ir.Value, arguments: Sequence[Tensor]) -> Values:
    trace = Trace()
    for result in translate(functions, Graph(windows), arguments, trace):
        trace.ask(result)
    try:
        return trace.computed()
    except Exception as error:  # TensorFlow raises many types
        warn_of_numpy_constants(error)
        return {}


def _arguments(model: SavedModel, windows: ir.Value) -> list[Tensor]:
    """The function's arguments: the windows, then the model's variables."""
    sizes = np.array([[size if model.free_batch else 1, WINDOW_SAMPLES] for size in PROBES], np.int64)
    first = Tensor(sizes, np.dtype(np.float32), (View(windows, natural(2), sizes),))
    return [first, *(constant(np.asarray(each.numpy())) for each in captured(model))]


def captured(model: SavedModel) -> list[Any]:
    """The variables and tensors that the function takes after the windows, in its order."""
    variables = {id(variable.handle): variable for variable in model.function.graph.variables}
    return [variables.get(id(each), each) for each in model.function.captured_inputs]


def stablehlo_text(model: SavedModel) -> str:
    """The model's functions as MLIR's text, with StableHLO deserialised.

    Raises:
        ConversionError: TensorFlow cannot read it; with the StableHLO versions of the model and of TensorFlow.
    """
    mlir = tf.mlir.experimental
    try:
        text = mlir.convert_function(model.function, TO_FUNCTIONS)
        text = mlir.run_pass_pipeline(text, TO_STABLEHLO, show_debug_info=False)
    except Exception as error:  # TensorFlow raises many types
        said = first_line(error)
    else:
        if "stablehlo." in text:
            return text
        said = "its pass leaves the module unchanged"
    assert model.stablehlo is not None
    raise ConversionError(versions.unreadable(model.path, model.stablehlo, said))
