"""What pages name in passing, and in blocks that cannot be run, exists: options, and files of this repository."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.examples import PAGES, ROOT

OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")
USE = re.compile(r"(?:perch-(?:run|convert|bench|explore)\b|(?<=`)--)[^`\n#|]*")
"""A command of this project with what follows it, or options in the text."""
FOREIGN = {"--array"}
"""Options of other programs: sbatch."""
FILE = re.compile(r"`((?:benchmarks|convert|docs|runtime|tests)/[\w/.]*)`")
NOW = [page for page in PAGES if page.name != "CHANGELOG.md"]


@pytest.mark.parametrize("page", NOW, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_and_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text().replace("\\\n", " ")
    made = [(ROOT / "docs" / name).read_text() for name in ("options.md", "command-line.md")]
    known = {option for reference in made for option in OPTION.findall(reference)} | {"--help", "--version"}
    named = {option for use in USE.findall(text) for option in OPTION.findall(use)}
    assert named - known - FOREIGN == set()
    assert [name for name in FILE.findall(text) if not (ROOT / name).exists()] == []
