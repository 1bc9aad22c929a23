"""Plain TensorFlow ops to ONNX: the graph is frozen, cleared of what tf2onnx cannot follow, and handed to it."""

from __future__ import annotations

import logging
from typing import Any

import onnx
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tf2onnx.optimizer import (
    BackToBackOptimizer,
    ConstFoldOptimizer,
    EinsumOptimizer,
    IdentityOptimizer,
    MergeDuplicatedNodesOptimizer,
    TransposeOptimizer,
    optimize_graph,
)
from tf2onnx.tf_loader import tf_optimize
from tf2onnx.tfonnx import process_tf_graph

from convert.broadcasts import without_broadcasts
from convert.complex_pairs import split_complex
from convert.constants import with_constants
from convert.errors import ConversionError, first_line
from convert.saved_model import SavedModel
from convert.write import OPSET

NO_OPS = {"EnsureShape", "PreventGradient", "StopGradient", "CheckNumerics"}
"""Ops that pass their first input through: they check or guard training."""
OPTIMIZERS = {
    "transpose": TransposeOptimizer,
    "constants": ConstFoldOptimizer,
    "duplicates": MergeDuplicatedNodesOptimizer,
    "identities": IdentityOptimizer,
    "back_to_back": BackToBackOptimizer,
    "einsum": EinsumOptimizer,
}


def to_onnx(model: SavedModel) -> onnx.ModelProto:
    """The model as ONNX: input `inputs`, an output for each head under its name.

    Raises:
        ConversionError: an op has no ONNX counterpart; op and node are named.
    """
    graph_def, input_name, outputs = frozen(model)
    weights = {tensor.op.name for tensor in model.function.graph.internal_captures}
    graph_def = pruned(with_constants(graph_def, input_name, outputs, weights, model.compiled), outputs)
    with tf.Graph().as_default():
        graph_def = tf_optimize([input_name], outputs, graph_def)
    graph_def = split_complex(pruned(graph_def, outputs))
    graph_def = pruned(without_broadcasts(graph_def), outputs)

    complaints = _Complaints()
    logger = logging.getLogger("tf2onnx")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(complaints)
    try:
        with tf.Graph().as_default() as graph:
            tf.import_graph_def(graph_def, name="")
            onnx_graph = process_tf_graph(graph, opset=OPSET, input_names=[input_name], output_names=outputs)
            # The whole set of optimizers, each on a deep copy, would take half a minute and find no more.
            onnx_graph = optimize_graph(onnx_graph, catch_errors=False, optimizers=OPTIMIZERS)
            proto = onnx_graph.make_model("perch")
    except Exception as error:  # tf2onnx raises whatever its handlers stumble over
        raise ConversionError(f"tf2onnx cannot convert {model.path}: {first_line(error)}") from error
    finally:
        logger.removeHandler(complaints)
        logger.propagate = propagate
    renames = {input_name: "inputs", **{name: output.name for name, output in zip(outputs, model.outputs, strict=True)}}
    _check_domain(model, proto, complaints.lines)
    return _renamed(proto, renames)


def frozen(model: SavedModel) -> tuple[tf.compat.v1.GraphDef, str, list[str]]:
    """The graph with constants for variables and without checks; the names of its input and, by head, its outputs."""
    function = convert_variables_to_constants_v2(model.function, lower_control_flow=False, aggressive_inlining=True)
    input_name = next(t.name for t in function.inputs if t.dtype != tf.resource)
    # freezing flattens a structure in the order of its sorted keys, as the heads are
    outputs = [tensor.name for tensor in function.outputs]
    return _without_checks(function.graph.as_graph_def(), outputs), input_name, outputs


class _Complaints(logging.Handler):
    """Collects what tf2onnx logs as errors: it can log one and still return a graph."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _without_checks(graph_def: tf.compat.v1.GraphDef, outputs: list[str]) -> tf.compat.v1.GraphDef:
    """Without control dependencies (which keep assertions alive) and with checks as Identity."""
    for node in graph_def.node:
        data = [name for name in node.input if not name.startswith("^")]
        if node.op in NO_OPS:
            kind = node.attr["T"].type
            node.op = "Identity"
            node.attr.clear()
            node.attr["T"].type = kind
        del node.input[:]
        node.input.extend(data)
    return pruned(graph_def, outputs)


def pruned(graph_def: tf.compat.v1.GraphDef, outputs: list[str]) -> tf.compat.v1.GraphDef:
    """What these tensors are computed from."""
    return tf.compat.v1.graph_util.extract_sub_graph(graph_def, [name.split(":")[0] for name in outputs])


def _check_domain(model: SavedModel, proto: onnx.ModelProto, complaints: list[str]) -> None:
    """tf2onnx leaves what it could not convert in the graph, as nodes that nothing can run."""
    foreign = [node for node in proto.graph.node if node.domain not in ("", "ai.onnx") or not _is_onnx(node.op_type)]
    if foreign or complaints:
        named = ", ".join(sorted({f"{node.op_type} ('{node.name}')" for node in foreign})) or "; ".join(complaints)
        raise ConversionError(f"{model.path} holds ops that have no ONNX counterpart here: {named}")


def _is_onnx(op_type: str) -> bool:
    return bool(onnx.defs.has(op_type, OPSET))


def _renamed(proto: onnx.ModelProto, renames: dict[str, str]) -> onnx.ModelProto:
    def rename(names: Any) -> None:
        names[:] = [renames.get(name, name) for name in names]

    for node in proto.graph.node:
        rename(node.input)
        rename(node.output)
    for value in [*proto.graph.input, *proto.graph.output]:
        value.name = renames.get(value.name, value.name)
    return proto
