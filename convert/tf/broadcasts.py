"""Removes explicit broadcasts from a frozen GraphDef where the next op broadcasts by itself.

JAX exports every broadcast explicitly, with shape arithmetic from the batch size: some 200 of them in Perch v1. ONNX's
elementwise ops broadcast as NumPy does, so nearly all can go.
"""

from __future__ import annotations

import tensorflow as tf

BROADCASTING = {"Add", "AddV2", "Div", "Maximum", "Minimum", "Mul", "Pow", "RealDiv", "Sub"}


def without_broadcasts(graph_def: tf.compat.v1.GraphDef) -> tf.compat.v1.GraphDef:
    """The same graph, an elementwise op reading a BroadcastTo's input where its other operand has the full shape.

    The batch is the only size that may be unknown, so two shapes that agree in all known sizes are the same.
    """
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    rewired: dict[tuple[str, int], str] = {}
    for op in graph.get_operations():
        if op.type not in BROADCASTING:
            continue
        for i, tensor in enumerate(op.inputs):
            other = op.inputs[1 - i]
            if tensor.op.type == "BroadcastTo" and _same_shape(tensor, other) and (op.name, 1 - i) not in rewired:
                rewired[op.name, i] = tensor.op.inputs[0].name
    result = tf.compat.v1.GraphDef()
    result.CopyFrom(graph_def)
    for node in result.node:
        for i in range(len(node.input)):
            node.input[i] = rewired.get((node.name, i), node.input[i])
    return result


def _same_shape(a: tf.Tensor, b: tf.Tensor) -> bool:
    if a.shape.rank is None or a.shape.rank != b.shape.rank or a.shape.rank == 0:
        return False
    left, right = a.shape.as_list(), b.shape.as_list()
    return left == right and None not in left[1:]
