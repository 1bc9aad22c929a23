"""Runs all passes over a graph, and what belongs between and after them: shapes, clean-up, names.

A pass is a function that edits an `onnx_ir` graph in place. It matches on structure alone, never on names that an
exporter chose, and leaves alone what it does not match.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import onnx_ir as ir
from onnx_ir.passes.common import DeduplicateInitializersPass, RemoveUnusedNodesPass, ShapeInferencePass

from convert import Device
from convert.passes.backbone.activations import recover_relu, recover_sigmoid
from convert.passes.backbone.batch_norm import fold_batch_norm
from convert.passes.backbone.gates import gate_by_map
from convert.passes.backbone.padding import fold_padding
from convert.passes.backbone.pooling import pool_by_sums
from convert.passes.backbone.squeeze_excite import dense_as_convolution, gate_channels_first, pool_channels_first
from convert.passes.batch.shapes import copy_batch, fold_shape_arithmetic
from convert.passes.frontend.dense import multiply_frames
from convert.passes.frontend.frames import frames_by_convolution
from convert.passes.frontend.powers import plain_powers
from convert.passes.frontend.smoothing import smooth_by_matrix
from convert.passes.frontend.spectrogram import fuse_spectrogram
from convert.passes.heads.deferral import defer_heads
from convert.passes.heads.groups import group_positions
from convert.passes.heads.normalisation import normalise_features_last
from convert.passes.heads.tiling import tile_prototypes
from convert.passes.rows import is_row_wise

Pass: TypeAlias = Callable[[ir.Graph], object]
PASSES: tuple[Pass, ...] = (
    # Constant targets come first: without them few shapes can be inferred, and almost all passes read shapes.
    fold_shape_arithmetic,
    # Squeeze-and-excite is recognised by its activations.
    recover_relu,
    recover_sigmoid,
    # The frontend: the spectrogram is fused from frames that a convolution cuts.
    frames_by_convolution,
    fuse_spectrogram,
    smooth_by_matrix,
    plain_powers,
    # Squeeze-and-excite: the dense layers become convolutions between a pooling and a gate that are channels-first.
    pool_channels_first,
    gate_channels_first,
    dense_as_convolution,
    # Now no Transpose stands between a convolution and its batch norm or padding.
    fold_batch_norm,
    fold_padding,
    # The batch gets one name in all shapes, since the last pass compares those of a norm and of what it divides. Gates
    # are looked for right before a convolution, where a padding may have stood.
    copy_batch,
    gate_by_map,
    normalise_features_last,
)


@dataclass(frozen=True)
class Form:
    """What is done otherwise for one device than for another; the files run on both.

    Attributes:
        instead: passes that take the place of one of `PASSES`.
        defer_heads: makes heads that a call can skip, once all other passes are done.
        prototype_heads: computes prototype heads; the last pass, on each variant by itself.
    """

    instead: Mapping[Pass, Pass]
    defer_heads: Pass
    prototype_heads: Pass


FORMS: Mapping[Device, Form] = {
    "cpu": Form({}, defer_heads, tile_prototypes),
    # Few large products instead of the least arithmetic; gates that stay small, for broadcasts; reductions that ONNX
    # Runtime has kernels of its own for; nothing that it hands to a kernel through the CPU's memory. Chosen from its
    # source, and not timed on a GPU yet.
    "cuda": Form(
        {
            fuse_spectrogram: multiply_frames,
            smooth_by_matrix: partial(smooth_by_matrix, by_blocks=False),
            gate_by_map: pool_by_sums,
        },
        partial(defer_heads, gather=False),
        group_positions,
    ),
}


def optimize(model: ir.Model, device: Device = "cpu") -> ir.Model:
    """Runs `PASSES`, with shapes inferred anew before each, and returns the model, which is changed in place."""
    for usual in PASSES:
        run = FORMS[device].instead.get(usual, usual)
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
    """Infers all shapes anew, as far as ONNX can, and returns the model, which is changed in place."""
    infer = ShapeInferencePass(check_type=False, strict_mode=False)
    _forget_shapes(model.graph)
    infer(model)
    if resized := _resized(model.graph):
        _forget_shapes(model.graph)
        for value, (shape, kind) in resized.items():
            value.shape, value.type = shape, kind
        infer(model)
    return model


def _forget_shapes(graph: ir.Graph) -> None:
    for node in graph:
        for value in node.outputs:
            if not value.is_graph_output():
                value.shape = value.type = None


def _resized(graph: ir.Graph) -> dict[ir.Value, tuple[ir.Shape, ir.TypeProtocol | None]]:
    """Shape and type of the outputs of each Resize that keeps the batch, whose name ONNX's inference loses there.

    By the name ONNX Runtime sees that a resized gate has the shape of the map that it multiplies.
    """
    batch = graph.inputs[0].shape[0] if graph.inputs[0].shape is not None else None
    if not isinstance(batch, ir.SymbolicDim):
        return {}
    resized = [node.outputs[0] for node in graph if node.op_type == "Resize" and is_row_wise(node, node.inputs[:1])]
    return {v: (ir.Shape([batch, *list(v.shape)[1:]]), v.type) for v in resized if v.shape is not None}


def name_by_place(graph: ir.Graph) -> None:
    """Names nodes by their op and position, and values by the node that makes or reads them.

    TensorFlow and tf2onnx count their names on from one conversion to the next, so that the same model would give
    another file each time.
    """
    fixed = {*graph.inputs, *graph.outputs}
    for i, value in enumerate([value for value in graph.initializers.values() if value not in fixed]):
        value.name = f"\0{i}"  # cannot collide with the names given below
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
    """Removes nodes and initializers that nothing reads, merges equal initializers, and sorts the nodes."""
    RemoveUnusedNodesPass()(model)
    DeduplicateInitializersPass()(model)
    model.graph.sort()
