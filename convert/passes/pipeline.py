"""Graph to graph, each pass matching on structure and leaving alone what it does not know.

Passes edit an `onnx_ir` graph in place; `optimize` runs all of them in the order in which they prepare for each other.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir
from onnx_ir.passes.common import DeduplicateInitializersPass, RemoveUnusedNodesPass, ShapeInferencePass

from convert.passes.backbone.activations import recover_relu, recover_sigmoid
from convert.passes.backbone.batch_norm import fold_batch_norm
from convert.passes.backbone.gates import gate_by_map
from convert.passes.backbone.padding import fold_padding
from convert.passes.backbone.squeeze_excite import dense_as_convolution, gate_channels_first, pool_channels_first
from convert.passes.batch.shapes import copy_batch, fold_shape_arithmetic
from convert.passes.edit import constant
from convert.passes.frontend.frames import frames_by_convolution
from convert.passes.frontend.powers import plain_powers
from convert.passes.frontend.smoothing import smooth_by_matrix
from convert.passes.frontend.spectrogram import fuse_spectrogram
from convert.passes.heads.normalisation import unit_features_last

PASSES = (
    fold_shape_arithmetic,
    recover_relu,
    recover_sigmoid,
    frames_by_convolution,
    fuse_spectrogram,
    smooth_by_matrix,
    plain_powers,
    pool_channels_first,
    gate_channels_first,
    dense_as_convolution,
    fold_batch_norm,
    fold_padding,
    copy_batch,
    gate_by_map,
    unit_features_last,
)


def optimize(model: ir.Model) -> ir.Model:
    """All passes over the whole graph, with shapes inferred anew before each."""
    for run in PASSES:
        model = infer_shapes(model)
        run(model.graph)
        clean(model)
    return infer_shapes(model)


def rewritten(model: ir.Model, rewrite: Callable[[ir.Graph], object]) -> ir.Model:
    """A copy of an optimised model after one more rewrite, such as to float16; the model itself is left as it is."""
    copy = ir.from_proto(ir.to_proto(model))
    rewrite(copy.graph)
    RemoveUnusedNodesPass()(copy)
    copy.graph.sort()
    return infer_shapes(copy)


def infer_shapes(model: ir.Model) -> ir.Model:
    """Finds every shape that ONNX can tell, anew; returns the model, which is changed in place."""
    infer = ShapeInferencePass(check_type=False, strict_mode=False)
    _forget_shapes(model.graph)
    infer(model)
    if named := _batch_kept(model.graph):
        _forget_shapes(model.graph)
        for value, (shape, kind) in named.items():
            value.shape, value.type = shape, kind
        infer(model)
    return model


def _forget_shapes(graph: ir.Graph) -> None:
    for node in graph:
        for value in node.outputs:
            if not value.is_graph_output():
                value.shape = value.type = None


def _batch_kept(graph: ir.Graph) -> dict[ir.Value, tuple[ir.Shape, ir.TypeProtocol | None]]:
    """Shape and type of what is resized by a scale of 1 along the batch, whose name ONNX's inference drops there.

    With the name ONNX Runtime sees that what is resized has the shape of what it then multiplies.
    """
    batch = graph.inputs[0].shape[0] if graph.inputs[0].shape is not None else None
    resized = [node.outputs[0] for node in graph if node.op_type == "Resize" and _keeps_batch(node)]
    if not isinstance(batch, ir.SymbolicDim):
        return {}
    return {v: (ir.Shape([batch, *list(v.shape)[1:]]), v.type) for v in resized if v.shape is not None}


def _keeps_batch(resize: ir.Node) -> bool:
    scales = constant(resize.inputs[2]) if len(resize.inputs) == 3 else None
    return scales is not None and scales[0] == 1


def name_by_place(graph: ir.Graph) -> None:
    """Names nodes and values by what they are and where they stand.

    TensorFlow's and tf2onnx's names are long and count on from one conversion to the next, so that the same model
    would give another file each time.
    """
    fixed = {*graph.inputs, *graph.outputs}
    for i, value in enumerate([value for value in graph.initializers.values() if value not in fixed]):
        value.name = f"\0{i}"  # out of the way of the names to come
    for i, node in enumerate(ir.traversal.RecursiveGraphIterator(graph)):
        node.name = f"{node.op_type}_{i}"
        for k, used in enumerate(node.inputs):
            if used is not None and used.is_initializer() and str(used.name).startswith("\0"):
                used.name = f"{node.name}.{k}"
        for k, output in enumerate(node.outputs):
            if output not in fixed:
                output.name = f"{node.name}:{k}"
        for body in (attr.as_graph() for attr in node.attributes.values() if attr.type == ir.AttributeType.GRAPH):
            body.name = f"{node.name}/body"
            for k, value in enumerate(body.inputs):
                value.name = f"{node.name}/{k}"


def clean(model: ir.Model) -> None:
    """Drops nodes and weights that nothing reads, and holds equal weights once."""
    RemoveUnusedNodesPass()(model)
    DeduplicateInitializersPass()(model)
    model.graph.sort()
