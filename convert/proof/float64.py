"""What a SavedModel gives in float64: the reference for what float32 rounds.

It is the graph that the SavedModel holds, with every float32 made float64: numbers that stand in it keep their value,
what it computes of them (windows, cosines, mel bands) is computed anew. Plain TensorFlow ops are run by TensorFlow
itself. StableHLO is evaluated operation by operation, as it is read for conversion but by NumPy, and none of the passes
that make a converted graph quick has touched it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import tensorflow as tf
from numpy.typing import NDArray

from convert.errors import ConversionError
from convert.source.saved_model import SavedModel
from convert.stablehlo.graph import Data, Graph
from convert.stablehlo.module import captured, stablehlo_text
from convert.stablehlo.tensor import known
from convert.stablehlo.text import Function, Op, literal, parse
from convert.stablehlo.translate import CALLS, MODULE, callee, translate
from convert.tf import ops as tf_ops
from runtime.errors import first_line

DOUBLED = {
    tf.float32.as_datatype_enum: tf.float64.as_datatype_enum,
    tf.complex64.as_datatype_enum: tf.complex128.as_datatype_enum,
}
BATCH = 4
Exact = NDArray[np.float64]


def in_float64(source: SavedModel, heads: Sequence[str], windows: NDArray[np.float32]) -> dict[str, Exact]:
    """Outputs of the SavedModel by head for `float32 [n, samples]`, computed in float64.

    Raises:
        ConversionError: the graph holds what has no float64 counterpart.
    """
    names = [output.name for output in (source.outputs if source.stablehlo is not None else source.usable_outputs)]
    places = [names.index(head) for head in heads]
    evaluate = _by_tensorflow if source.stablehlo is None else _by_numpy
    batches = np.split(
        windows, range(BATCH if source.free_batch else 1, len(windows), BATCH if source.free_batch else 1)
    )
    try:
        parts = [evaluate(source, places, batch.astype(np.float64)) for batch in batches]
    except Exception as error:  # whatever it is, the converted file is no worse for it
        raise ConversionError(
            f"{', '.join(map(repr, heads))} of {source.path} cannot be computed in float64: {first_line(error)}"
        ) from error
    return dict(zip(heads, map(np.concatenate, zip(*parts, strict=True)), strict=True))


def _by_tensorflow(source: SavedModel, places: Sequence[int], windows: Exact) -> list[Exact]:
    graph_def, input_name, outputs = tf_ops.frozen(source)
    wanted = [outputs[place] for place in places]
    graph_def = tf_ops.pruned(graph_def, wanted)
    for node in graph_def.node:
        node.attr.pop("_output_shapes", None)
        for attribute in node.attr.values():
            if attribute.HasField("list"):
                attribute.list.type[:] = [DOUBLED.get(kind, kind) for kind in attribute.list.type]
            elif attribute.HasField("type"):
                attribute.type = DOUBLED.get(attribute.type, attribute.type)
            elif attribute.HasField("tensor") and attribute.tensor.dtype in DOUBLED:
                values = tf.make_ndarray(attribute.tensor)
                attribute.tensor.CopyFrom(tf.make_tensor_proto(values, DOUBLED[attribute.tensor.dtype]))
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            return list(session.run(wanted, {input_name: windows}))


def _by_numpy(source: SavedModel, places: Sequence[int], windows: Exact) -> list[Exact]:
    functions = parse(stablehlo_text(source))
    others = captured(source)
    taken = _keep(functions, next(iter(functions)), places)
    for function in functions.values():
        _double(function.ops)
    arguments = [windows] + [np.zeros(())] * len(others)
    for i in taken - {-len(arguments)}:
        value = np.asarray(others[i].numpy())
        arguments[i] = value.astype(np.float64) if value.dtype == np.float32 else value
    graph = _Numbers(ir.val("inputs", dtype=ir.DataType.DOUBLE, shape=windows.shape))
    return [result.array() for result in translate(functions, graph, [known(argument) for argument in arguments])]


class _Numbers(Graph):
    """Where all is known: what would become nodes is computed at once."""

    def node(self, op_type: str, inputs: Sequence[Data | NDArray[Any] | None], **attributes: Any) -> Data:
        if op_type != "Conv":
            return super().node(op_type, inputs, **attributes)
        images, weights = (self._array(each) for each in inputs)
        return (_convolved(images, weights, **attributes),)

    @staticmethod
    def _array(data: Data | NDArray[Any] | None) -> NDArray[Any]:
        assert isinstance(data, tuple)
        return data[0]


def _convolved(
    images: NDArray[Any],
    weights: NDArray[Any],
    group: int,
    kernel_shape: list[int],
    strides: list[int],
    dilations: list[int],
    pads: list[int],
) -> NDArray[Any]:
    """ONNX's Conv of two axes; its reference implementation takes seconds for what has a group a channel."""
    top, left, bottom, right = pads
    reach = [(size - 1) * dilation + 1 for size, dilation in zip(kernel_shape, dilations, strict=True)]
    padded = np.pad(images, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, (2, 3))
    windows = windows[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
    batch, channels, high, wide, *taps = windows.shape
    grouped = windows.reshape(batch, group, channels // group, high, wide, *taps).transpose(0, 1, 3, 4, 2, 5, 6)
    kernels = weights.reshape(group, len(weights) // group, -1).transpose(0, 2, 1)
    found = grouped.reshape(batch, group, high * wide, -1) @ kernels
    return found.transpose(0, 1, 3, 2).reshape(batch, len(weights), high, wide)


def _keep(functions: dict[str, Function], name: str, places: Sequence[int]) -> set[int]:
    """Drops what a function's results at these places are not computed from, also in functions called for them.

    Returns the places of the arguments that it takes, counted from the last one, which is -1.
    """
    function = functions[name]
    *ops, end = function.ops
    wanted = [end.operands[place] for place in places]
    end.header = ", ".join(wanted)
    read, taken, kept = {*wanted}, {*wanted}, [end]
    for op in reversed(ops):
        if read.isdisjoint(op.results):
            continue
        kept.append(op)
        operands, results = op.operands, [result for result in op.results if result in taken]
        if 0 < len(results) < len(op.results) and op.name in {MODULE, *CALLS}:
            inner = _keep(functions, callee(op), [op.results.index(result) for result in results])
            taken.update(operands[i] for i in inner)
            op.results = results
        elif results:
            taken.update(_names([op]))
        read.update(_names([op]))
    function.ops = kept[::-1]
    return {i - len(function.arguments) for i, argument in enumerate(function.arguments) if argument in taken}


def _names(ops: Sequence[Op]) -> set[str]:
    """All values that operations read, regions included."""
    return {name for op in ops for name in op.operands}.union(*(_names(r.ops) for op in ops for r in op.regions))


def _double(ops: Sequence[Op]) -> None:
    """Makes float64 of all float32, numbers as they are in float32."""
    for op in ops:
        if op.name == "stablehlo.constant" and "f32" in op.types:
            values = literal(op)
            wide = values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)
            op.header = f'dense<"0x{wide.tobytes().hex()}">'
        op.types = op.types.replace("f32", "f64")
        for region in op.regions:
            _double(region.ops)
