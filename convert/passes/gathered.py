"""Class heads for embeddings gathered before, along with those of the batch.

Small batches are the fastest on a CPU, but each then streams all weights of the heads (56 MB of Perch v1's `label`) for
two rows. With this pass the heads read `gathered` rows above the batch's own, of which they read the first `head_rows`:
inputs that may be left out, since their defaults, no rows and all rows, stand in the file. A run asks for `embedding`
batch by batch with no head rows, and feeds what it gathered with the last one. (Asking for `embedding` alone is not
enough: ONNX Runtime 1.31 computes every output whatever is fetched, `only_execute_path_to_fetches` or not.)
"""

from __future__ import annotations

from math import prod

import numpy as np
import onnx_ir as ir

from convert.passes.edit import attribute, constant, new_constant

GATHERED, HEAD_ROWS = "gathered", "head_rows"
ROWS = "rows"
"""First dimension of the heads that also hold the gathered rows."""


def gather_embeddings(graph: ir.Graph) -> None:
    """Puts optional rows above the `embedding` that heads are computed from.

    The batch must be free. Nothing changes where `embedding` is no output, or where what follows it is not certain to
    treat each row by itself.
    """
    embedding = next((value for value in graph.outputs if value.name == "embedding"), None)
    if embedding is None or embedding.shape is None or len(embedding.shape) != 2 or not embedding.uses():
        return
    width = embedding.shape[1]
    if not isinstance(width, int):
        return
    followers = _row_wise_followers(embedding)
    if followers is None:
        return
    readers = list(embedding.uses())
    gathered = new_constant(graph, np.zeros((0, width), np.float32), GATHERED)
    gathered.shape, gathered.type = ir.Shape([GATHERED, width]), embedding.type
    graph.inputs.append(gathered)
    head_rows = new_constant(graph, np.array([np.iinfo(np.int64).max]), HEAD_ROWS)
    head_rows.shape, head_rows.type = ir.Shape([1]), ir.TensorType(ir.DataType.INT64)
    graph.inputs.append(head_rows)
    zero = new_constant(graph, np.array([0]), "gathered/zero")
    own = ir.node("Slice", [embedding, zero, head_rows, zero])
    join = ir.node("Concat", [gathered, own.outputs[0]], {"axis": 0})
    for reader, position in readers:
        reader.replace_input_with(position, join.outputs[0])
    first = min((reader for reader, _ in readers), key=list(graph).index)
    first.prepend([own, join])
    for value in followers:
        if value.shape is not None:
            value.shape = ir.Shape([ROWS, *list(value.shape)[1:]])


def _row_wise_followers(embedding: ir.Value) -> list[ir.Value] | None:
    """All values computed from the embedding; None where one of them may mix or count rows."""
    found: list[ir.Value] = []
    waiting = [embedding]
    while waiting:
        value = waiting.pop()
        for node, position in value.uses():
            if not _is_row_wise(node, position):
                return None
            found += node.outputs
            waiting += node.outputs
    return found


def _is_row_wise(node: ir.Node, position: int) -> bool:
    """Whether row i of the result comes from row i of this input alone, however many rows there are."""
    data = node.inputs[position]
    others = [constant(value) for k, value in enumerate(node.inputs) if k != position]
    if data is None or data.shape is None or any(other is None for other in others):
        return False
    rank, arrays = len(data.shape), [np.asarray(other) for other in others]
    match node.op_type:
        case "Identity" | "Relu" | "Sigmoid":
            return True
        case "MatMul":
            return position == 0 and rank >= 2 and arrays[0].ndim == 2
        case "Gemm":
            bias = arrays[1:]
            return position == 0 and not attribute(node, "transA", 0) and all(_is_same_for_rows(b, 2) for b in bias)
        case "Add" | "Mul":
            return _is_same_for_rows(arrays[0], rank)
        case "Gather":
            return position == 0 and attribute(node, "axis", 0) > 0
        case "Flatten":
            return bool(attribute(node, "axis", 1) == 1)
        case "Reshape":
            return position == 0 and _keeps_rows(data.shape, arrays[0], bool(attribute(node, "allowzero", 0)))
    return False


def _is_same_for_rows(array: np.ndarray, rank: int) -> bool:
    """Whether a constant operand, broadcast, is the same in each row of data of this rank."""
    return array.ndim < rank or (array.ndim == rank and array.shape[0] == 1)


def _keeps_rows(shape: ir.Shape, target: np.ndarray, allows_zero: bool) -> bool:
    """Whether a Reshape leaves the first dimension as it is, of whatever size."""
    rows, *others = target.tolist() or [1]
    if any(size < 1 for size in others):
        return False
    if rows == 0:
        return not allows_zero
    sizes = [size for size in list(shape)[1:] if isinstance(size, int)]
    return bool(rows == -1 and len(sizes) == len(shape) - 1 and prod(sizes) == prod(others))
