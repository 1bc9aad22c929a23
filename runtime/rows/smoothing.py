"""Class scores smoothed over time, within each recording."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from runtime.rows.block import Block, Columns

Scores = NDArray[np.float32]


def smoothed(blocks: Iterable[Block], columns: Columns, weights: Sequence[float] | None) -> Iterator[Block]:
    """The same rows, whose scores in class heads are weighted means over neighbouring rows of the same recording.

    Rows without a score stay so and do not count; at a recording's ends the weights of missing neighbours are left out.
    """
    if weights is None:
        yield from blocks
        return
    heads = [name for name in columns.shapes if columns.classes.get(name)]
    for _, parts in itertools.groupby(_unbroken(blocks, columns), itemgetter(0)):
        yield from _smoothed((part for _, part in parts), heads, weights)


def _unbroken(blocks: Iterable[Block], columns: Columns) -> Iterator[tuple[object, Block]]:
    """Blocks of rows that follow one another, each with what says which of them belong together."""
    hop_s, run, last = columns.hop_s_with_gaps, 0, (("", ""), 0.0)
    for block in blocks:
        own = block.path, block.name
        if hop_s is None or not len(block):
            yield own, block
            continue
        starts = np.concatenate([[last[1] if last[0] == own else -np.inf], block.start_s])
        breaks = np.flatnonzero(np.diff(starts) > 1.5 * hop_s).tolist()
        for first, end in itertools.pairwise([0, *(each for each in breaks if each), len(block)]):
            run += first in breaks
            yield (own, run), block if (first, end) == (0, len(block)) else block.rows(np.arange(first, end))
        last = own, float(block.start_s[-1])


def _smoothed(parts: Iterable[Block], heads: Sequence[str], weights: Sequence[float]) -> Iterator[Block]:
    """The rows of one recording. A part waits only until enough rows after it have come."""
    reach = len(weights) // 2
    waiting: list[Block] = []
    before: dict[str, list[Scores]] = {name: [] for name in heads}  # the last scores before these, not smoothed
    for part in itertools.chain(parts, (None,)):
        waiting += [part] if part is not None else []
        while waiting and (part is None or sum(map(len, waiting[1:])) >= reach):
            block = waiting.pop(0)
            outputs = dict(block.outputs)
            for name in heads:
                first = sum(map(len, before[name]))
                after = [later.outputs[name] for later in waiting]
                scores = np.concatenate([*before[name], block.outputs[name], *after])
                outputs[name] = _averaged(scores[: first + len(block) + reach], weights)[first : first + len(block)]
                before[name] = [scores[max(0, first + len(block) - reach) : first + len(block)]]
            yield replace(block, outputs=outputs)


def _averaged(scores: Scores, weights: Sequence[float]) -> Scores:
    """Weighted means along the first axis of `[rows, classes]`; NaN stays and does not count.

    sum(w_k x_k) / sum(w_k), written as x_0 + sum(w_k (x_k - x_0)) / sum(w_k) so that constants stay the same bits.
    """
    reach, finite = len(weights) // 2, np.isfinite(scores)
    values = np.where(finite, scores, 0)
    total, weight = np.zeros_like(values), np.zeros_like(values)
    for shift, factor in enumerate(np.array(weights, np.float32), -reach):
        if abs(shift) >= len(scores):
            continue
        to, of = (
            slice(max(0, -shift), len(scores) - max(0, shift)),
            slice(max(0, shift), len(scores) - max(0, -shift)),
        )
        total[to] += factor * finite[of] * (values[of] - values[to])
        weight[to] += factor * finite[of]
    return np.where(finite, values + total / np.maximum(weight, np.finfo(np.float32).tiny), np.nan)
