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
    inferred before, and again after.
    """
    add = node if node.op_type == "Add" else None
    total = node if add is None else next((p for v in add.inputs if (p := producer(v, "ReduceSum"))), None)
    weighted = producer(total.inputs[0], "Mul") if total is not None and len(total.inputs) > 1 else None
    reduced = next((p for v in weighted.inputs if (p := producer(v, "ReduceMax"))), None) if weighted else None
    found = next((each for each in find_prototypes(graph) if each.greatest is reduced), None)
    if found is None or weighted is None or total is None or attribute(total, "keepdims", 1):
        return False
    axes, laid_out = constant(total.inputs[1]), producer(found.greatest.inputs[0], "Reshape")
    if axes is None or axes.tolist() not in ([2], [-1]) or len(found.layout) != 2 or laid_out is None:
        return False
    chain = [found.product, laid_out, found.greatest, weighted, *([total] if add is not None else [])]
    if any(only_consumer(inner.outputs[0]) is None for inner in chain):
        return False
    classes, each = found.layout
    prototypes = found.weights.reshape(-1, classes, each)[:, index].reshape(-1, len(index) * each)
    target = np.array([0, *(_inner(laid_out.outputs[0]) or [])[:-2], len(index), each], np.int64)
    kept = [(found.product, prototypes), (laid_out, target)]
    for holder, sizes in ((weighted, (1, classes, each)), *([(add, (1, classes))] if add is not None else [])):
        operands = with_constant(holder)
        if operands is None or not _fits(operands[1].shape, sizes):
            return False
        kept.append((holder, np.broadcast_to(operands[1], sizes)[:, index]))
    for holder, array in kept:
        position = next(i for i, value in enumerate(holder.inputs) if constant(value) is not None)
        holder.replace_input_with(position, new_constant(graph, array, f"{holder.name}/kept"))
    for inner in chain:
        inner.outputs[0].shape = None
    return True


def _fits(shape: Sequence[int], sizes: Sequence[int]) -> bool:
    """Whether an array can be broadcast to these sizes."""
    aligned = zip(reversed(shape), reversed(sizes), strict=False)
    return len(shape) <= len(sizes) and all(have in (1, size) for have, size in aligned)
