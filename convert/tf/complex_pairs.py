"""Rewrites a frozen GraphDef so that every complex tensor is a pair of real ones.

tf2onnx can only convert an RFFT that goes straight into a ComplexAbs, and ONNX Runtime's DFT is slow and CPU-only. So
an RFFT becomes two products with cosine and sine matrices, and ops on complex values become ops on both parts.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from convert.errors import ConversionError

Pair = tuple[str, str]
"""Names of the tensors that hold the real and the imaginary part."""

PARTS = ("/real_part", "/imaginary_part")
"""Endings of the names of tensors made here; TensorFlow itself writes `Real` and `Imag`."""

# Ops that move values without computing with them are applied to each part separately.
STRUCTURAL = {
    "BroadcastTo", "ConcatV2", "ExpandDims", "Identity", "Neg", "Pack", "Reshape", "Slice", "Squeeze", "StridedSlice",
    "Transpose",
}  # fmt: skip


def dft_matrices(samples: int, nfft: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The real DFT of `samples` values, zero-padded or cut to `nfft`, as matrices for its real and imaginary part.

    Each is `float32 [samples, nfft // 2 + 1]`: `cos(2 pi n k / nfft)` and `-sin(2 pi n k / nfft)`, made in float64.
    The product n·k is reduced modulo nfft first, so that large arguments cost no accuracy.
    """
    n, k = np.arange(samples)[:, None], np.arange(nfft // 2 + 1)[None]
    turns = 2 * np.pi * (n * k % nfft) / nfft
    inside = n < nfft
    return (np.cos(turns) * inside).astype(np.float32), (-np.sin(turns) * inside).astype(np.float32)


def split_complex(graph_def: tf.compat.v1.GraphDef) -> tf.compat.v1.GraphDef:
    """The same graph without complex values.

    Raises:
        ConversionError: a complex value meets an op that has no real counterpart here; op and node are named.
    """
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    splitter = _Splitter()
    splitter.graph_def.library.CopyFrom(graph_def.library)  # bodies of loops and branches
    for op in graph.get_operations():
        splitter.add(op)
    return splitter.graph_def


class _Splitter:
    """The graph under construction and the pairs made so far."""

    def __init__(self) -> None:
        self.graph_def = tf.compat.v1.GraphDef()
        self.pairs: dict[str, Pair] = {}
        self.real: set[str] = set()
        """Complex tensors without an imaginary part, mostly scale factors."""

    def add(self, op: tf.Operation) -> None:
        tensors = [*op.inputs, *op.outputs]
        if not any(tensor.dtype.is_complex for tensor in tensors):
            self.graph_def.node.add().CopyFrom(op.node_def)
            return
        if op.type in STRUCTURAL:
            self.pairs[op.outputs[0].name] = (self._part(op, 0), self._part(op, 1))
            if all(tensor.name in self.real for tensor in op.inputs if tensor.dtype.is_complex):
                self.real.add(op.outputs[0].name)
            return
        handler = HANDLERS.get(op.type)
        if handler is None:
            raise ConversionError(
                f"node '{op.name}' computes {op.type} on complex values, which cannot be converted to real ones; "
                f"supported are {', '.join(sorted([*HANDLERS, *STRUCTURAL]))}"
            )
        handler(self, op)

    def pair(self, tensor: tf.Tensor) -> Pair:
        return self.pairs[tensor.name]

    def node(self, op_type: str, name: str, *inputs: str) -> str:
        """Adds a float op on float inputs, and returns the name of its output."""
        node = self.graph_def.node.add(op=op_type, name=name, input=inputs)
        node.attr["T"].type = tf.float32.as_datatype_enum
        return name

    def const(self, name: str, value: NDArray[np.float32]) -> str:
        node = self.graph_def.node.add(op="Const", name=name)
        node.attr["dtype"].type = tf.float32.as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, tf.float32))
        return name

    def _part(self, op: tf.Operation, part: int) -> str:
        """A copy of a structural op for one part."""
        node = self.graph_def.node.add()
        node.CopyFrom(op.node_def)
        node.name = f"{op.name}{PARTS[part]}"
        inputs = [self.pairs[t.name][part] if t.name in self.pairs else t.name for t in op.inputs]
        del node.input[:]
        node.input.extend(inputs)
        for attribute in node.attr.values():
            if attribute.type in (tf.complex64.as_datatype_enum, tf.complex128.as_datatype_enum):
                attribute.type = tf.float32.as_datatype_enum
        node.attr.pop("_output_shapes", None)
        return str(node.name)


def _const(graph: _Splitter, op: tf.Operation) -> None:
    value = tf.make_ndarray(op.get_attr("value"))
    if not value.imag.any():
        graph.real.add(op.outputs[0].name)
    real = graph.const(f"{op.name}{PARTS[0]}", value.real.astype(np.float32))
    graph.pairs[op.outputs[0].name] = (real, graph.const(f"{op.name}{PARTS[1]}", value.imag.astype(np.float32)))


def _rfft(graph: _Splitter, op: tf.Operation) -> None:
    samples = op.inputs[0].shape[-1]
    nfft = tf.get_static_value(op.inputs[1])
    if samples is None or nfft is None:
        raise ConversionError(f"node '{op.name}' is an RFFT whose length is not constant")
    cosines, sines = dft_matrices(samples, int(nfft[0]))
    real = graph.const(f"{op.name}/cosines", cosines)
    imag = graph.const(f"{op.name}/sines", sines)
    signal = op.inputs[0].name
    graph.pairs[op.outputs[0].name] = (
        graph.node("BatchMatMulV2", f"{op.name}{PARTS[0]}", signal, real),
        graph.node("BatchMatMulV2", f"{op.name}{PARTS[1]}", signal, imag),
    )


def _real(graph: _Splitter, op: tf.Operation) -> None:
    graph.node("Identity", op.name, graph.pair(op.inputs[0])[0])


def _imag(graph: _Splitter, op: tf.Operation) -> None:
    graph.node("Identity", op.name, graph.pair(op.inputs[0])[1])


def _shape(graph: _Splitter, op: tf.Operation) -> None:
    node = graph.graph_def.node.add()
    node.CopyFrom(op.node_def)
    node.input[0] = graph.pair(op.inputs[0])[0]
    node.attr["T"].type = tf.float32.as_datatype_enum


def _abs(graph: _Splitter, op: tf.Operation) -> None:
    squares = [graph.node("Mul", f"{op.name}/{i}", part, part) for i, part in enumerate(graph.pair(op.inputs[0]))]
    graph.node("Sqrt", op.name, graph.node("AddV2", f"{op.name}/power", *squares))


def _mul(graph: _Splitter, op: tf.Operation) -> None:
    (a, b), (c, d) = (graph.pair(tensor) for tensor in op.inputs)

    def product(name: str, left: str, right: str) -> str:
        return graph.node("Mul", f"{op.name}{name}", left, right)

    for scale, parts in ((0, (c, d)), (1, (a, b))):
        if op.inputs[scale].name in graph.real:
            factor = (a, c)[scale]
            graph.pairs[op.outputs[0].name] = (product(PARTS[0], parts[0], factor), product(PARTS[1], parts[1], factor))
            return
    real = graph.node("Sub", f"{op.name}{PARTS[0]}", product("/ac", a, c), product("/bd", b, d))
    graph.pairs[op.outputs[0].name] = (
        real,
        graph.node("AddV2", f"{op.name}{PARTS[1]}", product("/ad", a, d), product("/bc", b, c)),
    )


def _partwise(graph: _Splitter, op: tf.Operation) -> None:
    """Sums and differences."""
    left, right = (graph.pair(tensor) for tensor in op.inputs)
    graph.pairs[op.outputs[0].name] = (
        graph.node(op.type, f"{op.name}{PARTS[0]}", left[0], right[0]),
        graph.node(op.type, f"{op.name}{PARTS[1]}", left[1], right[1]),
    )


HANDLERS: dict[str, Callable[[_Splitter, tf.Operation], None]] = {
    "AddV2": _partwise,
    "ComplexAbs": _abs,
    "Const": _const,
    "Imag": _imag,
    "Mul": _mul,
    "RFFT": _rfft,
    "Real": _real,
    "Shape": _shape,
    "Sub": _partwise,
}
