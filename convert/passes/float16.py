"""Half precision for GPUs, in all but what loses by it.

The spectrogram stays float32: its squares and roots span more than float16 can hold. So do the average poolings, which
add up thousands of values. What only moves values (a reshape, a concatenation) stays float32 where it gets float32.

A CPU has no float16 arithmetic. ONNX Runtime computes such a graph in float32 there, and drops the roundings between
nodes and with them any overflow: it would prove a graph that no GPU computes. `round_as_half` makes the graph to prove
instead, which rounds to float16 wherever a GPU stores a float16.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from convert.errors import ConversionError
from convert.passes.edit import constant, insert, new_constant

POOLING = ("GlobalAveragePool", "AveragePool", "ReduceMean")
MOVING = ("Concat", "Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")


def halve(graph: ir.Graph) -> None:
    """Turns weights and arithmetic behind the spectrogram to float16; inputs and outputs stay float32.

    Raises:
        ConversionError: it cannot be told where the spectrogram ends.
    """
    halved = _nodes_to_halve(graph)
    narrowed: dict[ir.Value, ir.Value] = {}
    for node in halved:
        for position, value in enumerate(node.inputs):
            if value is None or value.dtype != ir.DataType.FLOAT or value.producer() in halved:
                continue
            if node.op_type == "Resize" and position > 0:  # a region or scales, which are float32 always
                continue
            if value not in narrowed:
                narrowed[value] = _narrow(graph, node, value)
            node.replace_input_with(position, narrowed[value])
    for node in halved:
        for value in node.outputs:
            _widen(graph, node, value, halved)


def round_as_half(graph: ir.Graph) -> None:
    """Makes float32 of each float16 in a graph, the values being rounded to float16 all the same.

    A CPU computes the result as a GPU computes the graph given, up to the order of sums. Types must be inferred.
    """
    for value in list(graph.initializers.values()):
        array = constant(value)
        if array is not None and array.dtype == np.float16:
            value.replace_all_uses_with(new_constant(graph, array.astype(np.float32), f"{value.name}/rounded"))
    for node in list(graph):
        for value in node.outputs:
            if value.dtype == ir.DataType.FLOAT16:
                readers = list(value.uses())
                # Pairs of casts that stand in a graph are kept by ONNX Runtime; those it inserted itself are not.
                half = value if node.op_type == "Cast" else _cast_after(node, value, ir.DataType.FLOAT16)
                rounded = _cast_after(half.producer() or node, half, ir.DataType.FLOAT)
                for reader, position in readers:
                    reader.replace_input_with(position, rounded)


def _nodes_to_halve(graph: ir.Graph) -> dict[ir.Node, None]:
    """The nodes to compute in float16, in the graph's order."""
    spectrogram = _spectrogram(graph)
    halved: dict[ir.Node, None] = {}
    for node in graph:
        makers = [value.producer() for value in node.inputs if value is not None]
        moves_float32 = node.op_type in MOVING and not any(maker in halved for maker in makers)
        if node not in spectrogram and node.op_type not in POOLING and not moves_float32:
            halved[node] = None
    return halved


def _spectrogram(graph: ir.Graph) -> set[ir.Node]:
    """All that the backbone's first convolution, the first whose kernel spans both time and frequency, depends on."""
    for node in graph:
        weights = constant(node.inputs[1]) if node.op_type == "Conv" else None
        if weights is not None and weights.ndim == 4 and min(weights.shape[2:]) > 1:
            return _ancestors(node)
    raise ConversionError(
        "the graph has no convolution over both time and frequency, so that its spectrogram cannot be kept in float32; "
        "convert it with --precision fp32"
    )


def _ancestors(node: ir.Node) -> set[ir.Node]:
    found: set[ir.Node] = set()
    waiting = [node]
    while waiting:
        for value in waiting.pop().inputs:
            maker = value.producer() if value is not None else None
            if maker is not None and maker not in found:
                found.add(maker)
                waiting.append(maker)
    return found


def _narrow(graph: ir.Graph, reader: ir.Node, value: ir.Value) -> ir.Value:
    """A float32 value or weight as float16."""
    array = None if value.is_graph_input() else constant(value)
    if array is None:
        return insert(reader, "Cast", [value], {"to": int(ir.DataType.FLOAT16)})
    with np.errstate(over="ignore"):  # an infinite weight shows when the graph is compared
        return new_constant(graph, array.astype(np.float16), f"{value.name}/half")


def _widen(graph: ir.Graph, node: ir.Node, value: ir.Value, halved: dict[ir.Node, None]) -> None:
    """Gives float32 to what is not halved and reads this output of a halved node."""
    readers = [(reader, position) for reader, position in value.uses() if reader not in halved]
    if value.dtype != ir.DataType.FLOAT or not (readers or value.is_graph_output()):
        return
    wide = _cast_after(node, value, ir.DataType.FLOAT)
    for reader, position in readers:
        reader.replace_input_with(position, wide)
    if value.is_graph_output():
        wide.name, value.name = value.name, f"{value.name}/half"
        wide.shape, wide.type = value.shape, value.type
        graph.outputs[list(graph.outputs).index(value)] = wide


def _cast_after(node: ir.Node, value: ir.Value, to: ir.DataType) -> ir.Value:
    cast = ir.node("Cast", [value], {"to": int(to)})
    node.append(cast)
    return cast.outputs[0]
