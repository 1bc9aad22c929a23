"""Rows of several windows, against the rule written out."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.audio.overlap import Overlap
from runtime.workers.combining import Combiner
from runtime.workers.protocol import Rows

HOP, COUNT = 500, 9
OVERLAPS = {
    "pool": Overlap.pooled(250, HOP),
    "finer pool": Overlap.pooled(100, HOP),
    "shifts": Overlap.shifted([0, 50, -50], HOP),
    "shifts onto neighbours": Overlap.shifted([0, 300, -200], HOP),
}


def expected(overlap: Overlap, values: dict[int, float | None], how: str, count: int | None) -> dict[int, float | None]:
    """Rows of these windows: None is a window, or a row, without a score. Windows that did not come are not there."""
    rows: dict[int, float | None] = {}
    for row in range(COUNT):
        own = row * HOP
        starts = [own + offset for offset in overlap.offsets]
        if overlap.clamped:
            starts = [max(start, 0) if count != row + 1 else min(max(start, 0), own) for start in starts]
        scores = [value for start in starts if (value := values.get(start)) is not None]
        if own in values:
            rows[row] = (max(scores) if how == "max" else sum(scores) / len(scores)) if scores else None
    return rows


def combined(overlap: Overlap, values: dict[int, float | None], how: str, count: int | None, seed: int) -> list[Rows]:
    """The same, by the combiner: windows come in pieces, and not in order."""
    rng = np.random.default_rng(seed)
    starts = rng.permutation(list(values)) if seed else np.array(list(values))
    maxima, dtypes = ["label"] if how == "max" else [], {"embedding": "float16"}
    combiner, pieces = Combiner(overlap, maxima, dtypes), list[Rows]()
    for piece in np.array_split(starts, 5):
        scored = np.array([values[start] is not None for start in piece.tolist()], bool)
        label = np.array([[values[start] or np.nan, 0.1] for start in piece.tolist()], np.float32).reshape(-1, 2)
        label[~scored] = np.nan
        pieces += combiner.add(Rows(piece, {"label": label, "embedding": label}, scored))
    return [*pieces, *combiner.rest(count)]


@pytest.mark.parametrize("overlap", OVERLAPS.values(), ids=list(OVERLAPS))
@pytest.mark.parametrize("how", ["max", "mean"])
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("count", [COUNT, None])
def test_rows_are_those_of_the_rule_in_whatever_order_windows_come(
    overlap: Overlap, how: str, seed: int, count: int | None
) -> None:
    rng = np.random.default_rng(seed)
    starts = [start for start in overlap.starts(range(COUNT)) if start <= (COUNT - 1) * HOP]
    values: dict[int, float | None] = {start: float(rng.uniform(0.5, 1)) for start in starts}
    for start in (0, 1000, *overlap.starts_of(4)):
        values[start] = None
    for start in (1500, 2950, 2750):  # were not recorded
        values.pop(start, None)
    rows = expected(overlap, values, how, count)
    pieces = combined(overlap, values, how, count, seed)
    found = {row: (piece, at) for piece in pieces for at, row in enumerate(piece.indices.tolist())}
    assert sum(len(piece.indices) for piece in pieces) == len(found)
    assert found.keys() == rows.keys()
    assert rows[4] is None
    for row, score in rows.items():
        piece, at = found[row]
        assert piece.scored[at] == (score is not None)
        mean = expected(overlap, values, "mean", count)[row]
        np.testing.assert_allclose(piece.outputs["label"][at, 0], np.nan if score is None else score, rtol=1e-6)
        np.testing.assert_allclose(piece.outputs["embedding"][at, 0], np.nan if mean is None else mean, rtol=2e-3)
        assert score is None or piece.outputs["label"][at, 1] == np.float32(0.1)  # a constant stays the same bits
    assert pieces[0].outputs["embedding"].dtype == np.float16
    assert sum(piece.windows for piece in pieces) == len(values)


def test_what_halves_hold_is_decided_by_the_row_and_not_by_each_window() -> None:
    combiner = Combiner(Overlap.shifted([-1, 0, 1], 10), (), {"embedding": "float16"})
    windows = np.array([[7e4], [-7e4], [3]], np.float32)  # two of them are infinite as float16
    (row,) = combiner.add(Rows(np.array([9, 10, 11]), {"embedding": windows}, np.ones(3, bool)))
    assert row.outputs["embedding"].dtype == np.float16
    assert row.outputs["embedding"].tolist() == [[1.0]]
