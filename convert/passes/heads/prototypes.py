"""Prototype heads (Perch v2): how similar the positions of a window are to what is typical for a class.

similarity[batch, prototype] = max over positions of unit[batch, position, :] @ prototypes[:, prototype]
label[batch, class] = sum over a class's prototypes of weight * similarity + bias
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx_ir as ir

from convert.passes.edit import Array, attribute, constant, new_constant, only_consumer, producer, with_constant
from convert.passes.rows import row_shape


@dataclass(frozen=True)
class PrototypeHead:
    """The large part of a prototype head: all products, of which only the maximum over positions is used."""

    product: ir.Node
    """MatMul of `[batch, *positions, features]` with the prototypes, a constant `[features, prototypes]`."""
    maximum: ir.Node
    """ReduceMax over all positions, to `[batch, *layout]`."""
    positions: int
    layout: tuple[int, ...]
    """The axes of the prototypes, such as (classes, 4)."""

    @property
    def data(self) -> ir.Value:
        """The positions' features, `[batch, *positions, features]`."""
        data = self.product.inputs[0]
        assert data is not None
        return data

    @property
    def prototypes(self) -> Array:
        """`[features, prototypes]`."""
        return np.asarray(constant(self.product.inputs[1]))


def find_prototypes(graph: ir.Graph) -> list[PrototypeHead]:
    """Every product with constant prototypes whose only use is the maximum over all positions.

    Requires inferred shapes.
    """
    return [head for node in graph if node.op_type == "MatMul" and (head := _head_of(node)) is not None]


def _head_of(product: ir.Node) -> PrototypeHead | None:
    prototypes, shape = constant(product.inputs[1]), row_shape(product.inputs[0])
    if prototypes is None or prototypes.ndim != 2 or shape is None or len(shape) < 2:
        return None
    positions, maximum = prod(shape[:-1]), only_consumer(product.outputs[0])
    products = product.outputs[0]
    if maximum is not None and maximum.op_type == "Reshape":
        products, maximum = maximum.outputs[0], only_consumer(maximum.outputs[0])
    sizes = row_shape(products)
    if maximum is None or maximum.op_type != "ReduceMax" or attribute(maximum, "keepdims", 1) or not sizes:
        return None
    axes = attribute(maximum, "axes", ())
    count = len(axes)
    if sorted(axes) != list(range(1, count + 1)) or prod(sizes[:count]) != positions:
        return None
    return PrototypeHead(product, maximum, positions, tuple(sizes[count:])) if prod(sizes) > 0 else None


def slice_prototypes(graph: ir.Graph, node: ir.Node, classes: Sequence[int]) -> bool:
    """Keeps these classes of the prototype head that ends in `node`, by slicing its prototypes, weights and bias.

    Requires inferred shapes, which have to be inferred again afterwards. Returns False, with nothing changed, for any
    other head.
    """
    add = node if node.op_type == "Add" else None
    total = node if add is None else next((p for v in add.inputs if (p := producer(v, "ReduceSum"))), None)
    weighted = producer(total.inputs[0], "Mul") if total is not None and len(total.inputs) > 1 else None
    maximum = next((p for v in weighted.inputs if (p := producer(v, "ReduceMax"))), None) if weighted else None
    head = next((each for each in find_prototypes(graph) if each.maximum is maximum), None)
    if head is None or weighted is None or total is None or attribute(total, "keepdims", 1):
        return False
    axes, reshape = constant(total.inputs[1]), producer(head.maximum.inputs[0], "Reshape")
    if axes is None or axes.tolist() not in ([2], [-1]) or len(head.layout) != 2 or reshape is None:
        return False
    chain = [head.product, reshape, head.maximum, weighted, *([total] if add is not None else [])]
    if any(only_consumer(inner.outputs[0]) is None for inner in chain):
        return False
    count, each = head.layout
    prototypes = head.prototypes.reshape(-1, count, each)[:, classes].reshape(-1, len(classes) * each)
    target = np.array([0, *(row_shape(reshape.outputs[0]) or [])[:-2], len(classes), each], np.int64)
    kept = [(head.product, prototypes), (reshape, target)]
    for holder, sizes in ((weighted, (1, count, each)), *([(add, (1, count))] if add is not None else [])):
        operands = with_constant(holder)
        if operands is None or not _broadcasts_to(operands[1].shape, sizes):
            return False
        kept.append((holder, np.broadcast_to(operands[1], sizes)[:, classes]))
    for holder, array in kept:
        position = next(i for i, value in enumerate(holder.inputs) if constant(value) is not None)
        holder.replace_input_with(position, new_constant(graph, array, f"{holder.name}/kept"))
    for inner in chain:
        inner.outputs[0].shape = None
    return True


def _broadcasts_to(shape: Sequence[int], sizes: Sequence[int]) -> bool:
    aligned = zip(reversed(shape), reversed(sizes), strict=False)
    return len(shape) <= len(sizes) and all(have in (1, size) for have, size in aligned)
