"""Heads of prototypes: how much the places of a window look like what is typical for a class (Perch v2).

    greatest[batch, prototype] = max over places of unit[batch, place, :] @ prototypes[:, prototype]
    label[batch, class] = sum over a class's prototypes of weight * greatest + bias
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx_ir as ir

from convert.passes.edit import Array, attribute, constant, new_constant, only_consumer, producer, with_constant


@dataclass(frozen=True)
class Prototypes:
    """The part of a head that is large: all products, of which only the greatest of each prototype are used."""

    product: ir.Node
    """MatMul of `[batch, *places, features]` with the prototypes, a constant `[features, prototypes]`."""
    greatest: ir.Node
    """ReduceMax over all places; gives `[batch, *layout]`."""
    places: int
    layout: tuple[int, ...]
    """How prototypes are laid out, such as (classes, 4)."""

    @property
    def weights(self) -> Array:
        """The prototypes, `[features, prototypes]`."""
        return np.asarray(constant(self.product.inputs[1]))


def find_prototypes(graph: ir.Graph) -> list[Prototypes]:
    """Every product of places with constants of which nothing is read but the greatest of all places.

    Shapes must have been inferred.
    """
    return [found for node in graph if node.op_type == "MatMul" and (found := _prototypes(node)) is not None]


def _prototypes(product: ir.Node) -> Prototypes | None:
    weights, shape = constant(product.inputs[1]), _inner(product.inputs[0])
    if weights is None or weights.ndim != 2 or shape is None or len(shape) < 2:
        return None
    places, following = prod(shape[:-1]), only_consumer(product.outputs[0])
    laid_out = product.outputs[0]
    if following is not None and following.op_type == "Reshape":
        laid_out, following = following.outputs[0], only_consumer(following.outputs[0])
    sizes = _inner(laid_out)
    if following is None or following.op_type != "ReduceMax" or attribute(following, "keepdims", 1) or sizes is None:
        return None
    axes = attribute(following, "axes", ())
    count = len(axes)
    if sorted(axes) != list(range(1, count + 1)) or prod(sizes[:count]) != places:
        return None
    return Prototypes(product, following, places, tuple(sizes[count:])) if prod(sizes) > 0 else None


def _inner(value: ir.Value | None) -> list[int] | None:
    """All sizes but the first, where they are known."""
    shape = value.shape if value is not None else None
    sizes = [size for size in shape[1:] if isinstance(size, int)] if shape is not None and len(shape) > 1 else []
    return sizes if shape is not None and sizes and len(sizes) == len(shape) - 1 else None


def slice_prototypes(graph: ir.Graph, node: ir.Node, index: Sequence[int]) -> bool:
    """Keeps these classes of the head that ends in a node, by slicing its prototypes, weights and bias.

    Returns False, with nothing changed, where the head is not one of prototypes, class by class. Shapes have to be
    inferred before and again after.
    """
    add = node if node.op_type == "Add" else None
    total = producer(add.inputs[0] if add is not None else node.outputs[0], "ReduceSum")
    weighted = producer(total.inputs[0], "Mul") if total is not None else None
    if total is None or weighted is None or attribute(total, "keepdims", 1) or len(total.inputs) < 2:
        return False
    operands, bias = with_constant(weighted), with_constant(add) if add is not None else None
    reduced = producer(operands[0], "ReduceMax") if operands is not None else None
    found = next((p for p in find_prototypes(graph) if p.greatest is reduced), None)
    if operands is None or found is None or len(found.layout) != 2 or (add is not None and bias is None):
        return False
    axes, shape = constant(total.inputs[1]), (1, *found.layout)
    chain = [found.greatest, weighted, *([total] if add is not None else [])]
    if axes is None or axes.tolist() not in ([2], [-1]) or any(only_consumer(n.outputs[0]) is None for n in chain):
        return False
    try:
        factors = np.broadcast_to(operands[1], shape)[:, index]
        offsets = np.broadcast_to(bias[1], shape[:2])[:, index] if bias is not None else None
    except ValueError:  # they differ between windows
        return False
    classes, each = found.layout
    laid_out = producer(found.greatest.inputs[0], "Reshape")
    if laid_out is None:
        return False
    prototypes = found.weights.reshape(-1, classes, each)[:, index].reshape(-1, len(index) * each)
    places = [size for size in list(laid_out.outputs[0].shape or [])[1:-2]]
    target = np.array([0, *places, len(index), each], np.int64)
    _hold(graph, found.product, found.product.inputs[1], prototypes)
    _hold(graph, laid_out, laid_out.inputs[1], target)
    _hold(graph, weighted, _other(weighted, operands[0]), factors)
    if add is not None and bias is not None and offsets is not None:
        _hold(graph, add, _other(add, bias[0]), offsets)
    for changed in (found.product, laid_out, *chain):
        if not changed.outputs[0].is_graph_output():
            changed.outputs[0].shape = None
    return True


def _other(node: ir.Node, data: ir.Value) -> ir.Value | None:
    return next(value for value in node.inputs if value is not data)


def _hold(graph: ir.Graph, node: ir.Node, old: ir.Value | None, array: Array) -> None:
    """Lets a node read another constant in place of one."""
    node.replace_input_with(list(node.inputs).index(old), new_constant(graph, array, f"{node.name}/kept"))
