"""The ONNX graph that is built while a module is translated, and the layout of its values.

All nodes are made by `Graph.node`. Where all inputs are constant it makes none, but computes the result at once, by
onnx's reference implementation.
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
from convert.stablehlo.tensor import PROBES, ConstantData, Shape, Sizes, Tensor, UnsupportedError, View
from convert.write import OPSET

Data = ir.Value | ConstantData


BY_NUMPY: dict[str, Callable[..., Any]] = {
    "Add": np.add, "And": np.logical_and, "Concat": lambda *arrays, axis: np.concatenate(arrays, axis),
    "Equal": np.equal, "Less": np.less, "Mul": np.multiply, "Not": np.logical_not, "Sub": np.subtract,
    "Where": np.where,
}  # fmt: skip
"""Ops that unrolled loops compute in each round. The reference implementation takes longer to set up than NumPy."""

BY_COMPARISON = {"Max": "Greater", "Min": "Less"}
"""Ops of 64-bit integers replaced by a comparison and Where: ONNX Runtime's Max and Min (1.31) read only 32 bits."""


def natural(rank: int) -> tuple[int, ...]:
    """The order of axes that permutes none."""
    return tuple(range(rank))


class Graph:
    """Nodes and constants so far. `windows` is the model's input, `[batch, samples]`, with a free or a fixed batch."""

    def __init__(self, windows: ir.Value) -> None:
        self.windows = windows
        self.nodes: list[ir.Node] = []
        self.constants: dict[str, ir.Value] = {}
        self._sizes: dict[ir.Value, Shape] = {}
        self._concatenated: dict[ir.Value, tuple[int, list[View]]] = {}
        self._batch: ir.Value | None = None

    def node(self, op_type: str, inputs: Sequence[Data | Array | None], **attributes: Any) -> Data:
        """The first output of a new node, or its value if all inputs are constant."""
        data = [(np.asarray(each),) if isinstance(each, np.ndarray | np.generic) else each for each in inputs]
        if all(not isinstance(each, ir.Value) for each in data):
            return _evaluated(op_type, data, attributes)  # type: ignore[arg-type]
        return self.outputs(op_type, data, 1, attributes)[0]

    def outputs(
        self, op_type: str, inputs: Sequence[Data | None], outputs: int, attributes: dict[str, Any]
    ) -> Sequence[ir.Value]:
        """All outputs of a new node."""
        node = ir.node(
            op_type,
            [self.value(each) if each is not None else None for each in inputs],
            attributes,
            num_outputs=outputs,
        )
        self.nodes.append(node)
        return node.outputs

    def value(self, data: Data) -> ir.Value:
        """Data as a value of the graph: a constant as an initializer, or computed from the size of the batch."""
        if isinstance(data, ir.Value):
            return data
        if len(data) > 1:
            return self._from_batch(data)
        array = np.ascontiguousarray(data[0]).reshape(data[0].shape)
        # Unrolled loops have the same weights in each round.
        digest = hashlib.blake2b(array.reshape(-1).view(np.uint8).data).hexdigest() + f"{array.dtype}{array.shape}"
        if digest not in self.constants:
            name = f"constant_{len(self.constants)}"
            self.constants[digest] = ir.val(name, const_value=ir.tensor(array, name=name))
        return self.constants[digest]

    def keep(self, values: Sequence[ir.Value]) -> None:
        """Drops nodes and constants from which none of these values is computed."""
        needed, kept = set(values), []
        for node in reversed(self.nodes):
            if not needed.isdisjoint(node.outputs):
                needed.update(value for value in node.inputs if value is not None)
                kept.append(node)
            else:  # its inputs must not list it among their consumers
                for place in range(len(node.inputs)):
                    node.replace_input_with(place, None)
        self.nodes = kept[::-1]
        self.constants = {key: value for key, value in self.constants.items() if value in needed}

    def _from_batch(self, data: ConstantData) -> ir.Value:
        """Data that depends on the batch: linear in its size, or along an axis of its length."""
        if any(array.shape != data[0].shape for array in data):
            return self._from_range(data)
        step, start = _line(data, PROBES)
        number = self._batch_as(step.dtype)
        scaled = self.node("Mul", [number, step]) if (step != 1).any() else number
        added = self.node("Add", [scaled, start]) if start.any() or start.ndim > 1 else scaled
        return self.value(self.node("Squeeze", [added, np.array([0])]) if start.ndim == 0 else added)

    def _from_range(self, data: ConstantData) -> ir.Value:
        """Arrays with one axis of the batch's length, along which they are linear, such as `arange(batch)`."""
        axes = [a for a in range(data[0].ndim) if len({array.shape[a] for array in data}) > 1]
        if len(axes) != 1 or any(array.shape[axes[0]] != size for array, size in zip(data, PROBES, strict=True)):
            raise UnsupportedError("a constant's shape depends on the number of windows in the batch")
        (axis,) = axes
        longest = np.moveaxis(data[-1], axis, 0)
        if any((np.moveaxis(array, axis, 0) != longest[:size]).any() for array, size in zip(data, PROBES, strict=True)):
            raise UnsupportedError("a constant's shape depends on the number of windows in the batch")
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

    def concatenated(self, pieces: Sequence[View], place: int) -> View:
        """Views with the same order of axes, concatenated along axis `place` of their data."""
        flat = [part for piece in pieces for part in self._pieces(piece, place)]
        sizes = flat[0].sizes.copy()
        sizes[:, place] = np.sum([part.sizes[:, place] for part in flat], axis=0)
        data = self.node("Concat", [part.data for part in flat], axis=place)
        if isinstance(data, ir.Value):
            self._concatenated[data] = place, flat
        return View(data, pieces[0].order, sizes)

    def _pieces(self, view: View, place: int) -> list[View]:
        concatenation = self._concatenated.get(view.data) if isinstance(view.data, ir.Value) else None
        return concatenation[1] if concatenation is not None and concatenation[0] == place else [view]

    def slice_of_pieces(self, view: View, place: int, starts: Sizes, limits: Sizes) -> View | None:
        """The slice from `starts` to `limits` of a concatenation, such as a loop's results; None for any other view.

        It reads the pieces, not the concatenation: else each round of a loop would copy all earlier results.
        """
        pieces = self._pieces(view, place)
        lengths = np.array([piece.sizes[:, place] for piece in pieces])
        if len(pieces) == 1 or any((sizes != sizes[..., :1]).any() for sizes in (lengths, starts, limits)):
            return None
        start, limit = int(starts[0]), int(limits[0])
        chosen: list[View] = []
        for piece, end in zip(pieces, lengths[:, 0].cumsum(), strict=True):
            size = int(piece.sizes[0, place])
            first, last = max(start - end + size, 0), min(limit - end + size, size)
            if first >= last:
                continue
            data, sizes = piece.data, piece.sizes.copy()
            if last - first < size:
                data = self.node("Slice", [data, *(np.array([n], np.int64) for n in (first, last, place))])
                sizes[:, place] = last - first
            chosen.append(View(data, view.order, sizes))
        return chosen[0] if len(chosen) == 1 else self.concatenated(chosen, place)

    def reshaped(self, view: View, sizes: Shape, order: tuple[int, ...]) -> View:
        """Data reshaped to other sizes, in row-major order, as a view with this order of axes."""
        if view.sizes.shape == sizes.shape and (view.sizes == sizes).all():
            return View(view.data, order, sizes)
        data, before = view.data, view.sizes
        if not isinstance(data, ir.Value):
            each = data if len(set(map(tuple, sizes))) == 1 else data * (len(PROBES) // len(data))
            return View(tuple(a.reshape(s) for a, s in zip(each, sizes, strict=False)), order, sizes)
        producer = data.producer()
        if producer is not None and producer.op_type == "Reshape" and producer.inputs[0] in self._sizes:
            data = producer.inputs[0]
            before = self._sizes[data]
        self._sizes[data] = before
        target = _target(sizes, before)
        return View(self.node("Reshape", [data, target]), order, sizes)

    def in_order(self, view: View, order: tuple[int, ...]) -> View:
        """The same array with its data transposed to another order of axes."""
        if view.order == order:
            return view
        permutation = [view.order.index(axis) for axis in order]
        sizes = view.sizes[:, permutation]
        longer = [i for i in permutation if (view.sizes[:, i] != 1).any()]
        if not view.is_constant and longer == sorted(longer):  # only axes of length 1 move
            return self.reshaped(view, sizes, order)
        return View(self.node("Transpose", [view.data], perm=permutation), order, sizes)

    def expanded(self, tensor: Tensor, axes: Sequence[int] | None = None) -> Tensor:
        """A value with these axes (all, if None) no longer broadcast, but expanded in its data."""
        wanted = natural(tensor.rank) if axes is None else axes
        parts = []
        for part in tensor.parts:
            places = [part.order.index(axis) for axis in wanted if part.is_broadcast(axis, tensor.shape[:, axis])]
            target = np.ones_like(part.sizes)
            target[:, places] = tensor.shape[:, [part.order[place] for place in places]]
            parts.append(self._expanded_view(part, target) if places else part)
        return Tensor(tensor.shape, tensor.dtype, tuple(parts))

    def _expanded_view(self, part: View, target: Shape) -> View:
        sizes = np.maximum(part.sizes, target)
        if (target == target[0]).all():
            return View(self.node("Expand", [part.data, target[0]]), part.order, sizes)
        # An axis of the batch's length is expanded when the model runs: for all probes it would take too much memory.
        inputs = [self.value(part.data), self.value(tuple(target))]
        return View(self.outputs("Expand", inputs, 1, {})[0], part.order, sizes)

    def data(self, tensor: Tensor, order: tuple[int, ...] | None = None) -> Data:
        """The data of a real value, expanded, with its axes in this order (from first to last, if None)."""
        return self.in_order(self.expanded(tensor).part, order or natural(tensor.rank)).data

    def tensor(self, data: Data, shape: Shape, dtype: np.dtype | type, order: tuple[int, ...] | None = None) -> Tensor:
        """A real value of a node's output, whose axes are in `order`; `shape` is the value's own."""
        order = order or natural(shape.shape[1])
        return Tensor(shape, np.dtype(dtype), (View(data, order, shape[:, list(order)]),))

    def elementwise(
        self, op_type: str, operands: Sequence[Tensor], dtype: np.dtype | type | None = None, **attributes: Any
    ) -> Tensor:
        """An ONNX op on real values of one rank, broadcast to each other.

        All operands have one type, but for the boolean condition of Where. `dtype` is the result's; if None, it is the
        first operand's.

        Raises:
            UnsupportedError: ONNX Runtime computes the op neither in this type nor in a wider one.
        """
        result_type, operand_type = np.dtype(dtype or operands[0].dtype), operands[-1].dtype
        all_constant = all(t.is_constant for t in operands)
        wide = operand_type if all_constant else computed_in(op_type, operand_type)
        if wide != operand_type:
            widened = [self.cast(t, wide) if t.dtype == operand_type else t for t in operands]
            if op_type == "Where":
                widened[0] = operands[0]
            wide_result = wide if result_type == operand_type else result_type
            return self.cast(self.elementwise(op_type, widened, wide_result, **attributes), result_type)
        if op_type in BY_COMPARISON and operand_type.kind in "iu" and operand_type.itemsize == 8 and not all_constant:
            first = self.elementwise(BY_COMPARISON[op_type], operands, np.bool_)
            return self.elementwise("Where", [first, *operands], result_type)
        computed = [t.part for t in operands if not t.is_constant]
        largest = max(computed, key=lambda view: int(view.sizes[-1].prod()), default=operands[0].part)
        views = [self.in_order(t.part, largest.order) for t in operands]
        sizes = np.max([view.sizes for view in views], axis=0)
        data = self.node(op_type, [view.data for view in views], **attributes)
        shape = np.max([t.shape for t in operands], axis=0)
        return Tensor(shape, result_type, (View(data, largest.order, sizes),))

    def cast(self, tensor: Tensor, dtype: np.dtype | type) -> Tensor:
        """A real value in another type, which holds all of its numbers, or else the low bits of its integers."""
        if tensor.dtype == dtype:
            return tensor
        return self.elementwise("Cast", [tensor], dtype, to=int(ir.DataType.from_numpy(np.dtype(dtype))))


def _evaluated(op_type: str, inputs: Sequence[ConstantData | None], attributes: dict[str, Any]) -> ConstantData:
    """The first output of an op on constant inputs, for each probe or, if all agree, once."""
    count = max(len(each) for each in inputs if each is not None)
    function = BY_NUMPY.get(op_type) or load_op("", op_type, OPSET).eval
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
    """`step` and `start` of arrays that are `step * place + start` for each place.

    Raises:
        UnsupportedError: they are not linear.
    """
    dtype, wide = arrays[0].dtype, [array.astype(np.float64) for array in arrays]
    step = (wide[-1] - wide[0]) / (places[-1] - places[0])
    step = np.asarray(step if dtype.kind == "f" else np.round(step))
    start = np.asarray(wide[0] - step * places[0])
    even = (
        np.allclose(start + step * place, each, rtol=1e-6, atol=0) for place, each in zip(places, wide, strict=True)
    )
    if dtype.kind == "b" or not all(even):
        raise UnsupportedError("it computes a value that is not linear in the number of windows")
    return step.astype(dtype), start.astype(dtype)


def _target(sizes: Shape, before: Shape) -> ConstantData:
    """A Reshape's target: static sizes, 0 for an axis that keeps the batch, -1 for one other size that varies."""
    target = sizes[0].copy()
    varying = np.flatnonzero((sizes != sizes[0]).any(axis=0))
    for axis in varying:
        stays = axis < before.shape[1] and (before[:, axis] == sizes[:, axis]).all()
        target[axis] = 0 if stays else -1
    return tuple(sizes) if (target == -1).sum() > 1 else (target,)
