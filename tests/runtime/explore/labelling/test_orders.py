"""Which windows come next: each order serves what it promises, to one tab at a time."""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.measuring.usage import children
from runtime.explore.evaluation import evaluate
from runtime.explore.label_files import read_labels
from runtime.explore.labelling.answer import Answer, now
from runtime.explore.labelling.journal import Journal
from runtime.explore.labelling.orders import Orders, Ranking
from runtime.explore.labelling.tabs import SPREAD
from runtime.explore.random_share import draw
from runtime.explore.rows import open_rows
from runtime.rows.block import Block, Columns, Origin
from runtime.rows.formats.npz_file import NpzFile
from runtime.rows.formats.parquet_file import write_parquet
from tests.support.labelling import CLASSES, Page, write_world
from tests.support.processes import until
from tests.support.rows_files import ABOUT

World = tuple[Path, Any]


def write_parquet_file(path: Path, block: Block, columns: Columns) -> Path:
    with path.with_suffix(".parquet").open("wb") as file:
        write_parquet([block], file, columns)
    return path.with_suffix(".parquet")


def write_npz_file(path: Path, block: Block, columns: Columns) -> Path:
    NpzFile().write_file([block], path.with_suffix(".npz"), columns, 0)
    return path.with_suffix(".npz")


def served(page: Page, *order: str | None, tab: str = "a") -> list[str]:
    """The row_ids of an order, to its end."""
    row_ids, after = [], None
    while (answer := page.next(*order, after=after, tab=tab))["window"] is not None or answer.get("waiting"):
        if answer["window"] is not None:
            row_ids.append(answer["window"]["row_id"])
            after = answer["window"]["key"]
    return row_ids


def label(page: Page, row_id: str, *species: str, **more: Any) -> Any:
    number = page.desk.windows.number_of(row_id)
    assert number is not None
    return page.label(page.desk.windows.key(number), *species, **more)


def test_random_and_before_anything_was_learnt_worth_are_by_draw(opened: Callable[..., Page], world: World) -> None:
    page = opened()
    expected = sorted(open_rows(world[0]).row_ids, key=draw)
    assert served(page, "random") == expected
    assert served(page, "worth", tab="b") == expected
    label(page, expected[0], order={"id": "worth", "value": None})
    assert page.desk.journal.answers[expected[0]].source == "random"


def test_species_is_by_the_models_score_whichever_name_is_given(opened: Callable[..., Page], world: World) -> None:
    page, rows = opened(), open_rows(world[0])
    scores = rows.output("label")[:, CLASSES.index("banpit3")]
    expected = rows.row_ids[np.argsort(-scores, kind="stable")].tolist()
    assert served(page, "species", "banpit3") == expected
    assert served(page, "species", "Hydrornis irena", tab="b") == expected
    assert "neither the model nor what was learnt has Yeti" in page.next("species", "Yeti")["why"]
    assert "name a species" in page.next("species")["why"]


def test_an_order_that_cannot_be_made_is_tried_again(
    opened: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Orders, name: str) -> Ranking:
        raise OSError(5, "Input/output error")

    page = opened()
    with monkeypatch.context() as patch:
        patch.setattr(Orders, "_by_score", fail)
        with pytest.raises(OSError, match="Input/output error"):
            page.desk.next("a", {"id": "species", "value": "banpit3"}, None)
    assert page.next("species", "banpit3")["window"] is not None


def test_similar_is_by_cosine_and_leaves_the_window_itself_out(opened: Callable[..., Page], world: World) -> None:
    page, rows = opened(), open_rows(world[0])
    values = rows.output("embedding").astype(np.float64)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    order = np.argsort(-(values @ values[5]), kind="stable")
    assert served(page, "similar", "r1_10") == rows.row_ids[order[order != 5]].tolist()
    assert "no row is called nobody_5" in page.next("similar", "nobody_5")["why"]


def test_the_list_is_served_in_its_order(opened: Callable[..., Page]) -> None:
    page = opened(listed=np.array([7, 3, 11]))
    assert served(page, "list") == ["r1_20", "r0_20", "r2_20"]
    assert "there is no order" in page.next("elsewhere")["why"]


def test_two_tabs_are_not_given_the_same_window_and_none_is_given_that_somebody_answered(
    opened: Callable[..., Page], world: World
) -> None:
    page = opened()
    expected = sorted(open_rows(world[0]).row_ids, key=draw)
    assert [page.next(tab=tab)["window"]["row_id"] for tab in "abc"] == expected[:3]
    assert page.next(tab="a")["window"]["row_id"] == expected[0]  # a tab that is loaded again
    for row_id in expected[3:6]:
        page.desk.journal.append(Answer(row_id, (), "unsure", "random", "they", now()), None)
    after = page.desk.windows.key(page.desk.windows.row_ids.index(expected[0]))
    assert page.next(tab="a", after=after)["window"]["row_id"] == expected[6]


def test_servers_that_answer_into_one_file_seldom_meet_and_leave_few_windows_out(
    opened: Callable[..., Page], world: World
) -> None:
    expected = sorted(open_rows(world[0]).row_ids, key=draw)
    pages = opened(), opened()
    for number, page in enumerate(pages):
        label(page, expected[number], order={"id": "random"})
        page.desk.availability._salt = bytes([number])
    pages[0].desk._refresh()
    meetings = 0
    for _ in range(5):
        windows = [page.next()["window"] for page in pages]
        for page, window in zip(pages, windows, strict=True):
            assert expected.index(window["row_id"]) < len(page.desk.journal.answers) + SPREAD
            label(page, window["row_id"], order={"id": "random"}, seen=page.get(f"window/{window['key']}")["answer"])
        meetings += windows[0] == windows[1]
    assert meetings <= 1


def test_an_answer_that_somebody_else_gave_meanwhile_is_shown_before_it_is_replaced(
    opened: Callable[..., Page],
) -> None:
    page, other = opened(), opened(labeller="they")
    theirs = label(other, "r0_5", "banpit3")["answer"]
    assert label(page, "r0_5", "apbsun2", status=409) == {"conflict": theirs}
    mine = label(page, "r0_5", "apbsun2", seen=theirs)["answer"]
    assert label(page, "r0_5", "apbsun2", seen=theirs)["answer"] == mine  # sent twice
    assert len(page.desk.journal.path.read_text().splitlines()) == 3
    assert "me has answered since" in other.post("undo")["why"]
    assert page.post("undo")["answer"] == theirs
    assert other.get("window/0-0")["answer"] == theirs


def test_a_window_keeps_the_source_by_which_it_was_first_chosen(opened: Callable[..., Page], world: World) -> None:
    page = opened()
    key = page.next("species", "banpit3")["window"]["key"]
    first = page.label(key, order={"id": "random", "value": None})["answer"]
    page.label(key, "banpit3", seen=first, order={"id": "random", "value": None})
    restarted = opened()  # which does not know what was served; the last one by draw cannot have come at random
    last = max(open_rows(world[0]).row_ids, key=draw)
    restarted.desk.availability.answered[:] = True
    label(restarted, last, order={"id": "random", "value": None})
    assert {answer.source for answer in Journal(page.desk.journal.path).answers.values()} == {"species", "list"}


def test_a_page_that_has_just_started_again_refuses_rather_than_guess_how_a_window_was_chosen(
    opened: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    page, held = opened(), threading.Event()
    first = min(page.desk.windows.row_ids, key=draw)
    with monkeypatch.context() as patch:
        patch.setattr("runtime.explore.labelling.orders.QUICK_S", 0.0)
        patch.setattr(page.desk.orders, "_random", lambda _: held.wait(60))
        assert "answer again in a moment" in label(page, first, status=503)["error"]
    assert page.desk.journal.answers == {}
    held.set()
    page.desk.orders._made.clear()
    until(lambda: page.next("random")["window"])
    label(page, first)
    assert page.desk.journal.answers[first].source == "random"


def test_windows_whose_recordings_are_missing_or_damaged_are_passed_over_and_counted(
    opened: Callable[..., Page], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, _ = write_world(tmp_path, recordings=3)
    (tmp_path / "site/r0.wav").unlink()
    (tmp_path / "site/r1.wav").write_bytes(b"no sound")
    page = opened(rows=rows)
    row_ids, notices, after = [], "", None
    while True:
        answer = page.next(after=after)
        notices += "; ".join(answer["notices"])
        if answer["window"] is None:
            break
        row_ids.append(answer["window"]["row_id"])
        after = answer["window"]["key"]
    assert sorted(row_ids) == ["r2_10", "r2_15", "r2_20", "r2_5"]
    assert re.search("4 windows skipped: .*r0.wav is not there.*--audio", notices)
    assert re.search("1 window skipped: .*r1.wav cannot be played", notices)
    assert "without a recording that can be read (--audio FOLDER): 8" in answer["why"]
    assert "is not there" in page.get("window/0-0")["error"]
    assert page.ask("GET", "clip/0-0.png").status == 400
    assert len(page.get("state?tab=b")["notices"]) == 2 and page.get("state?tab=b")["notices"] == []
    shutil.copy(tmp_path / "site/r2.wav", tmp_path / "site/r0.wav")
    monkeypatch.setattr("runtime.explore.labelling.clips.AGAIN_S", 0)
    page.desk.availability._skipped_until[:] = 0
    assert len(served(page, tab="b")) == 8


def test_a_window_whose_clip_takes_its_time_is_asked_for_again(
    opened: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    page, held = opened(), threading.Event()
    make = page.desk.clips._make
    monkeypatch.setattr(page.desk.clips, "_make", lambda number: held.wait(60) and make(number))
    monkeypatch.setattr("runtime.explore.labelling.desk.CLIP_S", 0.01)
    monkeypatch.setattr("runtime.explore.labelling.server.CLIP_S", 0.01)
    until(lambda: page.next()["why"].startswith("reading r"))
    for answer in (page.next(), page.get("window/0-1")):
        assert (answer["window"], answer["waiting"]) == (None, True)
    assert page.ask("GET", "clip/0-1.png").status == 503
    held.set()
    assert until(lambda: page.next()["window"])["context_s"][1] > 5
    assert until(lambda: page.get("window/0-1").get("context_s")) == [2.5, 12.5]


@pytest.mark.parametrize("write", [write_parquet_file, write_npz_file])
def test_rows_without_embedding_can_be_labelled_and_time_and_site_are_shown(
    opened: Callable[..., Page], tmp_path: Path, write: Callable[[Path, Block, Columns], Path]
) -> None:
    write_world(tmp_path, recordings=2)
    starts, label_of = np.arange(4) * 5.0, np.eye(4, 3, dtype=np.float32)
    row_ids, paths = ["r0_5", "r0_10", "r1_15", "r1_20"], ["site/r0.wav"] * 2 + ["site/r1.wav"] * 2
    origins = {"site/r0.wav": Origin(datetime(2024, 5, 12, 5, 30), "the pond")}
    status = np.array(["scored"] * 4, np.str_)
    block = Block("", row_ids, starts, starts + 5, status, {"label": label_of}, paths, origins)
    columns = Columns({"label": (3,)}, {"label": CLASSES}, ABOUT, more=("recorded_at", "site"))
    page = opened(rows=write(tmp_path / "rows", block, columns), cannot="there is no embedding")
    orders = {order["id"]: order["why"] for order in page.get("state")["orders"]}
    assert orders["worth"] == orders["similar"] == "the rows have no embedding"
    assert orders["random"] == orders["species"] == ""
    shown = page.next("species", "apbsun2")["window"]
    assert (shown["row_id"], shown["recorded_at"], shown["site"]) == ("r0_10", "2024-05-12T05:30:05.000", "the pond")
    page.label(shown["key"], "apbsun2")
    other = page.get("window/0-2")
    assert (other["recorded_at"], other["site"], other["probe"]) == ("", "", [])


def test_what_was_learnt_says_which_windows_are_worth_labelling(opened: Callable[..., Page], world: World) -> None:
    _, truth = world
    page = opened(every=20)
    for row in range(20):
        species = [name for name, there in zip(CLASSES[1:], truth[row]) if there]
        label(page, f"r{row // 4}_{5 * (row % 4 + 1)}", *species)
    until(lambda: not (learning := page.get("learning"))["running"] and learning["after_labels"] == 20)
    learning = page.get("learning")
    assert learning["error"] == ""
    assert learning["message"] == "learnt 2 species from 20 windows"
    assert {each["name"]: each["labels"] for each in learning["species"]} == {
        name: int(truth[:20, i].sum()) for i, name in enumerate(CLASSES[1:])
    }
    rows = open_rows(world[0])
    expected = evaluate([rows], read_labels(page.desk.journal.path), 0.9)
    probabilities = expected.probabilities_of(rows.output("embedding"))
    for each in learning["species"]:
        i = expected.names.index(each["name"])
        assert each["average_precision"] == pytest.approx(expected.average_precision[i])
        assert each["given"] == (probabilities[20:, i] >= expected.thresholds[i]).sum()
    window = page.next("worth")["window"]
    assert window["row_id"] in {"r5_5", "r5_10", "r5_15", "r5_20"}
    assert window["reason"].startswith("unsure whether it holds ")
    number = rows.row_ids.tolist().index(window["row_id"])
    for probe, each in zip(sorted(window["probe"], key=lambda each: each["name"]), learning["species"]):
        assert (probe["name"], probe["labels"]) == (each["name"], each["labels"])
        assert (probe["probability"] is not None) is each["enough"] is (each["labels"] >= 5)
        if each["enough"]:
            assert probe["probability"] == pytest.approx(probabilities[number, expected.names.index(each["name"])])


def test_a_learner_that_is_killed_or_finds_nothing_to_learn_is_said_and_labelling_goes_on(
    opened: Callable[..., Page],
) -> None:
    page = opened(every=2)
    before = set(children(os.getpid()))
    label(page, "r0_5", "banpit3")
    label(page, "r0_10")
    (learner,) = until(lambda: set(children(os.getpid())) - before)  # type: ignore[misc]
    os.kill(learner, signal.SIGKILL)
    until(lambda: not page.get("learning")["running"])
    assert "was killed by signal 9" in page.get("learning")["error"]
    label(page, "r0_15")
    label(page, "r0_20")
    until(lambda: "at least two recordings" in page.get("learning")["error"])
    assert page.next("worth")["window"] is not None


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        ("Child", "RuntimeError: can't start new thread"),
        ("threading.Thread.start", "can't start new thread"),
    ],
)
def test_a_learner_that_cannot_be_started_is_said_and_tried_again(
    opened: Callable[..., Page], monkeypatch: pytest.MonkeyPatch, what: str, problem: str
) -> None:
    tried: list[object] = []

    def fail(*arguments: object) -> None:
        tried.append(arguments)
        raise RuntimeError("can't start new thread")

    page = opened(every=1)
    with monkeypatch.context() as patch:
        patch.setattr(f"runtime.explore.labelling.background_learning.{what}", fail)
        for row, key in enumerate(("0-0", "0-1")):
            page.desk.label("a", {"key": key, "species": [], "answer": "unsure", "seen": None})
            until(lambda: not page.desk.learning.as_json()["running"])
            assert len(tried) == 1 + row
    assert page.get("learning")["error"] == f"cannot learn: {problem}"
