"""Class heads computed once for the embeddings of many batches, by the scheme of `runtime.model.schema`.

    before   head(embedding)
    after    head(concat(gathered, embedding[:head_rows]))

Small batches are the fastest on a CPU, but each streams all weights of the heads (56 MB of Perch v1's `label`, 364 MB
of v2's) for two rows. Fetching the embedding alone would not spare that: ONNX Runtime 1.31 computes every output
whatever is fetched, `only_execute_path_to_fetches` or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import onnx_ir as ir

from convert.passes.edit import attribute, constant, insert, new_constant
from convert.passes.heads.prototypes import find_prototypes
from runtime.model.schema import EMBEDDINGS, GATHERED, HEAD_ROWS, ROWS


def gather_embeddings(graph: ir.Graph) -> None:
    """Puts optional rows above the embedding that heads are computed from.

    The batch must be free. Nothing changes where no head can be told that treats each row of it by itself.
    """
    named = {value.name: value for value in graph.outputs}
    for name in EMBEDDINGS:
        embedding = named.get(name)
        if embedding is not None and (followers := _row_wise_followers([embedding])):
            _read_rows(graph, [embedding], followers, _gathered(graph, embedding))
            return
    places = {value: None for found in find_prototypes(graph) if (value := found.product.inputs[0]) is not None}
    followers = _row_wise_followers(list(places))
    if followers and not set(graph.outputs) <= set(followers):
        _read_rows(graph, list(places), followers, None)


def _gathered(graph: ir.Graph, embedding: ir.Value) -> ir.Value:
    sizes = [size for size in list(embedding.shape or [])[1:] if isinstance(size, int)]
    gathered = new_constant(graph, np.zeros((0, *sizes), np.float32), GATHERED)
    gathered.shape, gathered.type = ir.Shape([GATHERED, *sizes]), embedding.type
    graph.inputs.append(gathered)
    return gathered


def _read_rows(
    graph: ir.Graph, sources: Sequence[ir.Value], followers: Sequence[ir.Value], gathered: ir.Value | None
) -> None:
    """Lets what reads the sources read their first `head_rows`, below what is gathered."""
    head_rows = new_constant(graph, np.array([np.iinfo(np.int64).max]), HEAD_ROWS)
    head_rows.shape, head_rows.type = ir.Shape([1]), ir.TensorType(ir.DataType.INT64)
    graph.inputs.append(head_rows)
    zero = new_constant(graph, np.array([0]), "gathered/zero")
    for source in sources:
        readers = list(source.uses())
        first = min((reader for reader, _ in readers), key=list(graph).index)
        rows = insert(first, "Slice", [source, zero, head_rows, zero])
        if gathered is not None:
            rows = insert(first, "Concat", [gathered, rows], {"axis": 0})
        for reader, position in readers:
            reader.replace_input_with(position, rows)
    for value in followers:
        if value.shape is not None:
            value.shape = ir.Shape([ROWS, *list(value.shape)[1:]])


def _row_wise_followers(sources: Sequence[ir.Value]) -> list[ir.Value]:
    """All values computed from these; none where one of them may mix or count rows."""
    found: dict[ir.Value, None] = {}
    waiting = list(sources)
    while waiting:
        for node, _ in waiting.pop().uses():
            new = [value for value in node.outputs if value not in found]
            found.update(dict.fromkeys(new))
            waiting += new
    known = {*sources, *found}
    if any(value in found for value in sources) or any(_size(value) is None for value in sources):
        return []
    makers = [maker for value in found if (maker := value.producer()) is not None]
    return list(found) if all(_is_row_wise(maker, known) for maker in makers) else []


def _size(value: ir.Value) -> int | None:
    """Of a row, where it is known."""
    sizes = [size for size in list(value.shape or [])[1:] if isinstance(size, int)]
    return prod(sizes) if value.shape is not None and 0 < len(sizes) == len(value.shape) - 1 else None


def _is_row_wise(node: ir.Node, rows: set[ir.Value]) -> bool:
    """Whether row i of the result comes from row i of `rows` alone, however many rows there are."""
    data = node.inputs[0]
    others = [constant(value) for value in node.inputs if value not in rows]
    if any(other is None for other in others) or any(
        value.shape is None for value in node.inputs if value is not None and value in rows
    ):
        return False
    arrays = [np.asarray(other) for other in others]
    if node.op_type in ("Add", "Div", "Mul", "Sub"):
        ranks = {len(value.shape) for value in node.inputs if value in rows and value.shape is not None}
        return len(ranks) == 1 and all(_is_same_for_rows(array, max(ranks)) for array in arrays)
    if data not in rows or data is None or data.shape is None or len(arrays) < len(node.inputs) - 1:
        return False
    match node.op_type:
        case "Identity" | "Relu" | "Sigmoid" | "Sqrt":
            return True
        case "MatMul":
            return len(data.shape) >= 2 and arrays[0].ndim == 2
        case "Gemm":
            return not attribute(node, "transA", 0) and all(_is_same_for_rows(bias, 2) for bias in arrays[1:])
        case "Gather":
            return attribute(node, "axis", 0) > 0
        case "Flatten":
            return bool(attribute(node, "axis", 1) == 1)
        case "Transpose":
            return bool(attribute(node, "perm", (1,))[0] == 0)
        case "ReduceMax" | "ReduceMean" | "ReduceSum":
            axes = arrays[0].tolist() if arrays else attribute(node, "axes", ())
            return len(axes) > 0 and all(axis % len(data.shape) > 0 for axis in axes)
        case "Reshape":
            return _keeps_rows(data.shape, arrays[0], bool(attribute(node, "allowzero", 0)))
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
