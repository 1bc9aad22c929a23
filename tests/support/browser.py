"""The system's Chromium, driven by Playwright."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.measuring.usage import children

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--no-sandbox",
    "--mute-audio",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)
PATIENCE_S = 180
"""How long an answer may take: only a page that hangs takes as long."""


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A browser; without one the test is skipped."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if PROGRAM is None:
        pytest.skip("there is no Chromium")
    others = set(children(os.getpid()))
    with playwright.sync_playwright() as driver:
        (process,) = set(children(os.getpid())) - others
        try:
            browser = driver.chromium.launch(executable_path=PROGRAM, args=FLAGS)
        except playwright.Error as error:
            pytest.skip(f"Chromium does not start here: {error}")
        browser.process = process
        yield browser
        browser.close()


class Tab:
    """A tab of its own profile. Texts of errors that its scripts raise, and the hosts that it asks, are collected."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self._process, self.context = browser.process, browser.new_context(**options)
        self.page, self.errors, self.hosts = self.context.new_page(), list[str](), set[str]()
        self.page.set_default_timeout(1000 * PATIENCE_S)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript, when it is there."""
        end = threading.Timer(PATIENCE_S, os.kill, (self._process, signal.SIGKILL))  # Playwright waits for ever
        end.start()
        try:
            return self.page.evaluate(script)
        finally:
            end.cancel()

    def until(self, condition: str) -> None:
        """Waits until an expression is true."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.run(condition):  # wait_for_function evaluates text in the page, whose policy may forbid that
            assert time.monotonic() < deadline, f"not true: {condition}"
            time.sleep(0.02)

    def press(self, x: float, y: float, moved: float = 1) -> None:
        """Moves the mouse there, holds its button down for a moment, moves by so many pixels, and lets go."""
        mouse = self.page.mouse
        mouse.move(x, y)
        mouse.down()
        mouse.move(x + moved, y)
        self.page.wait_for_timeout(100)
        mouse.up()


FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 20, true))))"
"""True when what was drawn last has been drawn."""
