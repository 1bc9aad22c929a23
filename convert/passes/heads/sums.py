"""Sums that keep the axis they sum over, for a runtime that is wrong without.

    ReduceSum <keepdims = 0> (x)  ->  Squeeze (ReduceSum <keepdims = 1> (x))

OpenVINO 2026.4 miscomputes the left side in batches of two or more where an Add follows it, as at the end of Perch v2's
head. ONNX Runtime gives the same bits for both and takes the same time.
"""

from __future__ import annotations

import onnx_ir as ir

from convert.passes.edit import attribute, constant, insert, replace


def keep_summed_axes(graph: ir.Graph) -> None:
    """Lets every sum over constant axes keep them, with a Squeeze behind it."""
    for node in graph:
        axes = node.inputs[1] if node.op_type == "ReduceSum" and len(node.inputs) > 1 else None
        if axes is None or constant(axes) is None or attribute(node, "keepdims", 1):
            continue
        total = insert(node, "ReduceSum", [node.inputs[0], axes], {"keepdims": 1})
        replace(node.outputs[0], insert(node, "Squeeze", [total, axes]))
