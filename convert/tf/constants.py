"""Constants in a graph of plain ops, computed by TensorFlow as in the model: other programs would round differently."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import tensorflow as tf
from numpy.typing import NDArray

from convert.errors import warn_of_numpy_constants
from convert.stablehlo.constants import MOST_ELEMENTS

MOVES = {
    "BroadcastTo", "ConcatV2", "Const", "ExpandDims", "Fill", "Gather", "GatherV2", "Identity", "Pack", "Pad", "PadV2",
    "Reshape", "ReverseV2", "Shape", "Slice", "Squeeze", "StridedSlice", "Tile", "Transpose",
}  # fmt: skip
"""Operations that only move values."""
ENLARGING = {"BroadcastTo", "Fill", "Tile"}
"""Operations in `MOVES` that enlarge constants: their inputs are stored instead."""


def with_constants(
    graph_def: tf.compat.v1.GraphDef, input_name: str, outputs: Sequence[str], weights: Collection[str], compiled: bool
) -> tf.compat.v1.GraphDef:
    """The graph with a constant for each computed float that does not depend on the audio and is combined with it.

    `weights` are the nodes of variables, which the model takes as inputs; `compiled` says whether XLA computes the
    model, whose logarithms differ from those of TensorFlow's kernels.
    """
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
    stateful = [op for op in graph.get_operations() if op.op_def.is_stateful]
    depending = _depending([graph.get_tensor_by_name(input_name).op, *stateful])
    names = _constants_to_compute(graph, depending, outputs)
    try:
        values = _computed(graph_def, sorted(names), weights, compiled) if names else {}
    except Exception as error:  # TensorFlow raises errors of any class
        warn_of_numpy_constants(error)
        values = {}
    for node in graph_def.node:
        if node.name in values:
            node.CopyFrom(_constant(node.name, values[node.name]))
    return graph_def


def _depending(ops: Sequence[tf.Operation]) -> set[tf.Operation]:
    """These operations and all that depend on them."""
    dependent: set[tf.Operation] = set()
    frontier = [*ops]
    while frontier:
        op = frontier.pop()
        if op not in dependent:
            dependent.add(op)
            frontier += [reader for result in op.outputs for reader in result.consumers()]
    return dependent


def _constants_to_compute(graph: tf.Graph, depending: Collection[tf.Operation], outputs: Sequence[str]) -> set[str]:
    """Operations that compute floats, or use computed ones, and whose values are outputs or combined with the audio."""
    rounding: set[tf.Operation] = set()
    for op in graph.get_operations():  # operations come after their inputs
        floats = any(tensor.dtype.is_floating or tensor.dtype.is_complex for tensor in (*op.inputs, *op.outputs))
        if (floats and op.type not in MOVES) or any(tensor.op in rounding for tensor in op.inputs):
            rounding.add(op)
    inputs = [tensor.op for op in depending for tensor in op.inputs]
    frontier = [op for op in (*inputs, *(graph.get_tensor_by_name(name).op for name in outputs)) if op not in depending]
    names: set[str] = set()
    while frontier:
        op = frontier.pop()
        if op not in rounding or op.name in names or len(op.outputs) != 1:
            continue
        size = op.outputs[0].shape.num_elements()
        if op.type not in ENLARGING and size is not None and size <= MOST_ELEMENTS:
            names.add(op.name)
        elif op.type in MOVES:
            frontier += [tensor.op for tensor in op.inputs]
    return names


def _computed(
    graph_def: tf.compat.v1.GraphDef, names: Sequence[str], weights: Collection[str], compiled: bool
) -> dict[str, NDArray[Any]]:
    part = tf.compat.v1.graph_util.extract_sub_graph(graph_def, list(names))
    given = {node.name: node for node in part.node if node.name in weights and node.op == "Const"}

    def compute(*tensors: tf.Tensor) -> list[tf.Tensor]:
        inputs = {f"{name}:0": tensor for name, tensor in zip(given, tensors, strict=True)}
        return list(tf.graph_util.import_graph_def(part, inputs, [f"{name}:0" for name in names], name=""))

    function = tf.function(compute, jit_compile=compiled, autograph=False)
    with tf.device("CPU"):
        results = function(*(tf.constant(tf.make_ndarray(node.attr["value"].tensor)) for node in given.values()))
        return {name: result.numpy() for name, result in zip(names, results, strict=True)}


def _constant(name: str, value: NDArray[Any]) -> tf.compat.v1.NodeDef:
    node = tf.compat.v1.NodeDef(name=name, op="Const")
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    node.attr["dtype"].type = node.attr["value"].tensor.dtype
    return node
