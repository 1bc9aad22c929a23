"""Several models' scores as one, by plain formulas written out here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest

from runtime import InputError, OutputError
from runtime.request.request import Request
from runtime.rows import blending
from runtime.rows.blending import Blend, ranks
from runtime.rows.block import Block, Columns, unscored
from runtime.rows.deadline import RANK_S, Deadline, FinalWork
from runtime.rows.postprocessing import Postprocessing
from runtime.rows.sinks import MemorySink

CLASSES = ("robin", "wren", "frog", "bat")
COLUMNS = Columns(
    shapes={"a.embedding": (2,), "a.label": (4,), "b.label": (4,)},
    classes={"a.embedding": (), "a.label": CLASSES, "b.label": CLASSES},
    about={"models": json.dumps({"a": {}, "b": {}}), "options": "{}"},
    constants={"a.label": frozenset({2, 3}), "b.label": frozenset({0, 3})},
)


def blocks() -> list[Block]:
    """Two recordings with 5 and 3 rows; the third row has no score, and what a model lacks is 7."""
    rng = np.random.default_rng(0)
    found = []
    for path, count in (("x.wav", 5), ("y.wav", 3)):
        values = {
            name: rng.integers(0, 4, (count, *shape)).astype(np.float32) for name, shape in COLUMNS.shapes.items()
        }
        values["a.label"][:, [2, 3]] = values["b.label"][:, [0, 3]] = 7
        status = np.full(count, "scored", "<U12")
        if count == 5:
            status[2] = "failed"
            for each in values.values():
                each[2] = np.nan
        times = np.arange(count) * 5.0
        found.append(Block(path, [f"{path[0]}_{i}" for i in range(count)], times, times + 5, status, values))
    return found


def blended(**options: object) -> tuple[Columns, np.ndarray]:
    """What is written of the blocks, and its label."""
    postprocessing = Postprocessing.of(COLUMNS, Request(**options))  # type: ignore[arg-type]
    read = postprocessing.rows(blocks)
    once, again = (np.concatenate([block.outputs["label"] for block in read()]) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert [list(block.outputs) for block in read()] == [["label", "a.embedding"]] * 2
    return postprocessing.written, once


def scores(output: str) -> np.ndarray:
    return np.concatenate([block.outputs[output] for block in blocks()])


def test_a_class_is_the_weighted_mean_over_the_models_that_have_it() -> None:
    a, b = scores("a.label"), scores("b.label")
    columns, label = blended(blend=(3, 1))
    np.testing.assert_array_equal(label[:, 0], a[:, 0])  # b lacks it
    np.testing.assert_allclose(label[:, 1], 0.75 * a[:, 1] + 0.25 * b[:, 1], rtol=1e-6)
    np.testing.assert_array_equal(label[:, 2], b[:, 2])  # a lacks it
    np.testing.assert_array_equal(label[:, 3], np.where(np.isnan(a[:, 3]), np.nan, 7))  # both lack it
    assert columns.shapes == {"label": (4,), "a.embedding": (2,)}
    assert columns.classes["label"] == CLASSES
    assert columns.constants == {"label": {3}}
    assert json.loads(columns.about["options"]) == {"blend": [3.0, 1.0], "blend_of": "scores"}


def test_scores_are_smoothed_before_they_are_blended() -> None:
    _, label = blended(blend=(1, 1), smooth=(1, 1, 1))
    both = (scores("a.label") + scores("b.label"))[:, 1] / 2
    assert label[7, 1] == pytest.approx((both[6] + both[7]) / 2, rel=1e-6)
    assert label[1, 1] == pytest.approx((both[0] + both[1]) / 2, rel=1e-6)  # the row after it has no score


def test_rows_without_a_score_take_no_memory() -> None:
    (block, _), blend = blocks(), Blend.made(COLUMNS, (1, 1), "scores")
    unreached = replace(block, status=np.full(5, "filled"), outputs=unscored(COLUMNS, 5))
    (found,) = blend.rows(lambda: [unreached], in_memory=True)()
    assert found.outputs["label"].shape == (5, 4)
    assert np.isnan(found.outputs["label"]).all()
    assert found.outputs["label"].strides == (0, 0)


def test_a_deadline_keeps_back_time_for_ranking() -> None:
    work = FinalWork(scored_rows=100_000)
    plain, ranked = Deadline(0, 1000, 10), Deadline(0, 1000, 10, ranked=2)
    earlier_s = plain.scoring_ends(COLUMNS, work) - ranked.scoring_ends(COLUMNS, work)
    assert earlier_s == pytest.approx(100_000 * 10 * 2 * RANK_S)


@pytest.mark.parametrize("few_at_once", [False, True])
def test_ranks_are_among_all_rows_of_a_class(few_at_once: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if few_at_once:
        monkeypatch.setattr(blending, "RANKED_BYTES", 4)
    _, label = blended(blend=(3, 1), blend_of="ranks")
    a, b = (pandas.DataFrame(scores(name)).rank(pct=True).to_numpy() for name in ("a.label", "b.label"))
    np.testing.assert_allclose(label[:, 0], a[:, 0], rtol=1e-6)
    np.testing.assert_allclose(label[:, 1], 0.75 * a[:, 1] + 0.25 * b[:, 1], rtol=1e-6)
    np.testing.assert_allclose(label[:, 2], b[:, 2], rtol=1e-6)
    np.testing.assert_array_equal(label[:, 3], scores("a.label")[:, 3])  # a constant stays


def test_equal_scores_share_the_mean_of_their_ranks() -> None:
    np.testing.assert_allclose(ranks(np.array([2, 5, 2, np.nan, 9], np.float32)), [0.375, 0.75, 0.375, np.nan, 1])
    assert np.isnan(ranks(np.array([np.nan], np.float32))).all()
    assert ranks(np.empty(0, np.float32)).shape == (0,)


def test_a_run_without_rows_has_no_ranks() -> None:
    postprocessing = Postprocessing.of(COLUMNS, Request(blend=(1, 1), blend_of="ranks"))
    assert list(postprocessing.rows(list)()) == []


def test_a_full_disk_is_told_and_loses_no_rows_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    _, expected = blended(blend=(1, 1), blend_of="ranks")
    monkeypatch.setattr(blending.tempfile, "TemporaryFile", lambda: full.open("wb"))
    postprocessing = Postprocessing.of(COLUMNS, Request(blend=(1, 1), blend_of="ranks"))
    with pytest.raises(OutputError, match=r"no space left on device.*TMPDIR"):
        list(postprocessing.rows(blocks)())
    sink = MemorySink(postprocessing)  # has nowhere else to keep its rows
    sink.finish(blocks())
    np.testing.assert_array_equal(np.concatenate([block.outputs["label"] for block in sink.blocks]), expected)


@pytest.mark.parametrize("in_memory", [False, True])
def test_rows_without_a_score_are_not_ranked(in_memory: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    ranked: list[int] = []
    monkeypatch.setattr(blending, "ranks", lambda scores: (ranked.append(len(scores)), ranks(scores))[1])
    (first, last), columns = blocks(), COLUMNS
    unreached = replace(last, status=np.full(3, "filled"), outputs=unscored(columns, 3))
    postprocessing = replace(Postprocessing.of(columns, Request(blend=(1, 1), blend_of="ranks")), in_memory=in_memory)
    found = list(postprocessing.rows(lambda: [unreached, first, unreached])())
    assert set(ranked) == {4}
    assert [np.isnan(block.outputs["label"]).all(axis=1).tolist() for block in found] == [
        [True] * 3,
        [False, False, True, False, False],
        [True] * 3,
    ]
    assert found[0].outputs["label"].strides == (0, 0)


def test_summary_names_what_some_models_lack() -> None:
    blend = Blend.made(COLUMNS, (0.6, 0.4), "ranks")
    assert blend.summary() == (
        "0.6 ranks in a.label + 0.4 ranks in b.label; 1 class without a.label, which lacks them: frog; "
        "1 class without b.label, which lacks them: robin"
    )


def other_columns() -> Iterator[tuple[Columns, str]]:
    alone = Columns({"label": (4,)}, {"label": CLASSES}, {"options": "{}"})
    yield alone, "there is one model here"
    without = replace(COLUMNS, shapes={"a.label": (4,), "b.embedding": (4,)})
    yield without, r"and b\.label is not among the outputs a\.label, b\.embedding"
    three = replace(COLUMNS, about={"models": json.dumps({"a": {}, "b": {}, "c": {}})})
    yield three, "a weight for each model: a, b, c; the number of weights given is 2"
    others = replace(COLUMNS, classes={**COLUMNS.classes, "b.label": ("robin", "wren", "frog", "moth")})
    yield others, r"b\.label has 4 \(robin, wren and 2 more\); name them with --classes"


@pytest.mark.parametrize(("columns", "message"), other_columns())
def test_what_cannot_be_blended_is_refused(columns: Columns, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Postprocessing.of(columns, Request(blend=(1, 1)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blend": (1, 0)}, "must be a weight above 0 for each model"),
        ({"blend": ("x",)}, "must be a weight above 0"),
        ({"blend": ()}, "must be a weight above 0"),
        ({"blend_of": "ranks"}, "there is none; give blend the weights"),
        ({"blend": (1, 1), "blend_of": "logits"}, "blend_of is 'logits', but must be 'scores' or 'ranks'"),
    ],
)
def test_weights_that_make_no_mean_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Request(**options)  # type: ignore[arg-type]
