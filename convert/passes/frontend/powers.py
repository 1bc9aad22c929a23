"""Powers with a constant exponent as products and roots.

ONNX Runtime computes Pow one element at a time, at the cost of a dozen multiplications; Mul and Sqrt are vectorised.
(So are Exp and Log, but `exp(exponent * log(x))` errs by twenty units in the last place.)
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from convert.passes.edit import constant, insert, replace


def plain_powers(graph: ir.Graph) -> None:
    """Replaces Pow by 2, 1/2, 1/4 and 1 of float32 values; other exponents stay.

    x ** 2     ->  x * x
    x ** 0.5   ->  Sqrt(x)
    x ** 0.25  ->  Sqrt(Sqrt(x))
    x ** 1     ->  x
    """
    for node in graph:
        if node.op_type != "Pow":
            continue
        base, exponent = node.inputs[0], constant(node.inputs[1])
        if exponent is None or exponent.size != 1 or base is None or base.shape is None:
            continue
        if exponent.ndim > len(base.shape) or exponent.dtype != np.float32 or base.dtype != ir.DataType.FLOAT:
            continue
        power = float(exponent.item())
        if power == 1 and not node.outputs[0].is_graph_output():
            result = base
        elif power == 2:
            result = insert(node, "Mul", [base, base])
        elif power == 0.5:
            result = insert(node, "Sqrt", [base])
        elif power == 0.25:
            result = insert(node, "Sqrt", [insert(node, "Sqrt", [base])])
        else:
            continue
        replace(node.outputs[0], result)
