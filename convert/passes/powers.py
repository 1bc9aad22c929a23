"""Powers with a constant exponent as what is quick to compute.

ONNX Runtime computes Pow one element at a time, at the price of a dozen multiplications; roots, products, Exp and Log
are vectorised.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from convert.passes.edit import constant, insert, new_constant, replace


def plain_powers(graph: ir.Graph) -> None:
    """Pow by 2, 1/2 and 1/4 becomes Mul and Sqrt; by any other fraction, `exp(exponent * log(x))`.

    The latter gives what Pow gives for zero, infinite and negative bases too (not for whole exponents, which are left).
    """
    for node in graph:
        exponent = constant(node.inputs[1]) if node.op_type == "Pow" else None
        base = node.inputs[0]
        if exponent is None or exponent.size != 1 or base is None or base.shape is None:
            continue
        if exponent.ndim > len(base.shape) or exponent.dtype != np.float32 or base.dtype != ir.DataType.FLOAT:
            continue
        power = float(exponent.item())
        if power == 2:
            result = insert(node, "Mul", [base, base])
        elif power == 0.5:
            result = insert(node, "Sqrt", [base])
        elif power == 0.25:
            result = insert(node, "Sqrt", [insert(node, "Sqrt", [base])])
        elif power != round(power):
            factor = new_constant(graph, np.array(power, np.float32), f"{node.name}/exponent")
            result = insert(node, "Exp", [insert(node, "Mul", [insert(node, "Log", [base]), factor])])
        else:
            continue
        replace(node.outputs[0], result)
