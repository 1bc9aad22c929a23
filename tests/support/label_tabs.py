"""The label page in a browser's tab, and a server for it in the tests' own process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runtime.explore.labelling.journal import Journal
from tests.support.browser import Tab
from tests.support.labelling import TOKEN, open_page

HERE = "JSON.parse(sessionStorage.at).row_id"


def answers(labels: Path) -> dict[str, tuple[set[str], str]]:
    """What a label file holds: species and answer, by row_id."""
    return {row_id: (set(answer.species), answer.answer) for row_id, answer in Journal(labels).answers.items()}


class Shared:
    """A server in this process."""

    def __init__(self, folder: Path) -> None:
        self.labels = folder / "labels.csv"
        self.page = open_page([folder / "out.parquet"], self.labels)
        self.address = f"http://127.0.0.1:{self.page.port}/{TOKEN}/"

    @property
    def answers(self) -> dict[str, tuple[set[str], str]]:
        return answers(self.labels)


class Labelling(Tab):
    """A tab with the page."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        super().__init__(browser, reduced_motion="reduce", **options)
        self.open(address)

    def open(self, address: str) -> None:
        self.page.goto(address)
        self.page.wait_for_selector("#image img")

    @property
    def row_id(self) -> str:
        return str(self.run(HERE))

    def text(self, of: str) -> str:
        return str(self.page.text_content(f"#{of}"))

    def type(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def search(self, name: str) -> None:
        self.type("/")
        self.page.keyboard.type(name)
        self.type("Enter")

    def go(self, key: str) -> str:
        """Presses a key that goes to another window, waits for it, and returns which it was before."""
        before = self.row_id
        self.type(key)
        self.page.wait_for_function(
            f"before => {HERE} !== before && document.getElementById('said').textContent.includes({HERE})", arg=before
        )
        return before
