"""Which outputs the file keeps, and which columns of a class head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from convert.passes.edit import attribute, constant, new_constant, only_consumer, producer


def keep_heads(graph: ir.Graph, names: Sequence[str]) -> None:
    """Drops the outputs not named; what only they needed goes with the next clean-up."""
    kept = {value.name: value for value in graph.outputs}
    graph.outputs[:] = [kept[name] for name in names]


def keep_classes(graph: ir.Graph, head: str, columns: Sequence[int]) -> None:
    """Keeps these columns of a head `[batch, classes]`, in this order.

    A dense head's weights are sliced, so that what is left costs less and gives the same values. Any other head is
    computed whole and its columns gathered.
    """
    output = next(value for value in graph.outputs if value.name == head)
    node = output.producer()
    if node is None:
        return
    index = np.asarray(columns, np.int64)
    if not _slice_dense(graph, node, index):
        whole = ir.node("Gather", [output, new_constant(graph, index, f"{head}/columns")], {"axis": 1})
        node.append(whole)
        users = [use for use in output.uses() if use.node is not whole]
        if not users:
            name, output.name = output.name, f"{head}_all"
            whole.outputs[0].name = name
        graph.outputs[graph.outputs.index(output)] = whole.outputs[0]
    for value in graph.outputs:
        if value.name == head:
            value.shape, value.type = ir.Shape([output.shape[0] if output.shape else "batch", len(index)]), output.type


def _slice_dense(graph: ir.Graph, node: ir.Node, index: np.ndarray) -> bool:
    add = node if node.op_type == "Add" else None
    dense = node if add is None else next((p for v in add.inputs if (p := producer(v, "MatMul", "Gemm"))), None)
    if dense is None or dense.op_type not in ("MatMul", "Gemm") or constant(dense.inputs[1]) is None:
        return False
    if add is not None and only_consumer(dense.outputs[0]) is not add:
        return False
    biases = [i for i in range(len(add.inputs)) if constant(add.inputs[i]) is not None] if add is not None else []
    if add is not None and len(biases) != 1:
        return False
    axis = 0 if attribute(dense, "transB", 0) else 1
    for holder, position, along in ((dense, 1, axis), (dense, 2, -1), (add, biases[0] if biases else 0, -1)):
        if holder is None or position >= len(holder.inputs):
            continue
        array = constant(holder.inputs[position])
        if array is None or holder.inputs[position] is None:
            return False
        if array.size > 1:
            sliced = np.take(array, index, axis=along)
            holder.replace_input_with(position, new_constant(graph, sliced, f"{node.name}/kept"))
    return True
