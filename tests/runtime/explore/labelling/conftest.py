"""A world of six recordings, and pages over it that are closed at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.labelling import Page, open_page, write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    return write_world(tmp_path_factory.mktemp("world"), recordings=6)


@pytest.fixture
def opened(world: tuple[Path, Any], tmp_path: Path) -> Iterator[Callable[..., Page]]:
    pages: list[Page] = []

    def opened(**more: Any) -> Page:
        pages.append(open_page([more.pop("rows", world[0])], tmp_path / "labels.csv", **more))
        return pages[-1]

    yield opened
    for page in pages:
        page.close()
