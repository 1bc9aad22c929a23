"""What pages name in passing, and in blocks that cannot be run, exists: options, and files of this repository."""

from __future__ import annotations

import ast
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.request.parser import in_flags
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


def test_messages_quoted_are_those_that_the_program_prints() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    quoted = {
        text for title in re.findall(r"^- \*\*(`.*`)\*\*:", page, flags=re.M) for text in re.findall("`(.+?)`", title)
    }
    foreign = {"part2_3_length … too large"}  # libmpg123 prints it
    messages = (in_flags(text) if "='…'" in text else text for text in _messages())
    printed = [*messages, f"cannot write to … ({os.strerror(errno.ENOSPC).lower()})"]
    assert len(quoted) > 20
    assert {text for text in quoted - foreign if not any(text in message for message in printed)} == set()


def _messages() -> Iterator[str]:
    """All texts in the code, with `…` for what is put into them."""
    for path in (path for package in ("convert", "runtime") for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
