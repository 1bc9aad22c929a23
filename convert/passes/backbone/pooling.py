"""Poolings for GPUs."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from convert.passes.edit import insert, new_constant, replace
from convert.passes.rows import row_shape


def pool_by_sums(graph: ir.Graph) -> None:
    """A GlobalAveragePool over height and width becomes a sum along the width, and one along the height.

        GlobalAveragePool(x)  ->  Unsqueeze (ReduceSum (ReduceSum (x, [3]) / width, [2]) / height, [2, 3])

    Requires inferred shapes. ONNX Runtime's CUDA provider has a kernel of its own for sums over the last axis, which
    adds up float16 in float32; it leaves a GlobalAveragePool to cuDNN, with the whole map as the window of one output.
    Two sums, since the kernel stores each as float16, whose greatest number is 65,504: 20,000 values may exceed it.
    The sum of a row still overflows where the row's mean is above 65,504 / width. The axes go, since the CPU provider
    divides values whose last axis has length one 40 times as slowly.
    """
    for pool in graph:
        data = pool.inputs[0] if pool.op_type == "GlobalAveragePool" else None
        sizes = row_shape(data)
        if data is None or sizes is None or len(sizes) != 3:
            continue
        mean = data
        for axis in (3, 2):
            along = new_constant(graph, np.array([axis], np.int64), "pooling/axis")
            count = new_constant(graph, np.array(sizes[axis - 1], np.float32), "pooling/count")
            mean = insert(pool, "Div", [insert(pool, "ReduceSum", [mean, along], {"keepdims": 0}), count])
        both = new_constant(graph, np.array([2, 3], np.int64), "pooling/axes")
        replace(pool.outputs[0], insert(pool, "Unsqueeze", [mean, both]))
