"""The outputs, and the classes of a head, that a file keeps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from convert.passes.edit import attribute, constant, new_constant, only_consumer, producer
from convert.passes.heads.prototypes import slice_prototypes


def keep_heads(graph: ir.Graph, names: Sequence[str]) -> None:
    """Keeps the named outputs, in this order; the next clean-up removes the nodes of the others."""
    outputs = {value.name: value for value in graph.outputs}
    graph.outputs[:] = [outputs[name] for name in names]


def keep_classes(graph: ir.Graph, head: str, columns: Sequence[int]) -> None:
    """Keeps these columns of a head `[batch, classes]`, in this order.

        x @ weights + bias  ->  x @ weights[:, columns] + bias[columns]

    A prototype head is sliced likewise: the file gets smaller and the values stay the same. Any other head, or one that
    another node reads, is computed in full and its columns are gathered.
    """
    output = next(value for value in graph.outputs if value.name == head)
    node = output.producer()
    if node is None:
        return
    index = np.asarray(columns, np.int64)
    kept = output
    sliced = not output.uses() and (_slice_dense(graph, node, index) or slice_prototypes(graph, node, index.tolist()))
    if not sliced:
        gather = ir.node("Gather", [output, new_constant(graph, index, f"{head}/columns")], {"axis": 1})
        node.append(gather)
        kept = gather.outputs[0]
        kept.type, output.name, kept.name = output.type, f"{head}_all", head
        graph.outputs[graph.outputs.index(output)] = kept
    batch = output.shape[0] if output.shape is not None else "batch"
    kept.shape = ir.Shape([batch, len(index)])


def _slice_dense(graph: ir.Graph, node: ir.Node, index: np.ndarray) -> bool:
    """Slices weights and bias of MatMul, MatMul + Add or Gemm; returns False, with nothing changed, for other nodes."""
    add = node if node.op_type == "Add" else None
    dense = node if add is None else next((p for v in add.inputs if (p := producer(v, "MatMul", "Gemm"))), None)
    if dense is None or dense.op_type not in ("MatMul", "Gemm") or constant(dense.inputs[1]) is None:
        return False
    # Node, position of its input, and the axis of classes in that input.
    parameters = [(dense, 1, 0 if attribute(dense, "transB", 0) else -1)]
    parameters += [(dense, 2, -1)] if len(dense.inputs) > 2 else []
    if add is not None:
        if only_consumer(dense.outputs[0]) is not add:
            return False
        parameters.append((add, 1 - list(add.inputs).index(dense.outputs[0]), -1))
    arrays = [constant(holder.inputs[position]) for holder, position, _ in parameters]
    width = np.asarray(arrays[0]).shape[parameters[0][2]]
    if any(array is None or array.size not in (1, width) for array in arrays[1:]):
        return False
    for (holder, position, axis), array in zip(parameters, arrays, strict=True):
        if array is not None and ((position == 1 and holder is dense) or array.size == width > 1):
            kept = np.take(array if array.ndim > 1 else array.reshape(-1), index, axis=axis)
            holder.replace_input_with(position, new_constant(graph, kept, f"{node.name}/kept"))
    return True
