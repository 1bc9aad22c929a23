"""Float16 for GPUs, wherever it is accurate enough.

The spectrogram stays float32: its squares and roots span more than float16 can hold. So do the average poolings, which
add up thousands of values. Nodes that only move values (Reshape, Concat) stay float32 where their inputs are.

A CPU has no float16 arithmetic. ONNX Runtime computes such a graph in float32 there and drops the roundings between
nodes, and any overflow with them: a comparison on a CPU would prove a graph that no GPU computes. So the graph that is
compared is made by `emulate_float16`; it rounds to float16 wherever a GPU stores a float16.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from convert.errors import ConversionError
from convert.passes.edit import constant, insert, new_constant

POOLING = ("GlobalAveragePool", "AveragePool", "ReduceMean")
MOVING = ("Concat", "Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")


def to_float16(graph: ir.Graph) -> None:
    """Turns weights and arithmetic after the spectrogram to float16; the graph's inputs and outputs stay float32.

    Requires inferred types.

    Raises:
        ConversionError: the graph has no convolution by which the end of the spectrogram could be found.
    """
    nodes = _float16_nodes(graph)
    narrowed: dict[ir.Value, ir.Value] = {}
    for node in nodes:
        for position, value in enumerate(node.inputs):
            if value is None or value.dtype != ir.DataType.FLOAT or value.producer() in nodes:
                continue
            if node.op_type == "Resize" and position > 0:  # region and scales are float32 by definition
                continue
            if value not in narrowed:
                narrowed[value] = _narrow(graph, node, value)
            node.replace_input_with(position, narrowed[value])
    for node in nodes:
        for value in node.outputs:
            _widen(graph, node, value, nodes)


def emulate_float16(graph: ir.Graph) -> None:
    """Turns each float16 of a graph to float32, but rounds its values to float16.

    On a CPU the result computes what the original graph computes on a GPU, up to the order of sums. Requires inferred
    types.
    """
    for value in list(graph.initializers.values()):
        array = constant(value)
        if array is not None and array.dtype == np.float16:
            value.replace_all_uses_with(new_constant(graph, array.astype(np.float32), f"{value.name}/rounded"))
    for node in list(graph):
        for value in node.outputs:
            if value.dtype == ir.DataType.FLOAT16:
                uses = list(value.uses())
                # ONNX Runtime keeps casts that stand in the graph; it removes only those that it inserts itself.
                half = value if node.op_type == "Cast" else _cast_after(node, value, ir.DataType.FLOAT16)
                rounded = _cast_after(half.producer() or node, half, ir.DataType.FLOAT)
                for consumer, position in uses:
                    consumer.replace_input_with(position, rounded)


def _float16_nodes(graph: ir.Graph) -> dict[ir.Node, None]:
    """The nodes to compute in float16, in the graph's order."""
    spectrogram = _spectrogram(graph)
    nodes: dict[ir.Node, None] = {}
    for node in graph:
        makers = [value.producer() for value in node.inputs if value is not None]
        moves_float32 = node.op_type in MOVING and not any(maker in nodes for maker in makers)
        if node not in spectrogram and node.op_type not in POOLING and not moves_float32:
            nodes[node] = None
    return nodes


def _spectrogram(graph: ir.Graph) -> set[ir.Node]:
    """All nodes before the backbone's first convolution, the first whose kernel spans both time and frequency."""
    for node in graph:
        weights = constant(node.inputs[1]) if node.op_type == "Conv" else None
        if weights is not None and weights.ndim == 4 and min(weights.shape[2:]) > 1:
            return _ancestors(node)
    raise ConversionError(
        "the graph has no convolution over both time and frequency, before which its spectrogram would stay float32; "
        "convert it with --precision fp32"
    )


def _ancestors(node: ir.Node) -> set[ir.Node]:
    ancestors: set[ir.Node] = set()
    waiting = [node]
    while waiting:
        for value in waiting.pop().inputs:
            maker = value.producer() if value is not None else None
            if maker is not None and maker not in ancestors:
                ancestors.add(maker)
                waiting.append(maker)
    return ancestors


def _narrow(graph: ir.Graph, consumer: ir.Node, value: ir.Value) -> ir.Value:
    """A float32 value or weight as float16."""
    array = None if value.is_graph_input() else constant(value)
    if array is None:
        return insert(consumer, "Cast", [value], {"to": int(ir.DataType.FLOAT16)})
    with np.errstate(over="ignore"):  # the comparison finds infinite weights
        return new_constant(graph, array.astype(np.float16), f"{value.name}/half")


def _widen(graph: ir.Graph, node: ir.Node, value: ir.Value, nodes: dict[ir.Node, None]) -> None:
    """Casts an output of a float16 node back to float32 for its consumers that are not float16."""
    uses = [(consumer, position) for consumer, position in value.uses() if consumer not in nodes]
    if value.dtype != ir.DataType.FLOAT or not (uses or value.is_graph_output()):
        return
    wide = _cast_after(node, value, ir.DataType.FLOAT)
    for consumer, position in uses:
        consumer.replace_input_with(position, wide)
    if value.is_graph_output():
        wide.name, value.name = value.name, f"{value.name}/half"
        wide.shape, wide.type = value.shape, value.type
        graph.outputs[list(graph.outputs).index(value)] = wide


def _cast_after(node: ir.Node, value: ir.Value, to: ir.DataType) -> ir.Value:
    cast = ir.node("Cast", [value], {"to": int(to)})
    node.append(cast)
    return cast.outputs[0]
