"""Whose rounding it is where the spectrograms of TensorFlow and ONNX Runtime differ: each against float64.

The reference is the graph that the SavedModel holds, with every float32 made float64: numbers that stand in it keep
their value, what it computes of them (windows, cosines, mel bands) is computed anew. Plain TensorFlow ops are run by
TensorFlow itself. StableHLO is evaluated operation by operation, as it is read for conversion but by NumPy, and none of
the passes that make a converted graph quick has touched it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import tensorflow as tf
from numpy.typing import NDArray

from convert import tf_ops
from convert.errors import ConversionError, first_line
from convert.saved_model import SavedModel
from convert.stablehlo.graph import Graph
from convert.stablehlo.module import captured, stablehlo_text
from convert.stablehlo.tensor import known
from convert.stablehlo.text import Function, Op, literal, parse
from convert.stablehlo.translate import CALLS, MODULE, callee, translate
from runtime.session import Session

HEADS = ("frontend", "spectrogram")
DOUBLED = {tf.float32.as_datatype_enum: tf.float64, tf.complex64.as_datatype_enum: tf.complex128}
Exact = NDArray[np.float64]


@dataclass(frozen=True)
class Rounding:
    """A spectrogram's greatest absolute differences, over the range of its float64 values.

    `tensorflow` and `onnx` are how far each is from float64, `between` how far they are from each other.
    """

    head: str
    windows: int
    tensorflow: float
    onnx: float
    between: float


def rounding(
    source: SavedModel, session: Session, tensorflow: NDArray[np.float32], windows: NDArray[np.float32]
) -> Rounding | None:
    """Compares the spectrogram of `float32 [n, samples]`, of which `tensorflow` are TensorFlow's values.

    None where the SavedModel or the artifact gives no spectrogram.

    Raises:
        ConversionError: the graph holds what has no float64 counterpart.
    """
    named = {output.name for output in source.outputs} & session.artifact.heads.keys()
    head = next((name for name in HEADS if name in named), None)
    if head is None:
        return None
    exact = in_float64(source, head, windows)
    (onnx,) = session(windows, [head])
    span = float(np.ptp(exact)) or 1.0

    def apart(a: NDArray[Any], b: NDArray[Any]) -> float:
        return float(np.abs(a.astype(np.float64) - b).max()) / span

    return Rounding(head, len(windows), apart(tensorflow, exact), apart(onnx, exact), apart(onnx, tensorflow))


def in_float64(source: SavedModel, head: str, windows: NDArray[np.float32]) -> Exact:
    """One output of the SavedModel, computed in float64.

    Raises:
        ConversionError: the graph holds what has no float64 counterpart.
    """
    place = [output.name for output in source.outputs].index(head)
    evaluate = _by_tensorflow if source.stablehlo is None else _by_numpy
    batches = [windows] if source.free_batch else np.split(windows, len(windows))
    try:
        return np.concatenate([evaluate(source, place, batch.astype(np.float64)) for batch in batches])
    except (ConversionError, tf.errors.OpError, ValueError, TypeError) as error:
        raise ConversionError(
            f"'{head}' of {source.path} cannot be computed in float64: {first_line(error)}"
        ) from error


def _by_tensorflow(source: SavedModel, place: int, windows: Exact) -> Exact:
    graph_def, input_name, outputs = tf_ops.frozen(source)
    graph_def = tf_ops.pruned(graph_def, [outputs[place]])
    for node in graph_def.node:
        node.attr.pop("_output_shapes", None)
        for attribute in node.attr.values():
            attribute.list.type[:] = [_doubled_type(kind) for kind in attribute.list.type]
            if attribute.HasField("type"):
                attribute.type = _doubled_type(attribute.type)
            if attribute.HasField("tensor") and attribute.tensor.dtype in DOUBLED:
                values = tf.make_ndarray(attribute.tensor)
                attribute.tensor.CopyFrom(tf.make_tensor_proto(values, DOUBLED[attribute.tensor.dtype]))
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            return np.asarray(session.run(outputs[place], {input_name: windows}))


def _doubled_type(kind: int) -> int:
    return DOUBLED[kind].as_datatype_enum if kind in DOUBLED else kind


def _by_numpy(source: SavedModel, place: int, windows: Exact) -> Exact:
    functions = parse(stablehlo_text(source))
    others = captured(source)
    taken = _keep(functions, next(iter(functions)), place)
    for function in functions.values():
        _double(function.ops)
    arguments = [windows] + [np.zeros(())] * len(others)
    for i in taken - {-len(arguments)}:
        value = np.asarray(others[i].numpy())
        arguments[i] = value.astype(np.float64) if value.dtype == np.float32 else value
    # Of known values the translator computes all that it would make nodes for.
    graph = Graph(ir.val("inputs", dtype=ir.DataType.DOUBLE, shape=windows.shape))
    (result,) = translate(functions, graph, [known(argument) for argument in arguments])
    return result.array()


def _keep(functions: dict[str, Function], name: str, place: int) -> set[int]:
    """Drops what a function's result is not computed from, also in the function that it calls for it.

    Returns the places of the arguments that it takes, counted from the last one, which is -1.
    """
    function = functions[name]
    *ops, end = function.ops
    end.header = end.operands[place]
    read, taken, kept = {end.header}, {end.header}, [end]
    for op in reversed(ops):
        if read.isdisjoint(op.results):
            continue
        kept.append(op)
        operands, results = op.operands, taken.intersection(op.results)
        if len(op.results) > 1 and len(results) == 1 and op.name in {MODULE, *CALLS}:
            (result,) = results
            taken.update(operands[i] for i in _keep(functions, callee(op), op.results.index(result)))
            op.results = [result]
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
