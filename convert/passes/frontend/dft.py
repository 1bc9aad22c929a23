"""The windowed DFT of all frames in two small matrix products instead of a large one.

With n = cols * a + b and N = rows * cols, a bin k of an N-point DFT is

    X[k] = sum over b of exp(-2i pi b k / N) * Y[b, k mod rows]
    Y[b, r] = sum over a of x[cols * a + b] * exp(-2i pi a r / rows)

Samples are real, so Y[b, rows - r] is the conjugate of Y[b, r]. Half of Y is enough for all bins: those of r and of
rows - r form a group. For 318 bins of 640 samples this takes a seventh of the multiplications of the dense product.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_ir as ir

from convert.passes.edit import Array, attribute, insert, new_constant, new_ints
from convert.passes.frontend.frames import cut_into_steps

TOLERANCE = 1e-6
"""Greatest difference between the graph's kernels and a windowed DFT, relative to the greatest value."""


@dataclass(frozen=True)
class Factors:
    """A windowed DFT as two matrix products; there are half as many groups as `rows`."""

    window: Array
    """`[taps]`"""
    first: Array
    """`[groups * 2, taps / cols]`: from every `cols`-th sample to real and imaginary part of each group's Y."""
    second: Array
    """`[groups, 2 * bins, 2 * cols]`: from each group's Y to the real parts of its bins, then the imaginary ones."""
    order: Array
    """`[groups * bins]`: for each output its index among the kernels' bins; -1 for padding of a group."""


def factorise(kernels: list[Array], bins: Array, length: int) -> Factors | None:
    """Factors of the windowed DFT whose real and imaginary parts are two kernels `[bins, taps]`; None for others.

    The window is estimated from the kernels; windowed cosines and sines must then equal them to `TOLERANCE`.

    Args:
        bins: `[bins]`, the frequencies of the kernels' rows in multiples of 1 / length.
        length: of the DFT in samples, zero padding included.
    """
    if len(kernels) != 2:
        return None
    taps = kernels[0].shape[1]
    spectrum = kernels[0] + 1j * kernels[1]
    turns = np.exp(-2j * np.pi * (np.outer(bins, np.arange(taps)) % length) / length)
    window = (spectrum * turns.conj()).real.mean(axis=0)
    if np.abs(window * turns - spectrum).max() > TOLERANCE * np.abs(spectrum).max():
        return None
    splits = [n for n in range(4, length // 2, 2) if length % n == 0 and taps % (length // n) == 0]
    if not splits:
        return None
    # Multiplications of the first and of the second product. The first, whose sums span the frame, counts more: of two
    # splits that are about as fast, the one with fewer rows has less rounding error.
    rows = min(splits, key=lambda n: 5 * n * taps + 16 * len(bins) * length // n)
    return Factors(window, *_products(bins, taps, length, rows))


def _products(bins: Array, taps: int, length: int, rows: int) -> tuple[Array, Array, Array]:
    groups, cols = rows // 2, length // rows
    samples, columns = np.arange(taps // cols), np.arange(cols)
    turned = np.exp(-2j * np.pi * np.outer(np.arange(groups), samples) / rows)
    first = np.stack([turned.real, turned.imag], axis=1)
    first[0, 1] = (-1.0) ** samples  # Y[b, 0] and Y[b, groups] are real: they share a group
    remainders = bins % rows
    folded = np.where(remainders == groups, 0, np.minimum(remainders, rows - remainders))
    members = [np.flatnonzero(folded == group) for group in range(groups)]
    width = max(map(len, members))
    second = np.zeros((groups, 2, width, 2, cols))
    order = np.full((groups, width), -1)
    for group, indices in enumerate(members):
        order[group, : len(indices)] = indices
        for i, k in enumerate(bins[indices]):
            twiddle = np.exp(-2j * np.pi * (columns * k % length) / length)
            # The bin is the sum of twiddle * Y, Y real for the first group, conjugated for the mirrored remainders.
            if group == 0:
                parts = (twiddle, np.zeros(cols)) if k % rows == 0 else (np.zeros(cols), twiddle)
            else:
                parts = (twiddle, 1j * twiddle if k % rows == group else -1j * twiddle)
            second[group, 0, i] = np.real(parts)
            second[group, 1, i] = np.imag(parts)
        # Padded with a bin of the group, so that whatever is computed from the padding stays finite.
        second[group, :, len(indices) :] = second[group, :, :1]
    return first.reshape(rows, -1), second.reshape(groups, 2 * width, 2 * cols), order.reshape(-1)


def insert_factors(graph: ir.Graph, before: ir.Node, conv: ir.Node, factors: Factors) -> list[ir.Value] | None:
    """Inserts the products in place of a convolution that cuts frames.

    Returns real and imaginary parts, each `[batch, groups, bins, frames]`; None if the convolution has other attributes
    than strides and pads, or sizes are unknown.
    """
    taps, (stride, *_) = len(factors.window), attribute(conv, "strides", (1, 1))
    cut = cut_into_steps(graph, before, conv, taps)
    if cut is None:
        return None
    steps, frames, span = cut
    ints = partial(new_ints, graph, "dft/ints")

    def single(array: Array, name: str) -> ir.Value:
        return new_constant(graph, array.astype(np.float32), f"dft/{name}")

    columns = insert(before, "Transpose", [steps], {"perm": [0, 2, 1]})
    shifted = []
    for step in range(span):
        rows = min(stride, taps - step * stride)
        shifted.append(insert(before, "Slice", [columns, ints(0, step), ints(rows, step + frames), ints(1, 2)]))
    framed = insert(before, "Concat", shifted, {"axis": 1}) if span > 1 else shifted[0]
    windowed = insert(before, "Mul", [framed, single(factors.window[:, None], "window")])

    groups, outputs, inputs = factors.second.shape
    every = factors.first.shape[1]
    strided = insert(before, "Reshape", [windowed, ints(0, every, taps // every * frames)])
    halfway = insert(before, "MatMul", [single(factors.first, "first"), strided])
    grouped = insert(before, "Reshape", [halfway, ints(0, groups, inputs, frames)])
    bins = insert(before, "MatMul", [single(factors.second, "second"), grouped])
    half = outputs // 2
    bounds = ((0, half), (half, outputs))
    return [insert(before, "Slice", [bins, ints(start), ints(end), ints(2)]) for start, end in bounds]
