"""The random share: what a fair sample of the windows says of precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime.explore.evaluation import evaluate
from runtime.explore.label_files import Labels
from runtime.explore.labelled_rows import join
from runtime.explore.random_share import RandomShare, draw, estimate, interval
from runtime.explore.rows import open_rows
from tests.support.rows_files import write_rows

ROWS = [f"r{i // 10}_{i % 10 * 5 + 5}" for i in range(100)]
FAILED = 7
UNFAIR = False, None, None
ORDER = sorted((row_id for i, row_id in enumerate(ROWS) if i != FAILED), key=draw)


def share(folder: Path, labels: Labels, wrong: frozenset[str] = frozenset()) -> RandomShare | None:
    """Windows are given their labels; of these none is true in windows that are `wrong`."""
    rows = write_rows(folder / "out.parquet", np.ones((100, 2), np.float32), 10, status={FAILED: "failed"})
    files = [open_rows(rows)]
    labelled = join(files, labels)
    right = np.array([ROWS[i] not in wrong for i in labelled.rows[0]])
    return estimate(files, labelled, labelled.truth & right[:, None], labelled.truth)


def test_it_holds_all_answered_windows_up_to_the_last_one_drawn(tmp_path: Path) -> None:
    held = {row_id: frozenset("a" * (i % 2)) for i, row_id in enumerate(ORDER)}
    unsure = frozenset({ORDER[4], ORDER[15]})
    # Up to the tenth all but one have an answer, in whichever order they were served; those after it do not count.
    chosen = [*ORDER[:3], *ORDER[4:10], ORDER[30], ORDER[60], ROWS[FAILED]]
    rows = {row_id: held.get(row_id, frozenset("a")) for row_id in chosen if row_id not in unsure}
    random = frozenset({ORDER[0], ORDER[1], ORDER[4], ORDER[9]})
    found = share(tmp_path, Labels("l.csv", rows, unsure=unsure, random=random), frozenset({ORDER[5], ORDER[60]}))
    assert found is not None
    assert (found.windows, found.unsure, found.unanswered) == (9, 1, 1)
    assert (found.given, found.right, found.precision) == (4, 3, 3 / 4)
    assert (found.low, found.high) == interval(3, 4)
    assert {name: (of.windows, of.share) for name, of in found.species.items()} == {"a": (4, 4 / 8)}
    said = found.report(0.9)
    assert "random share: 8 windows labelled, 1 unsure, 1 not answered" in said
    assert "give 4 species in these windows, 3 of them rightly" in said and "too few to say more" in said


def test_there_is_none_without_windows_in_random_order(tmp_path: Path) -> None:
    labels = Labels("l.csv", dict.fromkeys(ORDER, frozenset("a")), unsure=frozenset({ORDER[3]}))
    assert share(tmp_path, labels) is None


@pytest.mark.parametrize("unsure", [0, 5])
def test_windows_without_a_label_make_it_unfair(unsure: int, tmp_path: Path) -> None:
    rows = dict.fromkeys([*ORDER[:15], ORDER[20]], frozenset("a"))
    labels = Labels("l.csv", rows, unsure=frozenset(ORDER[15 : 15 + unsure]), random=frozenset({ORDER[20]}))
    found = share(tmp_path, labels)
    assert found is not None
    assert (found.windows, found.unanswered, found.fair, found.precision, found.low) == (
        16 + unsure,
        5 - unsure,
        *UNFAIR,
    )
    assert found.report(0.9).endswith("too many of its windows have no label for a fair sample: label more of them")
    assert not found.species


def test_it_says_how_the_precision_compares_with_what_was_asked_for(tmp_path: Path) -> None:
    rows = dict.fromkeys(ORDER[:60], frozenset("a"))
    labels = Labels("l.csv", {**rows, ORDER[70]: frozenset("b")}, random=frozenset({ORDER[59]}))
    found = share(tmp_path, labels, frozenset(ORDER[:20]))
    assert found is not None
    assert (found.given, found.right, found.precision) == (60, 40, 2 / 3)
    assert "not like the others" in found.report(0.9)
    assert found.report(0.7).splitlines()[1].endswith("which agrees with the 0.7 asked for")
    nothing = share(tmp_path, Labels("l.csv", dict.fromkeys(ORDER, frozenset()), random=frozenset(ORDER[:9])))
    assert nothing is not None
    assert (nothing.given, nothing.precision, nothing.species) == (0, None, {})
    assert "so precision is unknown" in nothing.report(0.9)


@pytest.mark.parametrize(("hits", "count"), [(0, 10), (6, 8), (40, 60), (10, 10)])
def test_the_interval_is_wilsons(hits: int, count: int) -> None:
    z, p = 1.959963984540054, hits / count
    middle, half = p + z**2 / (2 * count), z * (p * (1 - p) / count + z**2 / (4 * count**2)) ** 0.5
    np.testing.assert_allclose(interval(hits, count), (np.array([middle - half, middle + half])) / (1 + z**2 / count))


def test_it_finds_what_windows_chosen_for_their_species_hide(tmp_path: Path) -> None:
    """A tenth of all windows hold the species, and two thirds of those that were not labelled in random order."""
    row_ids = [f"r{i // 10}_{i % 10 * 5 + 5}" for i in range(600)]
    order = sorted(range(600), key=lambda row: draw(row_ids[row]))
    counts = np.zeros((3, 2), np.int64)  # cross-validated, the random share, new windows: given, and rightly
    for seed in range(6):
        rng = np.random.default_rng(seed)
        way, held = rng.standard_normal(16), rng.random(10_600) < 0.1
        embedding = (0.8 * np.outer(held, way) + rng.standard_normal((10_600, 16))).astype(np.float32)
        files = [open_rows(write_rows(tmp_path / "out.parquet", embedding[:600], 10))]
        with_it, without = ([row for row in order[120:] if held[row] == which] for which in (True, False))
        labelled = [*order[:120], *with_it[:40], *without[:20]]
        rows = {row_ids[row]: frozenset("x" * int(held[row])) for row in labelled}
        labels = Labels("labels.csv", rows, random=frozenset(row_ids[row] for row in order[:120]))
        found = evaluate(files, labels, 0.8)
        given = found.probabilities_of(embedding[600:])[:, 0] >= found.thresholds[0]
        assert found.random is not None
        counts += [
            (found.given.sum(), (found.given & found.truth).sum()),
            (found.random.given, found.random.right),
            (given.sum(), (given & held[600:]).sum()),
        ]
    tested, shared, true = counts[:, 1] / counts[:, 0]
    assert tested > true + 0.1
    assert shared == pytest.approx(true, abs=0.1)
