"""Plain TensorFlow ops to ONNX: the graph is frozen, rid of what tf2onnx cannot convert, and passed to it."""

from __future__ import annotations

import logging
import re
import sys
from logging.handlers import BufferingHandler
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

from convert.errors import ConversionError
from convert.source.saved_model import SavedModel
from convert.tf.broadcasts import without_broadcasts
from convert.tf.complex_pairs import split_complex
from convert.tf.constants import with_constants
from convert.write import OPSET
from runtime.errors import first_line, some
from runtime.model.schema import INPUTS

NAMED = re.compile(r"Failed to convert node '([^']*)'.*?OP=(\w+)", re.DOTALL)
"""What tf2onnx logs for a node whose handler raised an error."""
CONTROL_FLOW = {"Case", "If", "StatelessCase", "StatelessIf", "StatelessWhile", "While"}
NO_OPS = {"EnsureShape", "PreventGradient", "StopGradient", "CheckNumerics"}
"""Ops that return their first input: they check values or guard training."""
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
    logger = logging.getLogger("tf2onnx")
    errors = BufferingHandler(sys.maxsize)  # it can log an error and still return a graph
    errors.setLevel(logging.ERROR)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(errors)
    graph_def = tf.compat.v1.GraphDef()
    try:
        graph_def, input_name, outputs = frozen(model)
        weights = {tensor.op.name for tensor in model.function.graph.internal_captures}
        graph_def = pruned(with_constants(graph_def, input_name, outputs, weights, model.compiled), outputs)
        with tf.Graph().as_default():
            graph_def = tf_optimize([input_name], outputs, graph_def)
        graph_def = split_complex(pruned(graph_def, outputs))
        graph_def = pruned(without_broadcasts(graph_def), outputs)
        with tf.Graph().as_default() as graph:
            tf.import_graph_def(graph_def, name="")
            onnx_graph = process_tf_graph(graph, opset=OPSET, input_names=[input_name], output_names=outputs)
            # All optimizers, each on a deep copy, would take half a minute and achieve no more.
            onnx_graph = optimize_graph(onnx_graph, catch_errors=False, optimizers=OPTIMIZERS)
            proto = onnx_graph.make_model("perch")
    except ConversionError as error:
        raise ConversionError(f"{model.path} cannot be converted: {error}") from error
    except Exception as error:  # TensorFlow and tf2onnx raise errors of any class
        raise ConversionError(
            f"{model.path} cannot be converted: {_failed_op(errors.buffer, graph_def)} ({first_line(error)})"
        ) from error
    finally:
        logger.removeHandler(errors)
        logger.propagate = propagate
    heads = zip(outputs, model.usable_outputs, strict=True)
    renames = {input_name: INPUTS, **{name: output.name for name, output in heads}}
    _check_domain(model, proto, [error.getMessage() for error in errors.buffer])
    return _renamed(proto, renames)


def frozen(model: SavedModel) -> tuple[tf.compat.v1.GraphDef, str, list[str]]:
    """The graph with constants for variables and without checks; names of its input and of its usable outputs."""
    function = convert_variables_to_constants_v2(model.function, lower_control_flow=False, aggressive_inlining=True)
    input_name = next(t.name for t in function.inputs if t.dtype != tf.resource)
    # freezing flattens a structure in the order of its sorted keys, which is that of the outputs
    pairs = zip(function.outputs, model.outputs, strict=True)
    outputs = [tensor.name for tensor, output in pairs if not output.problem]
    return _without_checks(function.graph.as_graph_def(), outputs), input_name, outputs


def _failed_op(errors: list[logging.LogRecord], graph_def: tf.compat.v1.GraphDef) -> str:
    """The op that cannot be converted and its node, if tf2onnx names it; else the ops that contain functions."""
    for error in errors:
        if match := NAMED.search(error.getMessage()):
            return f"tf2onnx cannot convert {match[2]} (node '{match[1]}')"
    nodes = [f"{node.op} (node '{node.name}')" for node in graph_def.node if node.op in CONTROL_FLOW]
    return f"tf2onnx fails at {some(nodes, 3)}" if nodes else "tf2onnx fails at a node that it does not name"


def _without_checks(graph_def: tf.compat.v1.GraphDef, outputs: list[str]) -> tf.compat.v1.GraphDef:
    """The graph without control dependencies (which keep assertions alive) and with Identity in place of checks."""
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
    """The part of the graph that these tensors are computed from."""
    return tf.compat.v1.graph_util.extract_sub_graph(graph_def, [name.split(":")[0] for name in outputs])


def _check_domain(model: SavedModel, proto: onnx.ModelProto, errors: list[str]) -> None:
    """Refuses ops that are not ONNX: tf2onnx leaves those it cannot convert in the graph."""
    random = [node for node in proto.graph.node if node.op_type.startswith(("Random", "Bernoulli", "Multinomial"))]
    if random:
        drawn = some([f"{node.op_type} ('{node.name}')" for node in random], 3)
        raise ConversionError(f"{model.path} draws random numbers, which differ from call to call: {drawn}")
    foreign = [node for node in proto.graph.node if node.domain not in ("", "ai.onnx") or not _is_onnx(node.op_type)]
    if foreign or errors:
        named = ", ".join(sorted({f"{node.op_type} ('{node.name}')" for node in foreign})) or "; ".join(errors)
        raise ConversionError(f"{model.path} holds ops that have no counterpart in ONNX: {named}")


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
