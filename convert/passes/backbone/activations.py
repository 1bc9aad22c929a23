"""Activations recovered from the arithmetic that they were exported as."""

from __future__ import annotations

import onnx_ir as ir

from convert.passes.edit import insert, is_scalar, producer, replace, scalar, with_constant


def recover_relu(graph: ir.Graph) -> None:
    """ONNX Runtime fuses a Relu into the convolution before it.

    max(x, 0)  ->  Relu(x)
    """
    for node in graph:
        if node.op_type == "Max" and len(node.inputs) == 2:
            operands = with_constant(node)
            if operands and is_scalar(*operands, 0):
                replace(node.outputs[0], insert(node, "Relu", [operands[0]]))


def recover_sigmoid(graph: ir.Graph) -> None:
    """A swish stays `x * Sigmoid(x)`, which ONNX Runtime fuses itself.

    1 / (1 + exp(-x))  ->  Sigmoid(x)
    """
    for node in graph:
        if node.op_type == "Reciprocal":
            denominator = node.inputs[0]
        elif node.op_type == "Div" and scalar(node.inputs[0]) == 1:
            denominator = node.inputs[1]
        else:
            continue
        add = producer(denominator, "Add")
        operands = with_constant(add) if add is not None else None
        if operands is None or not is_scalar(*operands, 1):
            continue
        exp = producer(operands[0], "Exp")
        neg = producer(exp.inputs[0], "Neg") if exp is not None else None
        if neg is not None:
            replace(node.outputs[0], insert(node, "Sigmoid", [neg.inputs[0]]))
