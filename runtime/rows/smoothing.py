"""Scores of a window and its neighbours in time, taken together."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from runtime.rows.block import Block, Columns

Scores = NDArray[np.float32]


def smoothed(blocks: Iterable[Block], columns: Columns, weights: Sequence[float] | None) -> Iterator[Block]:
    """The same rows, in class heads each with the weighted mean of its neighbours in the same recording.

    Rows without a score neither get one nor count; at a recording's ends the neighbours that are there count.
    """
    if weights is None:
        yield from blocks
        return
    heads = [name for name in columns.shapes if columns.classes.get(name)]
    for _, parts in itertools.groupby(blocks, lambda block: block.path):
        yield from _smoothed(parts, heads, weights)


def _smoothed(parts: Iterable[Block], heads: Sequence[str], weights: Sequence[float]) -> Iterator[Block]:
    """One recording's rows; of a long one no more is held than a part needs after it."""
    reach = len(weights) // 2
    held: list[Block] = []
    before: dict[str, list[Scores]] = {name: [] for name in heads}  # the last scores that went out, as they were
    for part in itertools.chain(parts, (None,)):
        held += [part] if part is not None else []
        while held and (part is None or sum(map(len, held[1:])) >= reach):
            block = held.pop(0)
            outputs = dict(block.outputs)
            for name in heads:
                first = sum(map(len, before[name]))
                scores = np.concatenate([*before[name], block.outputs[name], *(later.outputs[name] for later in held)])
                outputs[name] = _averaged(scores[: first + len(block) + reach], weights)[first : first + len(block)]
                before[name] = [scores[max(0, first + len(block) - reach) : first + len(block)]]
            yield replace(block, outputs=outputs)


def _averaged(scores: Scores, weights: Sequence[float]) -> Scores:
    """Weighted means along the first axis; NaN stays and does not count.

    Written as a sum of differences from a row, so that what is constant stays as it is to the last bit.
    """
    reach, there = len(weights) // 2, np.isfinite(scores)
    known = np.where(there, scores, 0)
    total, weight = np.zeros_like(known), np.zeros_like(known)
    for shift, factor in enumerate(np.array(weights, np.float32), -reach):
        to, of = (
            slice(max(0, -shift), len(scores) - max(0, shift)),
            slice(max(0, shift), len(scores) - max(0, -shift)),
        )
        total[to] += factor * there[of] * (known[of] - known[to])
        weight[to] += factor * there[of]
    return np.where(there, known + total / np.maximum(weight, np.finfo(np.float32).tiny), np.nan)
