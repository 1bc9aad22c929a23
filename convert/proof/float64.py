"""A SavedModel computed in float64: the reference that shows how much float32 rounds.

It is the graph of the SavedModel with float64 in place of float32: numbers in it keep their value, and what it computes
from them (windows, cosines, mel bands) is computed in float64. Plain TensorFlow ops are run by TensorFlow itself.
StableHLO is evaluated operation by operation, read as for a conversion but computed by NumPy, and convolutions by
TensorFlow; none of the passes that make a converted graph fast is applied.
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
from convert.stablehlo.tensor import constant
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
        ConversionError: part of the graph cannot be computed in float64.
    """
    names = [output.name for output in (source.outputs if source.stablehlo is not None else source.usable_outputs)]
    indices = [names.index(head) for head in heads]
    evaluate = _by_tensorflow if source.stablehlo is None else _by_numpy
    batches = np.split(
        windows, range(BATCH if source.free_batch else 1, len(windows), BATCH if source.free_batch else 1)
    )
    try:
        parts = [evaluate(source, indices, batch.astype(np.float64)) for batch in batches]
    except Exception as error:  # of any class; the converted file is no worse for it
        raise ConversionError(
            f"{', '.join(map(repr, heads))} of {source.path} cannot be computed in float64: {first_line(error)}"
        ) from error
    return dict(zip(heads, map(np.concatenate, zip(*parts, strict=True)), strict=True))


def _by_tensorflow(source: SavedModel, indices: Sequence[int], windows: Exact) -> list[Exact]:
    graph_def, input_name, outputs = tf_ops.frozen(source)
    wanted = [outputs[i] for i in indices]
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


def _by_numpy(source: SavedModel, indices: Sequence[int], windows: Exact) -> list[Exact]:
    functions = parse(stablehlo_text(source))
    variables = captured(source)
    used = _prune(functions, next(iter(functions)), indices)
    for function in functions.values():
        _double(function.ops)
    arguments = [windows] + [np.zeros(())] * len(variables)
    for i in used - {-len(arguments)}:
        value = np.asarray(variables[i].numpy())
        arguments[i] = value.astype(np.float64) if value.dtype == np.float32 else value
    graph = _Numbers(ir.val("inputs", dtype=ir.DataType.DOUBLE, shape=windows.shape))
    return [result.array() for result in translate(functions, graph, [constant(argument) for argument in arguments])]


class _Numbers(Graph):
    """A graph whose values are all constant: operations that would become nodes are computed instead."""

    def node(self, op_type: str, inputs: Sequence[Data | NDArray[Any] | None], **attributes: Any) -> Data:
        if op_type != "Conv":
            return super().node(op_type, inputs, **attributes)
        images, weights = (self._array(each) for each in inputs)
        return (_convolve(images, weights, **attributes),)

    @staticmethod
    def _array(data: Data | NDArray[Any] | None) -> NDArray[Any]:
        assert isinstance(data, tuple)
        return data[0]


def _convolve(
    images: NDArray[Any], weights: NDArray[Any], strides: list[int], dilations: list[int], pads: list[int], **_: Any
) -> NDArray[Any]:
    """ONNX's Conv over two axes; its reference implementation takes seconds if each channel is a group."""
    top, left, bottom, right = pads
    padded = np.pad(images, ((0, 0), (0, 0), (top, bottom), (left, right))).transpose(0, 2, 3, 1)
    convolved = tf.nn.conv2d(padded, weights.transpose(2, 3, 1, 0), strides, "VALID", dilations=dilations)
    return np.asarray(convolved).transpose(0, 3, 1, 2)


def _prune(functions: dict[str, Function], name: str, indices: Sequence[int]) -> set[int]:
    """Keeps of a function only its results at these indices and what they depend on, in functions it calls too.

    Returns the indices of the arguments that it uses, counted from the last one, which is -1.
    """
    function = functions[name]
    *ops, end = function.ops
    wanted = [end.operands[i] for i in indices]
    end.header = ", ".join(wanted)
    read, used, kept = {*wanted}, {*wanted}, [end]
    for op in reversed(ops):
        if read.isdisjoint(op.results):
            continue
        kept.append(op)
        operands, results = op.operands, [result for result in op.results if result in used]
        if 0 < len(results) < len(op.results) and op.name in {MODULE, *CALLS}:
            inner = _prune(functions, callee(op), [op.results.index(result) for result in results])
            used.update(operands[i] for i in inner)
            op.results = results
        elif results:
            used.update(_names([op]))
        read.update(_names([op]))
    function.ops = kept[::-1]
    return {i - len(function.arguments) for i, argument in enumerate(function.arguments) if argument in used}


def _names(ops: Sequence[Op]) -> set[str]:
    """All values that operations read, including in their regions."""
    return {name for op in ops for name in op.operands}.union(*(_names(r.ops) for op in ops for r in op.regions))


def _double(ops: Sequence[Op]) -> None:
    """Turns float32 into float64; numbers keep the value they have in float32."""
    for op in ops:
        if op.name == "stablehlo.constant" and "f32" in op.types:
            values = literal(op)
            wide = values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)
            op.header = f'dense<"0x{wide.tobytes().hex()}">'
        op.types = op.types.replace("f32", "f64")
        for region in op.regions:
            _double(region.ops)
