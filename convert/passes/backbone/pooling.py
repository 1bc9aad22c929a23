"""Poolings for GPUs."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from convert.passes.edit import insert, new_constant, replace
from convert.passes.rows import row_shape


def pool_by_sums(graph: ir.Graph) -> None:
    """A GlobalAveragePool over height and width becomes a sum along the width, and one along the height.

        GlobalAveragePool(x)  ->  ReduceSum (ReduceSum (x, [3]) / width, [2]) / height

    Requires inferred shapes. ONNX Runtime's CUDA provider has a kernel of its own for sums over the last axis, which
    adds up float16 in float32; it leaves a GlobalAveragePool to cuDNN, with the whole map as the window of one output.
    Two sums, since the kernel stores each as float16, whose greatest number is 65,504: 20,000 values may exceed it.
    The sum of a row still overflows where the row's mean is above 65,504 / width. Width and height are there
    for each row and each channel, since the CPU provider takes 13 times as long to divide values whose last axis has
    length one by a scalar.
    """
    for pool in graph:
        data = pool.inputs[0] if pool.op_type == "GlobalAveragePool" else None
        sizes = row_shape(data)
        if data is None or sizes is None or len(sizes) != 3:
            continue
        mean = data
        for axis, each in ((3, (sizes[1], 1)), (2, (sizes[0], 1, 1))):
            along = new_constant(graph, np.array([axis], np.int64), "pooling/axis")
            count = new_constant(graph, np.full(each, sizes[axis - 1], np.float32), "pooling/count")
            mean = insert(pool, "Div", [insert(pool, "ReduceSum", [mean, along], {"keepdims": 1}), count])
        replace(pool.outputs[0], mean)
