"""Class heads computed once for the embeddings of many batches, by the scheme of `runtime.model.schema`.

    head(embedding)  ->  head(concat(gathered, embedding[:head_rows]))

Small batches are the fastest on a CPU, but each streams all weights of the heads (56 MB of Perch v1's `label`, 364 MB
of v2's) for two rows. Fetching the embedding alone would not spare that: ONNX Runtime 1.31 computes every output
whatever is fetched, `only_execute_path_to_fetches` or not.

A GPU takes batches that are large enough, so that runs there gather nothing. The Concat with no rows would be worse
than idle: ONNX Runtime's CUDA provider hands it the two sizes through pinned memory, which versions before 1.31 free
before a captured CUDA graph reads it again (onnxruntime#32121). `head_rows` is read on the CPU and costs one copy of
the embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from convert.passes.edit import insert, new_constant
from convert.passes.heads.prototypes import find_prototypes
from convert.passes.rows import is_row_wise, row_shape
from runtime.model.schema import EMBEDDINGS, GATHERED, HEAD_ROWS, ROWS


def defer_heads(graph: ir.Graph, gather: bool = True) -> None:
    """Gives the graph the optional inputs `gathered` and `head_rows`, which select the rows that its heads compute.

    Without `gather` it gets `head_rows` alone.

    Requires a free batch and inferred shapes. The heads are everything that is computed from an embedding, if that is
    an output. Where prototypes are compared with positions that are not an output, the graph gets `head_rows` alone:
    its heads can be skipped, but not deferred. The graph stays unchanged if one of the heads may mix or count rows.
    """
    outputs = {value.name: value for value in graph.outputs}
    for name in EMBEDDINGS:
        embedding = outputs.get(name)
        if embedding is not None and (heads := _row_wise_descendants([embedding])):
            _read_rows(graph, [embedding], heads, _gathered(graph, embedding) if gather else None)
            return
    sources = list(dict.fromkeys(head.data for head in find_prototypes(graph)))
    heads = _row_wise_descendants(sources)
    if heads and not set(graph.outputs) <= set(heads):
        _read_rows(graph, sources, heads, None)


def _gathered(graph: ir.Graph, embedding: ir.Value) -> ir.Value:
    sizes = row_shape(embedding) or []
    gathered = new_constant(graph, np.zeros((0, *sizes), np.float32), GATHERED)
    gathered.shape, gathered.type = ir.Shape([GATHERED, *sizes]), embedding.type
    graph.inputs.append(gathered)
    return gathered


def _read_rows(
    graph: ir.Graph, sources: Sequence[ir.Value], heads: Sequence[ir.Value], gathered: ir.Value | None
) -> None:
    """Lets all consumers of the sources read their first `head_rows` rows, after the gathered ones."""
    head_rows = new_constant(graph, np.array([np.iinfo(np.int64).max]), HEAD_ROWS)
    head_rows.shape, head_rows.type = ir.Shape([1]), ir.TensorType(ir.DataType.INT64)
    graph.inputs.append(head_rows)
    zero = new_constant(graph, np.array([0]), "gathered/zero")
    for source in sources:
        uses = list(source.uses())
        first = min((consumer for consumer, _ in uses), key=list(graph).index)
        rows = insert(first, "Slice", [source, zero, head_rows, zero])
        if gathered is not None:
            rows = insert(first, "Concat", [gathered, rows], {"axis": 0})
        for consumer, position in uses:
            consumer.replace_input_with(position, rows)
    for value in heads:
        if value.shape is not None:
            value.shape = ir.Shape([ROWS, *list(value.shape)[1:]])


def _row_wise_descendants(sources: Sequence[ir.Value]) -> list[ir.Value]:
    """All values computed from the sources; none if one of them may mix or count rows."""
    descendants: dict[ir.Value, None] = {}
    waiting = list(sources)
    while waiting:
        for node, _ in waiting.pop().uses():
            new = [value for value in node.outputs if value not in descendants]
            descendants.update(dict.fromkeys(new))
            waiting += new
    if any(source in descendants or not row_shape(source) for source in sources):
        return []
    rows = {*sources, *descendants}
    makers = [maker for value in descendants if (maker := value.producer()) is not None]
    return list(descendants) if all(is_row_wise(maker, rows) for maker in makers) else []
