"""Batch norm folded into the convolution before it.

    (conv(x, weights) + bias) * scale + shift  ->  conv(x, weights * scale) + (bias * scale + shift)

Exported as Sub, Mul and Add with a constant per channel, batch norm costs three passes over memory and, worse, keeps
ONNX Runtime from its blocked layout (NCHWc).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from convert.passes.edit import Array, constant, insert, new_constant, only_consumer, replace, with_constant

MOST_SHIFT = 8.0
"""The greatest shift of a channel that is folded in one step, in standard deviations of its output."""


def fold_batch_norm(graph: ir.Graph) -> None:
    """Folds each run of Add, Sub, Mul and Div by a constant per channel into the Conv before it.

    Requires that nothing else reads the values between. Where means are many standard deviations from 0 (at the stem,
    since most of a log spectrogram lies at its floor), rounding `weights * scale` would shift whole channels. There
    only the mean is folded, and the rest becomes a depthwise convolution with one tap.
    """
    for conv in graph:
        kernel = constant(conv.inputs[1]) if conv.op_type == "Conv" else None
        if kernel is None or kernel.dtype != np.float32:
            continue
        last, scale, shift, first = _affine_after(conv)
        bias = _bias(conv, kernel.shape[0])
        if last is conv or bias is None:
            continue
        attributes = {name: attr.value for name, attr in conv.attributes.items()}
        weights = np.asarray(kernel, np.float64)
        if kernel.ndim == 4 and first.any() and np.abs(shift).max() > MOST_SHIFT:
            centred = _conv(graph, conv, last, conv.inputs[0], weights, bias + first, attributes)
            depthwise = {"group": len(scale), "kernel_shape": [1, 1]}
            taps = scale.reshape(-1, 1, 1, 1)
            folded = _conv(graph, conv, last, centred, taps, shift - scale * first, depthwise)
        else:
            weights = weights * scale.reshape(-1, *[1] * (weights.ndim - 1))
            folded = _conv(graph, conv, last, conv.inputs[0], weights, bias * scale + shift, attributes)
        replace(last.outputs[0], folded)


def _conv(
    graph: ir.Graph,
    original: ir.Node,
    before: ir.Node,
    data: ir.Value | None,
    weights: Array,
    bias: Array,
    attributes: dict[str, Any],
) -> ir.Value:
    arrays = ((weights, "weights"), (bias, "bias"))
    constants = [new_constant(graph, array.astype(np.float32), f"{original.name}/{what}") for array, what in arrays]
    return insert(before, "Conv", [data, *constants], attributes)


def _bias(conv: ir.Node, channels: int) -> Array | None:
    if len(conv.inputs) < 3 or conv.inputs[2] is None:
        return np.zeros(channels)
    return constant(conv.inputs[2])


def _affine_after(conv: ir.Node) -> tuple[ir.Node, Array, Array, Array]:
    """The last node of the run, and `scale`, `shift` and `first`, float64 `[channels]`.

    The run computes `scale * x + shift`. `first` is what it adds to x before it multiplies; `shift` includes it.
    """
    channels = np.asarray(constant(conv.inputs[1])).shape[0]
    rank = np.asarray(constant(conv.inputs[1])).ndim
    scale, shift, first = np.ones(channels), np.zeros(channels), None
    last = conv
    while (node := only_consumer(last.outputs[0])) is not None and node.op_type in ("Add", "Sub", "Mul", "Div"):
        operands = with_constant(node)
        per_channel = _per_channel(operands[1], channels, rank) if operands else None
        if per_channel is None:
            break
        reversed_ = node.inputs[0] is not last.outputs[0]
        if first is None and (node.op_type in ("Mul", "Div") or reversed_):
            first = shift
        if node.op_type == "Add":
            shift = shift + per_channel
        elif node.op_type == "Mul":
            scale, shift = scale * per_channel, shift * per_channel
        elif node.op_type == "Sub" and reversed_:
            scale, shift = -scale, per_channel - shift
        elif node.op_type == "Sub":
            shift = shift - per_channel
        elif reversed_:
            break
        else:
            scale, shift = scale / per_channel, shift / per_channel
        last = node
    return last, scale, shift, shift if first is None else first


def _per_channel(array: Array, channels: int, rank: int) -> Array | None:
    """A constant that is one number, or one per channel along axis 1, as float64 `[channels]`; else None."""
    if array.size == 1:
        return np.full(channels, array.item(), np.float64)
    if array.ndim > rank:
        return None
    full = array.reshape((1,) * (rank - array.ndim) + array.shape)
    first = full[:1, :, *[slice(0, 1)] * (rank - 2)]
    # A graph for one window may hold constants that are broadcast already.
    if full.shape[0] != 1 or full.shape[1] != channels or not (full == first).all():
        return None
    return np.asarray(first.reshape(-1), np.float64)
