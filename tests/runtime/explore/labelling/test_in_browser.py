"""The page in a real browser: answers by keyboard, a killed server, names for screen readers, contrast, widths."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from benchmarks.stress.labelling import LabelPage
from tests.support.browser import PATIENCE_S, chromium
from tests.support.label_tabs import HERE, Labelling, Shared, answers
from tests.support.labelling import write_world

HOSTILE = "<img src=x onerror=window.hacked=1>"
NAMED = {"button", "checkbox", "combobox", "link", "listbox", "menuitem", "option", "progressbar", "slider", "textbox"}
CONTRASTS = """() => {
  const channels = color => color.match(/[\\d.]+/g).map(Number);
  const linear = c => (c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
  const light = color => color.slice(0, 3).map(c => linear(c / 255))
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const behind = e => { for (; e; e = e.parentElement) {
    const color = channels(getComputedStyle(e).backgroundColor);
    if (color.length === 3 || color[3] === 1) return color;
  } return [255, 255, 255]; };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement, text = texts.currentNode.textContent.trim();
    if (!text || !e.checkVisibility() || e.closest(":disabled")) continue;
    const [a, b] = [light(channels(getComputedStyle(e).color)), light(behind(e))].sort();
    found.push([text, (b + .05) / (a + .05)]);
  }
  return found;
}"""
"""The contrast of every text that is seen to what lies behind it."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"), recordings=8)[0].parent


@pytest.fixture(scope="module")
def server(world: Path) -> Iterator[Shared]:
    server = Shared(world)
    yield server
    server.page.close()


@pytest.fixture(scope="module")
def one_tab(browser: Any, server: Shared) -> Labelling:
    return Labelling(browser, server.address)


@pytest.fixture
def tab(one_tab: Labelling, server: Shared) -> Labelling:
    """A tab that remembers nothing."""
    one_tab.page.unroute_all()
    one_tab.run("(sessionStorage.clear(), localStorage.clear())")
    one_tab.open(server.address)
    one_tab.errors.clear()
    return one_tab


def test_twenty_windows_by_keyboard_over_a_reload_and_a_killed_server(browser: Any, world: Path) -> None:
    labels = world / "twenty.csv"
    options = [str(world / "out.parquet"), "--labels", str(labels), "--learn-every", "0"]
    with LabelPage(*options) as first:
        tab, given = Labelling(browser, first.url), dict[str, tuple[set[str], str]]()
        for name in ("apbsun2", "banpit3", HOSTILE):
            tab.search(name)
            given[tab.go("Enter")] = {name}, "labelled"
        for _ in range(2):
            tab.type("1", "2")
            given[tab.go("Enter")] = {"apbsun2", "banpit3"}, "labelled"
            tab.type("x")
            given[tab.go("Enter")] = set(), "labelled"
            tab.type("u")
            given[tab.go("Enter")] = set(), "unsure"
            tab.go("ArrowRight")
        assert tab.text("keys").count(HOSTILE) == 1
        assert not tab.run("window.hacked")

        tab.type("3")
        taken_back = tab.go("Enter")
        tab.type("z")
        tab.page.wait_for_function(f"row => {HERE} === row", arg=taken_back)
        seen = tab.row_id
        tab.page.reload()
        tab.page.wait_for_selector("#image img")
        assert tab.row_id == seen
        assert "7 labelled, 2 not sure" in tab.text("count")
        for _ in range(10):
            tab.type("x")
            given[tab.go("Enter")] = set(), "labelled"

        assert not tab.errors
        first.end(signal.SIGKILL)
        tab.type("u", "Enter")
        tab.page.wait_for_selector("#trouble:visible")
        assert "1 answer not saved" in tab.text("trouble-text")
        given[tab.row_id] = set(), "unsure"
    with LabelPage(*options) as second:
        tab.open(second.url)
        assert "1 answer not saved" in tab.text("trouble-text")
        tab.type("r")
        tab.page.wait_for_selector("#trouble", state="hidden")
        tab.type("ArrowRight")
        assert len(given) == 20
        assert answers(labels) == given
        assert tab.hosts == {urlsplit(first.url).netloc}
        tab.context.close()


def test_the_one_who_answers_later_is_asked_and_no_chord_or_held_key_decides(tab: Labelling, server: Shared) -> None:
    dialog = "#conflict[open]"
    row_id, key = tab.row_id, tab.run("JSON.parse(sessionStorage.at).key")
    for mine, kept in (("m", "banpit3"), ("t", "amerob")):
        assert tab.row_id == row_id
        other = {"tab": "b", "key": key, "answer": "labelled", "species": ["amerob"], "order": {"id": "worth"}}
        asked = {**other, "seen": tab.run(f"fetch('window/{key}').then(r => r.json()).then(w => w.answer)")}
        tab.page.request.post(f"{server.address}label", data=asked)
        tab.search("banpit3")
        tab.page.keyboard.down("Enter")
        tab.page.wait_for_selector(dialog)
        tab.page.keyboard.down("Enter")
        tab.page.keyboard.up("Enter")
        tab.type("Meta+m", "Control+m", "Control+t")
        assert tab.page.is_visible(dialog)
        assert "amerob" in tab.text("theirs")
        tab.type("Escape")
        tab.page.wait_for_selector("#trouble:visible")
        assert "1 answer not saved" in tab.text("trouble-text")
        assert server.answers[row_id] == ({"amerob"}, "labelled")
        tab.until("!document.getElementById('said').textContent.startsWith('Waiting')")
        tab.type("Enter")
        tab.page.wait_for_selector(dialog)
        tab.type(mine)
        tab.page.wait_for_function(f"row => {HERE} !== row", arg=row_id)
        assert server.answers[row_id] == ({kept}, "labelled")
        tab.go("ArrowLeft")
    assert tab.text("given").startswith("Answer:amerob")


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 800)])
def test_everything_has_a_name_fits_and_can_be_read(browser: Any, server: Shared, width: int, height: int) -> None:
    size, phone = {"width": width, "height": height}, width < 500
    tab = Labelling(browser, server.address, viewport=size, has_touch=phone, is_mobile=phone)
    tab.search(HOSTILE)
    tab.go("Enter")
    tab.type("1", "/")
    tab.page.keyboard.type("a")
    for state in ("search", "keys"):
        nodes = tab.context.new_cdp_session(tab.page).send("Accessibility.getFullAXTree")["nodes"]
        controls = [node for node in nodes if not node["ignored"] and node["role"]["value"] in NAMED]
        assert len(controls) > (20 if state == "search" else 0)
        assert [node for node in controls if not node["name"]["value"].strip()] == []
        for scheme in ("light", "dark"):
            tab.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            assert [(scheme, text, ratio) for text, ratio in tab.run(CONTRASTS) if ratio < 4.5] == []
        assert tab.run("document.documentElement.scrollWidth") == width
        tab.type("Escape", "?")
    tab.type("Escape")
    tab.page.tap("#none") if phone else tab.page.click("#none")
    assert tab.text("given") == "Answer:none of these"
    assert not tab.errors
    tab.context.close()


def test_sound_plays_and_a_click_seeks(tab: Labelling) -> None:
    cursor = "Number(/[\\d.]+/.exec(document.getElementById('cursor').style.transform)[0])"
    begin = tab.run(cursor)
    tab.type("c")  # from here on the browser lets it play
    tab.until(f"{cursor} > {begin} && document.getElementById('muted').hidden")
    seek = """(() => {
      const frame = document.getElementById('frame'), box = document.getElementById('image').getBoundingClientRect();
      frame.dispatchEvent(new MouseEvent('click', { clientX: box.x + .75 * box.width }));
    })()"""
    assert tab.run(f"({seek}, {cursor})") == pytest.approx(75, abs=0.5)
    tab.type("s")
    assert tab.page.is_disabled("#stop")
    assert not tab.errors


def test_orders_are_chosen_and_labels_leave_as_an_archive(tab: Labelling) -> None:
    tab.page.select_option("#order", "species")
    tab.page.keyboard.type("apb")
    tab.type("Enter")
    tab.until("document.getElementById('why').textContent.includes('score of apbsun2')")
    example = tab.row_id
    tab.search("apbsun2")
    tab.go("Enter")
    tab.go("ArrowLeft")
    tab.type("n")
    tab.until(f"document.getElementById('why').textContent.includes('to {example}')")
    assert tab.page.input_value("#order") == "similar"
    tab.page.click("#export summary")
    tab.page.wait_for_selector("#exported input")
    with tab.page.expect_download() as download:
        tab.page.click("#wav")
    assert download.value.suggested_filename.endswith(".zip")
    assert not tab.errors


def test_a_window_that_comes_late_takes_no_other_windows_place(tab: Labelling) -> None:
    one_moment = "#empty-title:text('One moment')"
    here = tab.row_id
    late = {"window": None, "ahead": [], "waiting": True, "why": "the order is being made", "notices": [], "keys": []}
    body = json.dumps({**late, "counts": {"labelled": 0, "unsure": 0, "random": 0}})
    asked: dict[str, Any] = {}
    for part in ("next", "window/*"):
        tab.page.route(f"**/{part}", lambda route, request: asked.update({request.url.split("/")[4]: route}))

    def answer(part: str, waiting: bool) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while part not in asked:
            assert time.monotonic() < deadline
            tab.page.wait_for_timeout(20)
        route = asked.pop(part)
        route.fulfill(body=body, content_type="application/json") if waiting else route.continue_()

    tab.type("ArrowRight")
    answer("next", waiting=True)
    tab.page.wait_for_selector(one_moment)
    tab.type("ArrowLeft")
    answer("window", waiting=True)
    answer("window", waiting=False)
    tab.page.wait_for_selector("#image img")
    assert tab.row_id == here
    tab.type("x")
    tab.page.wait_for_timeout(1500)  # an order that was waited for is asked for every second
    assert "next" not in asked
    assert tab.row_id == here

    tab.type("ArrowRight")
    answer("next", waiting=True)
    answer("next", waiting=False)
    tab.until(f"{HERE} !== '{here}'")
    assert not tab.errors


def test_an_answer_on_its_way_outlives_its_tab_and_a_duplicated_tab_is_another(browser: Any, server: Shared) -> None:
    tab = Labelling(browser, server.address)
    row_id = tab.row_id
    tab.run("void (window.fetch = () => new Promise(() => {}))")  # a server that does not answer
    tab.type("u", "Enter")
    tab.until("localStorage['perch-explore unsent']?.includes('unsure')")
    with tab.context.expect_page() as opened:
        tab.run("void window.open(location.href)")
    other = opened.value
    other.wait_for_selector("#image img")
    mine, others = (
        page.evaluate("[sessionStorage.tab, JSON.parse(sessionStorage.at).key]") for page in (tab.page, other)
    )
    assert mine[0] != others[0]
    assert mine[1] != others[1]
    trouble = str(other.text_content("#trouble-text"))
    assert trouble == "1 answer not saved."
    tab.page.close()
    other.keyboard.press("r")
    other.wait_for_selector("#trouble", state="hidden")
    assert server.answers[row_id] == (set(), "unsure")
    tab.context.close()


def test_keys_do_no_more_than_they_say(tab: Labelling) -> None:
    tab.page.evaluate(
        "dispatch = init => document.body.dispatchEvent(new KeyboardEvent('keydown', {bubbles: true, ...init}))"
    )
    for text, chosen in (("ban", "banpit3"), ("pit", "pit"), ("BANPIT3", "banpit3")):
        tab.search(text)
        assert tab.text("given").startswith(f"Answer:{chosen} ")
        tab.type("z")
        assert tab.text("given") == "No answer yet."
    tab.run("dispatch({key: 'End', code: 'Numpad1'})")
    assert tab.text("given") == "No answer yet."
    tab.run("dispatch({key: 'ч', code: 'KeyX'})")
    assert tab.text("given") == "Answer:none of these"
    before = tab.row_id, tab.page.input_value("#order")
    tab.page.focus("#order")
    tab.type("ArrowUp", "ArrowDown", "ArrowDown")
    assert tab.run("document.activeElement.id") == "order"
    tab.type("Escape")
    assert (tab.row_id, tab.page.input_value("#order")) == before
    assert tab.text("given") == "Answer:none of these"
    assert not tab.errors
