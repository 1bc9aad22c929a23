"""The page's server as a browser sees it: windows, answers, undo, clips."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from runtime.explore.label_files import read_labels
from tests.support.labelling import Page, open_page, write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NDArray[np.bool_]]:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def rows(world: tuple[Path, NDArray[np.bool_]]) -> Path:
    return world[0]


@pytest.fixture
def truth(world: tuple[Path, NDArray[np.bool_]]) -> NDArray[np.bool_]:
    return world[1]


@pytest.fixture
def page(rows: Path, tmp_path: Path) -> Iterator[Page]:
    page = open_page([rows], tmp_path / "labels.csv")
    yield page
    page.close()


def test_the_state_says_what_there_is(page: Page, tmp_path: Path) -> None:
    state = page.get("state")
    assert (state["rows"], state["scored"], state["labeller"]) == (12, 12, "me")
    assert state["labels_file"] == str(tmp_path / "labels.csv")
    assert [order["id"] for order in state["orders"] if order["available"]] == ["worth", "species", "similar", "random"]
    assert {"name": "amerob", "about": "Turdus migratorius"} in state["names"]


def test_every_window_is_served_once_and_can_be_seen_and_heard(page: Page) -> None:
    keys, after = [], None
    while (window := page.next(after=after)["window"]) is not None:
        keys.append(after := window["key"])
    assert sorted(keys) == sorted(f"0-{row}" for row in range(12))
    shown = page.get("window/0-1")
    assert (shown["row_id"], shown["start_s"], shown["context_s"]) == ("r0_10", 5, [2.5, 12.5])
    for name, kind in (("picture", "image/png"), ("sound", "audio/wav")):
        clip = page.ask("GET", shown[name])
        assert (clip.status, clip.headers["content-type"]) == (200, kind)
        part = page.ask("GET", shown[name], headers={"Range": "bytes=10-19"})
        assert (part.status, part.data) == (206, clip.data[10:20])


def test_the_picture_shows_a_song_at_its_time_and_pitch(page: Page, truth: NDArray[np.bool_]) -> None:
    row = next(row for row in (1, 2, 5, 6, 9, 10) if truth[row, 0])  # not the first or last of a recording
    shown = page.get(f"window/0-{row}")
    picture = Image.open(io.BytesIO(page.ask("GET", shown["picture"]).data))
    shades = np.asarray(picture)
    begin, end = shown["context_s"]
    times = begin + (np.arange(shades.shape[1]) + 0.5) * (end - begin) / shades.shape[1]
    pitches = (np.arange(shades.shape[0], 0, -1) - 0.5) * shown["rate_hz"] / 2 / shades.shape[0]
    songs = shades[np.abs(pitches - 3_000) < 100].max(axis=0) > 20
    for other, there in enumerate(truth[row - 1 : row + 2, 0], row - 1):
        start = 5 * (other % 4)
        inside = (times > start + 0.1) & (times < start + 4.9)
        assert inside.any() and (songs[inside] == there).all()
    assert np.median(shades) < 8


def test_an_answer_is_in_the_file_and_undo_takes_it_back(page: Page) -> None:
    key = page.next()["window"]["key"]
    saved = page.label(key, "apbsun2", "A new song")
    assert (saved["counts"]["labelled"], saved["keys"]) == (1, ["A new song", "apbsun2"])
    row_id = page.get(f"window/{key}")["row_id"]
    labels = read_labels(page.desk.journal.path)
    assert labels.rows == {row_id: {"apbsun2", "A new song"}}
    assert labels.random == {row_id}
    assert page.post("undo") | {"keys": [], "notices": []} == {
        "key": key,
        "answer": None,
        "counts": {"labelled": 0, "unsure": 0, "random": 0},
        "keys": [],
        "notices": [],
    }
    assert page.get(f"window/{key}")["answer"] is None
    assert "since the server started" in page.post("undo")["why"]


def test_what_was_confirmed_last_is_taken_back_first(page: Page) -> None:
    first, _ = (page.label(key, "one")["answer"] for key in ("0-0", "0-1"))
    assert page.label("0-0", "one", seen=first)["answer"] == first
    assert [page.post("undo")["key"] for _ in range(2)] == ["0-0", "0-1"]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"species": ["Nocall"]}, "press x for none of these"),
        ({"species": ["none"]}, "press x for none of these"),
        ({"species": ["robin"], "answer": "unsure"}, "has no species"),
        ({"species": [], "answer": "maybe"}, "there is no answer 'maybe'"),
        ({"species": [], "answer": "withdrawn"}, "there is no answer 'withdrawn'"),
    ],
)
def test_what_no_label_file_can_say_is_refused(page: Page, asked: dict[str, Any], why: str) -> None:
    order = {"id": "random", "value": None}
    said = {"key": "0-0", "answer": "labelled", "order": order, "seen": None, **asked}
    assert why in page.post("label", 400, **said)["error"]
    assert page.ask("GET", "clip/0-0.png", headers={"Range": f"bytes={'9' * 5000}-"}).status == 200


def test_an_answer_that_a_browser_kept_for_other_rows_is_refused(page: Page) -> None:
    key = page.next()["window"]["key"]
    assert "site_5 is no window" in page.label(key, "apbsun2", status=404, row_id="site_5")["error"]
    assert page.get(f"window/{key}")["answer"] is None
