"""Every block of README, CONTRIBUTING and docs/ does what the page says, or is marked with what it needs."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from unittest import mock

import pytest

from runtime.model.profile import VARIABLE
from tests.support import example_world
from tests.support.examples import PAGES, ROOT, failures

SLOW = {
    ROOT / "docs" / f"{page}.md"
    for page in ("start-competition", "start-field", "archive", "embeddings", "ensembles", "teach")
}
"""Pages that `make stress` runs: tests of archives, of exploring and of several models do what their commands do."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return example_world.build(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.slow if page in SLOW else ()) for page in PAGES],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_examples_do_what_the_page_shows(
    page: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shutil.copytree(world, tmp_path / "world"))
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",  # both streams in the order of printing
        "MPLBACKEND": "Agg",
        VARIABLE: str(tmp_path / "profile.json"),
        "http_proxy": "http://127.0.0.1:9",  # no network: nobody listens there
        "https_proxy": "http://127.0.0.1:9",
    }
    with mock.patch.dict(os.environ, environment):  # and what a page sets is undone
        del os.environ["TF_CPP_MIN_LOG_LEVEL"]  # the tests' own, which shows TensorFlow's notices
        assert "\n\n".join(failures(page)) == ""
