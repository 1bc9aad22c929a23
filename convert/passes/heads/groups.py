"""Prototype heads for GPUs: one product, and the maximum over positions by groups of them.

    max over positions of x @ prototypes
    ->  max over positions in a group of (max over groups of (x @ prototypes)[group])

A GPU wants few large products, and has the memory for them: 4 bytes for each position and prototype are 15 MB a window
of Perch v2 with all classes. The products and their groups take 3.9 GB in a batch of 128 (float16: half of it).

The maximum over groups is an elementwise Max of equal tensors, and so a kernel of ONNX Runtime's own that is as fast as
memory. Its CUDA provider leaves a ReduceMax to `cudnnReduceTensor`, with which others found sums to take up to 12 times
as long as in PyTorch (onnxruntime#9471).
"""

from __future__ import annotations

from functools import partial

import numpy as np
import onnx_ir as ir

from convert.passes.edit import insert, new_constant, new_ints
from convert.passes.heads.prototypes import find_prototypes
from convert.passes.heads.tiling import replace_maximum

MOST_GROUPS = 8
"""As many tensors as ONNX Runtime's kernel compares at once."""
ALIGNMENT = 8
"""Rows of a matrix start at multiples of so many numbers: 16 bytes in float16, which matrix units load at once."""


def group_positions(graph: ir.Graph) -> None:
    """Computes each prototype head in one product.

    Requires inferred shapes and a free batch.
    """
    for head in find_prototypes(graph):
        before = head.maximum
        ints = partial(new_ints, graph, "prototypes/ints")
        features, count = head.prototypes.shape
        unused = -count % ALIGNMENT
        prototypes = new_constant(graph, np.pad(head.prototypes, ((0, 0), (0, unused))), "prototypes/matrix")
        product = insert(before, "MatMul", [insert(before, "Reshape", [head.data, ints(-1, features)]), prototypes])
        products = insert(before, "Reshape", [product, ints(-1, head.positions, count + unused)])
        largest = _maximum(before, products, head.positions)
        if unused:
            largest = insert(before, "Slice", [largest, ints(0), ints(count), ints(2)])
        replace_maximum(graph, head, largest)


def _maximum(before: ir.Node, values: ir.Value, positions: int) -> ir.Value:
    """Inserts the maximum of `[windows, positions, prototypes]` over the positions; their axis keeps length 1."""
    while positions > 1:
        # A number without such a divisor, such as a prime, is split into single positions.
        groups = max((n for n in range(2, MOST_GROUPS + 1) if positions % n == 0), default=positions)
        split = ir.node("Split", [values], {"axis": 1}, num_outputs=groups)
        before.prepend(split)
        values, positions = insert(before, "Max", split.outputs), positions // groups
    return values
