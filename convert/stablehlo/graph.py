"""The ONNX graph that grows while a module is translated, and the few ways in which values get into another shape.

Every ONNX node is asked for in one way, `Graph.node`: with inputs that are all known it is computed at once, by onnx's
reference implementation, and no node is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference.ops import load_op

from convert.passes.edit import Array
from convert.stablehlo.tensor import PROBES, Held, Known, Shape, Tensor, UnknownError
from convert.write import OPSET

Data = ir.Value | Known


def natural(rank: int) -> tuple[int, ...]:
    return tuple(range(rank))


class Graph:
    """Nodes and constants so far. `windows` is the model's input, `[batch, samples]` or of a fixed batch."""

    def __init__(self, windows: ir.Value) -> None:
        self.windows = windows
        self.nodes: list[ir.Node] = []
        self.constants: dict[str, ir.Value] = {}
        self._sizes: dict[ir.Value, Shape] = {}
        self._batch: ir.Value | None = None

    def node(self, op_type: str, inputs: Sequence[Data | Array | None], **attributes: Any) -> Data:
        """The first output of an ONNX node on these inputs."""
        data = [(each,) if isinstance(each, np.ndarray) else each for each in inputs]
        if all(not isinstance(each, ir.Value) for each in data):
            return _evaluated(op_type, data, attributes)  # type: ignore[arg-type]
        return self.outputs(op_type, data, 1, attributes)[0]

    def outputs(
        self, op_type: str, inputs: Sequence[Data | None], outputs: int, attributes: dict[str, Any]
    ) -> Sequence[ir.Value]:
        """All outputs of a node."""
        node = ir.node(
            op_type,
            [self.value(each) if each is not None else None for each in inputs],
            attributes,
            num_outputs=outputs,
        )
        self.nodes.append(node)
        return node.outputs

    def value(self, data: Data) -> ir.Value:
        """What a node can read: known data as a constant, or computed from the batch's size."""
        if isinstance(data, ir.Value):
            return data
        if len(data) > 1:
            return self._from_batch(data)
        name = f"constant_{len(self.constants)}"
        value = ir.val(name, const_value=ir.tensor(np.ascontiguousarray(data[0]).reshape(data[0].shape), name=name))
        self.constants[name] = value
        return value

    def _from_batch(self, data: Known) -> ir.Value:
        """Numbers that grow with the batch: `step * batch + start`, as far as that gives all probes."""
        if any(array.shape != data[0].shape for array in data):
            raise UnknownError("a constant's shape depends on the number of windows in the batch")
        wide = [array.astype(np.float64) for array in data]
        step = (wide[1] - wide[0]) / (PROBES[1] - PROBES[0])
        start = wide[0] - step * PROBES[0]
        if not np.allclose(start + step * PROBES[2], wide[2], rtol=1e-6):
            raise UnknownError("it computes something of the number of windows that is no multiple of it")
        if self._batch is None:
            shape = self.node("Shape", [self.windows], start=0, end=1)
            self._batch = shape if isinstance(shape, ir.Value) else None
        assert self._batch is not None
        dtype = data[0].dtype
        number = self.node("Cast", [self._batch], to=int(ir.DataType.from_numpy(dtype)))
        scaled = self.node("Mul", [number, step.astype(dtype)]) if (step != 1).any() else number
        return self.value(self.node("Add", [scaled, start.astype(dtype)]) if start.any() or start.ndim != 1 else scaled)

    # Shapes

    def reshaped(self, held: Held, sizes: Shape, order: tuple[int, ...]) -> Held:
        """The same elements, row by row, held in other sizes."""
        if held.sizes.shape == sizes.shape and (held.sizes == sizes).all():
            return Held(held.data, order, sizes)
        data, before = held.data, held.sizes
        if not isinstance(data, ir.Value):
            each = data if len(set(map(tuple, sizes))) == 1 else data * (len(PROBES) // len(data))
            return Held(tuple(a.reshape(s) for a, s in zip(each, sizes)), order, sizes)
        producer = data.producer()
        if producer is not None and producer.op_type == "Reshape" and producer.inputs[0] in self._sizes:
            data = producer.inputs[0]
            before = self._sizes[data]
        self._sizes[data] = before
        target = _target(sizes, before)
        return Held(self.node("Reshape", [data, target]), order, sizes)

    def in_order(self, held: Held, order: tuple[int, ...]) -> Held:
        """The same value held in another order of its axes."""
        if held.order == order:
            return held
        permutation = [held.order.index(axis) for axis in order]
        sizes = held.sizes[:, permutation]
        long = [i for i in permutation if (held.sizes[:, i] != 1).any()]
        if not held.known and long == sorted(long):  # only axes of length 1 move
            return self.reshaped(held, sizes, order)
        return Held(self.node("Transpose", [held.data], perm=permutation), order, sizes)

    def whole(self, tensor: Tensor, axes: Sequence[int] | None = None) -> Tensor:
        """A value of which none of these axes (all, if None) is held broadcast."""
        wanted = [axis for axis in (natural(tensor.rank) if axes is None else axes) if tensor.lazy(axis)]
        if not wanted:
            return tensor
        parts = []
        for part in tensor.parts:
            target = np.ones_like(part.sizes)
            for axis in wanted:
                target[:, part.order.index(axis)] = tensor.shape[:, axis]
            vectors = tuple(target) if (target != target[0]).any() else (target[0],)
            sizes = np.maximum(part.sizes, target)
            parts.append(Held(self.node("Expand", [part.data, vectors]), part.order, sizes))
        return Tensor(tensor.shape, tensor.dtype, tuple(parts))

    def data(self, tensor: Tensor, order: tuple[int, ...] | None = None) -> Data:
        """A real value, whole and held in this order (its own, if None)."""
        return self.in_order(self.whole(tensor).part, order or natural(tensor.rank)).data

    def made(self, data: Data, shape: Shape, dtype: np.dtype | type, order: tuple[int, ...] | None = None) -> Tensor:
        """A real value from what a node gave; `shape` is that of the value, whose axes are held in `order`."""
        order = order or natural(shape.shape[1])
        return Tensor(shape, np.dtype(dtype), (Held(data, order, shape[:, list(order)]),))

    def elementwise(
        self, op_type: str, operands: Sequence[Tensor], dtype: np.dtype | type | None = None, **attributes: Any
    ) -> Tensor:
        """An ONNX node on real values of one rank, which are broadcast to each other."""
        computed = [t.part for t in operands if not t.known]
        largest = max(computed, key=lambda held: int(held.sizes[0].prod()), default=operands[0].part)
        held = [self.in_order(t.part, largest.order) for t in operands]
        sizes = np.max([h.sizes for h in held], axis=0)
        data = self.node(op_type, [h.data for h in held], **attributes)
        shape = np.max([t.shape for t in operands], axis=0)
        return Tensor(shape, np.dtype(dtype or operands[0].dtype), (Held(data, largest.order, sizes),))


def _evaluated(op_type: str, inputs: Sequence[Known | None], attributes: dict[str, Any]) -> Known:
    count = max(len(each) for each in inputs if each is not None)
    operator = load_op("", op_type, OPSET)
    results = []
    with np.errstate(all="ignore"):
        for probe in range(count):
            arrays = [None if each is None else each[probe if len(each) > 1 else 0] for each in inputs]
            results.append(np.asarray(operator.eval(*arrays, **attributes)))
    if all(
        r.shape == results[0].shape and np.array_equal(r, results[0], equal_nan=r.dtype.kind == "f") for r in results
    ):
        results = results[:1]
    return tuple(results)


def _target(sizes: Shape, before: Shape) -> NDArray[np.int64]:
    """What a Reshape is given: numbers, 0 for a batch that stays where it is, -1 for one size that varies."""
    target = sizes[0].copy()
    varying = np.flatnonzero((sizes != sizes[0]).any(axis=0))
    for axis in varying:
        stays = axis < before.shape[1] and (before[:, axis] == sizes[:, axis]).all()
        target[axis] = 0 if stays else -1
    if (target == -1).sum() > 1 or (0 in sizes[0] and len(varying)):
        raise UnknownError("two sizes of a reshape depend on the number of windows in the batch")
    return target
