"""Pages in a real browser, where there is one: what happens when they are clicked, touched and typed at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.explore.cli import main
from tests.support.browser import FRAMES, Tab, chromium
from tests.support.rows_files import write_rows

WINDOWS, RECORDINGS = 3, 4
DRAWN = f"Promise.all([busy, {FRAMES}]).then(() => true)"
STATE = "[at('row_id').textContent, at('note').textContent]"
PLACES = """(() => {
  const at3d = () => {
    const scene = plot._fullLayout.scene._scene, camera = scene.glplot.cameraParams;
    const box = scene.container.getBoundingClientRect();
    const by = (m, v) => [0, 1, 2, 3].map(i => m[i] * v[0] + m[4 + i] * v[1] + m[8 + i] * v[2] + m[12 + i] * v[3]);
    return data.row_ids.map((_, i) => {
      const point = [0, 1, 2].map(axis => data.axes[axis][i] * scene.dataScale[axis]);
      const [x, y, , w] = by(camera.projection, by(camera.view, by(camera.model, [...point, 1])));
      return [box.x + box.width * (.5 + .5 * x / w), box.y + box.height * (.5 - .5 * y / w)];
    });
  };
  const at2d = () => {
    const { xaxis, yaxis } = plot._fullLayout, box = plot.getBoundingClientRect();
    return data.row_ids.map((_, i) =>
      [box.x + xaxis._offset + xaxis.d2p(data.axes[0][i]), box.y + yaxis._offset + yaxis.d2p(data.axes[1][i])]);
  };
  return plot._fullLayout.scene ? at3d() : at2d();
})()"""
"""Where points are on the screen."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    corners = [[x, y, z] for x in (0, 9) for y in (0, 9) for z in (0, 9)] + [[4, 4, z] for z in (2, 4, 6, 8)]
    label = np.eye(3, dtype=np.float32)[np.arange(12) % 3]
    rows = write_rows(
        folder / "out.parquet", np.array(corners, np.float32), WINDOWS, label, ("amecro", "comrav", "eurbla")
    )
    assert main(["plot", str(rows)]) == 0
    assert main(["plot", str(rows), "--timeline", "r1"]) == 0
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


def open_cloud(pages: Path, browser: Any, touch: bool = False) -> Tab:
    """A tab with the points, which counts how often Plotly draws."""
    page = Tab(browser, viewport={"width": 700, "height": 500}, has_touch=touch)
    page.page.goto((pages / "out.html").as_uri())
    if not page.run("solid"):
        pytest.skip("this Chromium has no WebGL")
    page.run("window.draws = 0; const react = Plotly.react; Plotly.react = (...all) => (draws++, react(...all)); 0")
    return page


@pytest.fixture(scope="module")
def cloud(pages: Path, browser: Any) -> Tab:
    return open_cloud(pages, browser)


@pytest.fixture(scope="module")
def touched_cloud(pages: Path, browser: Any) -> Tab:
    return open_cloud(pages, browser, touch=True)


def see(page: Tab, view: int) -> Tab:
    """Turns to the solid view, 0, or a flat one."""
    page.errors.clear()
    page.run(f"view === {view} || at('views').children[{view}].click()")
    page.run(DRAWN)
    return page


@pytest.mark.parametrize(
    ("view", "touch"), [(0, False), (1, False), (1, True), pytest.param(0, True, marks=pytest.mark.slow)]
)
def test_a_pressed_point_is_shown_once(request: pytest.FixtureRequest, view: int, touch: bool) -> None:
    """In 3-D Plotly says "click" whenever it draws while a button is down: to draw then hung the page for good."""
    page = see(request.getfixturevalue("touched_cloud" if touch else "cloud"), view)
    for row in (8, 11):
        before, tries = page.run("draws"), 0
        while page.run("chosen") != row:  # on a busy machine a tap may become a long press, which is no click
            tries += 1
            assert tries < 10
            (page.page.touchscreen.tap if touch else page.press)(*page.run(PLACES)[row])
            page.run(DRAWN)
            page.run(DRAWN)
        assert page.run(STATE) == [f"r{row // WINDOWS}_{row % WINDOWS * 5 + 5}", ""]
        assert page.run("draws") <= before + tries
    assert not page.errors


def test_turning_chooses_nothing(cloud: Tab) -> None:
    page = see(cloud, 0)
    page.run("choose(0)")
    page.until("chosen === 0")
    page.press(*page.run(PLACES)[8], moved=60)
    page.run(DRAWN)
    assert page.run("chosen") == 0


def test_points_by_keyboard(cloud: Tab) -> None:
    page = see(cloud, 1)
    page.run("at('row').focus(), show(11), 0")
    for _ in range(3):
        page.page.keyboard.press("Tab")
        if page.run("document.activeElement === plot"):
            break
    steps = [
        ("Home", "r0_5"),
        ("ArrowRight", "r0_10"),
        ("ArrowDown", "r1_5"),
        ("ArrowLeft", "r0_15"),
        ("End", "r3_15"),
        ("ArrowRight", "r3_15"),
        ("ArrowUp", "r2_5"),
        ("Home", "r0_5"),
    ]
    for key, expected in steps:
        page.page.keyboard.press(key)
        page.until(f"at('row_id').textContent === '{expected}'")
    assert not page.errors


def test_find_takes_a_part(cloud: Tab) -> None:
    page = see(cloud, 1)

    def find(wanted: str) -> list[str]:
        page.run(f"at('row').value = '{wanted}'; at('find').requestSubmit()")
        page.run(DRAWN)
        return list(page.run(STATE))

    assert find("r2_10") == ["r2_10", ""]
    assert find("R1")[0] == "r1_5"
    assert find("r1.wav") == ["r1_10", "2 of 3 points that r1.wav may mean; find goes on to the next."]
    assert find("_15")[0] == "r0_15"
    assert find("r9") == ["r0_15", "No point's row_id or recording holds r9."]


def test_cells_of_a_timeline_play(pages: Path, browser: Any) -> None:
    page = Tab(browser)
    page.page.goto((pages / "out.r1.html").as_uri())
    assert page.run("[document.title, document.querySelector('h1').textContent]") == [
        "Timeline of site/r1.wav",
        "site/r1.wav",
    ]
    page.press(
        *page.run(
            "(() => { const box = document.querySelectorAll('.strip i')[1].getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
    )
    page.until("at('row_id').textContent === 'r1_10'")
    assert page.run("buttons[1].getAttribute('aria-pressed')") == "true"
    assert not page.errors
