"""The ONNX graph that grows while a module is translated, and the few ways in which values get into another shape.

Every ONNX node is asked for in one way, `Graph.node`: with inputs that are all known it is computed at once, by onnx's
reference implementation, and no node is made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx.reference.ops import load_op

from convert.passes.edit import Array
from convert.stablehlo.kernels import computed_in
from convert.stablehlo.tensor import PROBES, Held, Known, Shape, Sizes, Tensor, UnknownError
from convert.write import OPSET

Data = ir.Value | Known


QUICK: dict[str, Callable[..., Any]] = {
    "Add": np.add, "And": np.logical_and, "Concat": lambda *arrays, axis: np.concatenate(arrays, axis),
    "Equal": np.equal, "Less": np.less, "Mul": np.multiply, "Not": np.logical_not, "Sub": np.subtract,
    "Where": np.where,
}  # fmt: skip
"""What loops that are written out compute in each round; onnx takes longer to set these up than to compute them."""

CHOSEN = {"Max": "Greater", "Min": "Less"}
"""Of int64 ONNX Runtime's Max and Min look at 32 bits alone (1.31): it compares and chooses instead."""


def natural(rank: int) -> tuple[int, ...]:
    return tuple(range(rank))


class Graph:
    """Nodes and constants so far. `windows` is the model's input, `[batch, samples]` or of a fixed batch."""

    def __init__(self, windows: ir.Value) -> None:
        self.windows = windows
        self.nodes: list[ir.Node] = []
        self.constants: dict[str, ir.Value] = {}
        self._sizes: dict[ir.Value, Shape] = {}
        self._joined: dict[ir.Value, tuple[int, list[Held]]] = {}
        self._batch: ir.Value | None = None

    def node(self, op_type: str, inputs: Sequence[Data | Array | None], **attributes: Any) -> Data:
        """The first output of an ONNX node on these inputs."""
        data = [(np.asarray(each),) if isinstance(each, np.ndarray | np.generic) else each for each in inputs]
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
        array = np.ascontiguousarray(data[0]).reshape(data[0].shape)
        # Loops that are written out bring the same weights in each round.
        digest = hashlib.blake2b(array.reshape(-1).view(np.uint8).data).hexdigest() + f"{array.dtype}{array.shape}"
        if digest not in self.constants:
            name = f"constant_{len(self.constants)}"
            self.constants[digest] = ir.val(name, const_value=ir.tensor(array, name=name))
        return self.constants[digest]

    def keep(self, values: Sequence[ir.Value]) -> None:
        """Drops what these values are not computed from."""
        needed, kept = set(values), []
        for node in reversed(self.nodes):
            if not needed.isdisjoint(node.outputs):
                needed.update(value for value in node.inputs if value is not None)
                kept.append(node)
            else:  # what it read is not to have it among its readers
                for place in range(len(node.inputs)):
                    node.replace_input_with(place, None)
        self.nodes = kept[::-1]
        self.constants = {key: value for key, value in self.constants.items() if value in needed}

    def _from_batch(self, data: Known) -> ir.Value:
        """Numbers that grow with the batch, or along an axis that does."""
        if any(array.shape != data[0].shape for array in data):
            return self._counted(data)
        step, start = _line(data, PROBES)
        number = self._batch_as(step.dtype)
        scaled = self.node("Mul", [number, step]) if (step != 1).any() else number
        added = self.node("Add", [scaled, start]) if start.any() or start.ndim > 1 else scaled
        return self.value(self.node("Squeeze", [added, np.array([0])]) if start.ndim == 0 else added)

    def _counted(self, data: Known) -> ir.Value:
        """Arrays as long as the batch along one axis, whose numbers grow evenly along it, as `arange` has them."""
        axes = [a for a in range(data[0].ndim) if len({array.shape[a] for array in data}) > 1]
        if len(axes) != 1 or any(array.shape[axes[0]] != size for array, size in zip(data, PROBES, strict=True)):
            raise UnknownError("a constant's shape depends on the number of windows in the batch")
        (axis,) = axes
        longest = np.moveaxis(data[-1], axis, 0)
        if any((np.moveaxis(array, axis, 0) != longest[:size]).any() for array, size in zip(data, PROBES, strict=True)):
            raise UnknownError("a constant's shape depends on the number of windows in the batch")
        step, start = (np.expand_dims(numbers, axis) for numbers in _line(longest, range(PROBES[-1])))
        size = self.node("Squeeze", [self._batch_as(np.dtype(np.int64))])
        count = self.node("Range", [np.array(0, np.int64), size, np.array(1, np.int64)])
        along = np.where(np.arange(step.ndim) == axis, -1, 1)
        number = self.node("Reshape", [self._cast(count, step.dtype), along])
        return self.value(self.node("Add", [self.node("Mul", [number, step]), start]))

    def _batch_as(self, dtype: np.dtype) -> Data:
        if self._batch is None:
            self._batch = self.outputs("Shape", [self.windows], 1, {"start": 0, "end": 1})[0]
        return self._cast(self._batch, dtype)

    def _cast(self, data: Data, dtype: np.dtype) -> Data:
        return self.node("Cast", [data], to=int(ir.DataType.from_numpy(dtype)))

    # Shapes

    def joined(self, pieces: Sequence[Held], place: int) -> Held:
        """Values, all held in the same order, one after another along the axis held at `place`."""
        flat = [part for piece in pieces for part in self._pieces(piece, place)]
        sizes = flat[0].sizes.copy()
        sizes[:, place] = np.sum([part.sizes[:, place] for part in flat], axis=0)
        data = self.node("Concat", [part.data for part in flat], axis=place)
        if isinstance(data, ir.Value):
            self._joined[data] = place, flat
        return Held(data, pieces[0].order, sizes)

    def _pieces(self, held: Held, place: int) -> list[Held]:
        found = self._joined.get(held.data) if isinstance(held.data, ir.Value) else None
        return found[1] if found is not None and found[0] == place else [held]

    def piece(self, held: Held, place: int, starts: Sizes, limits: Sizes) -> Held | None:
        """From `starts` to `limits` of what was joined of pieces, as a loop's results are; None of what was not.

        Whole pieces are taken as they are: else each round of a loop would copy what the rounds before it gave.
        """
        pieces = self._pieces(held, place)
        lengths = np.array([piece.sizes[:, place] for piece in pieces])
        if len(pieces) == 1 or any((sizes != sizes[..., :1]).any() for sizes in (lengths, starts, limits)):
            return None
        start, limit = int(starts[0]), int(limits[0])
        chosen: list[Held] = []
        for piece, end in zip(pieces, lengths[:, 0].cumsum(), strict=True):
            size = int(piece.sizes[0, place])
            first, last = max(start - end + size, 0), min(limit - end + size, size)
            if first >= last:
                continue
            data, sizes = piece.data, piece.sizes.copy()
            if last - first < size:
                data = self.node("Slice", [data, *(np.array([n], np.int64) for n in (first, last, place))])
                sizes[:, place] = last - first
            chosen.append(Held(data, held.order, sizes))
        return chosen[0] if len(chosen) == 1 else self.joined(chosen, place)

    def reshaped(self, held: Held, sizes: Shape, order: tuple[int, ...]) -> Held:
        """The same elements, row by row, held in other sizes."""
        if held.sizes.shape == sizes.shape and (held.sizes == sizes).all():
            return Held(held.data, order, sizes)
        data, before = held.data, held.sizes
        if not isinstance(data, ir.Value):
            each = data if len(set(map(tuple, sizes))) == 1 else data * (len(PROBES) // len(data))
            return Held(tuple(a.reshape(s) for a, s in zip(each, sizes, strict=False)), order, sizes)
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
        wanted = natural(tensor.rank) if axes is None else axes
        parts = []
        for part in tensor.parts:
            places = [part.order.index(axis) for axis in wanted if part.lazy(axis, tensor.shape[:, axis])]
            target = np.ones_like(part.sizes)
            target[:, places] = tensor.shape[:, [part.order[place] for place in places]]
            parts.append(self._expanded(part, target) if places else part)
        return Tensor(tensor.shape, tensor.dtype, tuple(parts))

    def _expanded(self, part: Held, target: Shape) -> Held:
        sizes = np.maximum(part.sizes, target)
        if (target == target[0]).all():
            return Held(self.node("Expand", [part.data, target[0]]), part.order, sizes)
        # What is as long as the batch is spread when the model runs: for each probe it would be too much to hold.
        inputs = [self.value(part.data), self.value(tuple(target))]
        return Held(self.outputs("Expand", inputs, 1, {})[0], part.order, sizes)

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
        """An ONNX node on real values of one rank, which are broadcast to each other; all but a first truth of a type.

        Raises:
            UnknownError: ONNX Runtime does not compute it of this type, nor of a wider one.
        """
        made, taken = np.dtype(dtype or operands[0].dtype), operands[-1].dtype
        wide = taken if all(t.known for t in operands) else computed_in(op_type, taken)
        if wide != taken:
            widened = [self.cast(t, wide) if t.dtype == taken else t for t in operands]
            if op_type == "Where":
                widened[0] = operands[0]
            result = self.elementwise(op_type, widened, wide if made == taken else made, **attributes)
            return self.cast(result, made)
        if op_type in CHOSEN and taken.kind in "iu" and taken.itemsize == 8 and not all(t.known for t in operands):
            chosen = self.elementwise(CHOSEN[op_type], operands, np.bool_)
            return self.elementwise("Where", [chosen, *operands], made)
        computed = [t.part for t in operands if not t.known]
        largest = max(computed, key=lambda held: int(held.sizes[-1].prod()), default=operands[0].part)
        held = [self.in_order(t.part, largest.order) for t in operands]
        sizes = np.max([h.sizes for h in held], axis=0)
        data = self.node(op_type, [h.data for h in held], **attributes)
        shape = np.max([t.shape for t in operands], axis=0)
        return Tensor(shape, made, (Held(data, largest.order, sizes),))

    def cast(self, tensor: Tensor, dtype: np.dtype | type) -> Tensor:
        """A real value's numbers in another type that holds them all, or as much of their bits as it has."""
        if tensor.dtype == dtype:
            return tensor
        return self.elementwise("Cast", [tensor], dtype, to=int(ir.DataType.from_numpy(np.dtype(dtype))))


def _evaluated(op_type: str, inputs: Sequence[Known | None], attributes: dict[str, Any]) -> Known:
    count = max(len(each) for each in inputs if each is not None)
    function = QUICK.get(op_type) or load_op("", op_type, OPSET).eval
    results = []
    with np.errstate(all="ignore"):
        for probe in range(count):
            arrays = [None if each is None else each[probe if len(each) > 1 else 0] for each in inputs]
            results.append(np.asarray(function(*arrays, **attributes)))
    if all(
        r.shape == results[0].shape and np.array_equal(r, results[0], equal_nan=r.dtype.kind == "f") for r in results
    ):
        results = results[:1]
    return tuple(results)


def _line(arrays: Sequence[Array] | Array, places: Sequence[int]) -> tuple[Array, Array]:
    """`step` and `start` of arrays that are `step * place + start` at each place.

    Raises:
        UnknownError: they are not.
    """
    dtype, wide = arrays[0].dtype, [array.astype(np.float64) for array in arrays]
    step = (wide[-1] - wide[0]) / (places[-1] - places[0])
    step = np.asarray(step if dtype.kind == "f" else np.round(step))
    start = np.asarray(wide[0] - step * places[0])
    even = (
        np.allclose(start + step * place, each, rtol=1e-6, atol=0) for place, each in zip(places, wide, strict=True)
    )
    if dtype.kind == "b" or not all(even):
        raise UnknownError("it computes something of the number of windows that does not grow evenly with it")
    return step.astype(dtype), start.astype(dtype)


def _target(sizes: Shape, before: Shape) -> Known:
    """What a Reshape is given: numbers, 0 for a batch that stays where it is, -1 for one size that varies."""
    target = sizes[0].copy()
    varying = np.flatnonzero((sizes != sizes[0]).any(axis=0))
    for axis in varying:
        stays = axis < before.shape[1] and (before[:, axis] == sizes[:, axis]).all()
        target[axis] = 0 if stays else -1
    return tuple(sizes) if (target == -1).sum() > 1 else (target,)
