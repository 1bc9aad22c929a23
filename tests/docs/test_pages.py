"""The pages that are made from code: they are those of today, and say all there is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import cli as bench
from convert import cli as convert
from convert.untrained import __main__ as untrained
from runtime.explore import cli as explore
from runtime.request import parser as run
from runtime.request.archive import ArchiveOptions
from runtime.request.detections import Detections
from runtime.request.field import options_of
from runtime.request.request import Request

DOCS = Path(__file__).parents[2] / "docs"


def check(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DOCS / "pages.py"), str(folder), *more]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_stale_page_is_named_until_it_is_written_anew(tmp_path: Path) -> None:
    pages = ("options.md", "command-line.md")
    for name in pages:
        shutil.copy(DOCS / name, tmp_path)
    assert check(tmp_path, "--check").stderr == "", "docs/ is stale: run `python docs/pages.py`"
    (tmp_path / "options.md").write_text("# Options of a run\n")
    (tmp_path / "command-line.md").unlink()
    stale = check(tmp_path, "--check")
    assert (stale.returncode, stale.stderr) == (1, "stale: options.md, command-line.md; run `python docs/pages.py`\n")
    assert (tmp_path / "options.md").read_text() == "# Options of a run\n"
    assert check(tmp_path).returncode == 0
    assert [(tmp_path / name).read_text() for name in pages] == [(DOCS / name).read_text() for name in pages]


def test_each_option_of_a_run_has_a_heading_its_default_and_its_help() -> None:
    page = (DOCS / "options.md").read_text().replace("`", "")
    options = [*options_of(Request), *options_of(Detections), *options_of(ArchiveOptions)]
    headings = re.findall(r"^### (.*)$", page, flags=re.M)
    assert sorted(headings) == sorted(option.flags[-1] if option.group else option.name for option in options)
    for option in options:
        section = page.split(f"### {option.flags[-1] if option.group else option.name}\n")[1].split("\n#")[0]
        plain = re.sub(r"\[(\w+)\]\(#[\w-]+\)", r"\1", section)
        assert option.help.replace('"', "").replace("`", "")[1:] in plain
        assert option.unset.replace('"', "").replace("`", "") in plain


@pytest.mark.parametrize("command", [run, convert, bench, explore, untrained])
def test_each_option_of_a_command_is_listed(command: object, capsys: pytest.CaptureFixture[str]) -> None:
    parser = command.make_parser()  # type: ignore[attr-defined]
    helps = [parser.format_help()]
    for name in re.findall(r"^    (\w+)", helps[0], flags=re.M) if "COMMAND" in helps[0] else ():
        with pytest.raises(SystemExit):
            parser.parse_args([name, "--help"])
        helps.append(capsys.readouterr().out)
    flags = {flag for text in helps for flag in re.findall(r"^  (?:-\w.*, )?(--[\w-]+)", text, flags=re.M)}
    page = (DOCS / "command-line.md").read_text() + (DOCS / "options.md").read_text()
    assert flags - {"--help", "--version"}
    assert [flag for flag in sorted(flags) if f"`{flag}`" not in page and f"`{flag} " not in page] == []


def test_no_markup_of_argparse_is_left() -> None:
    page = (DOCS / "command-line.md").read_text()
    assert not re.findall(r"%%|%\(|\(default|SUPPRESS|None", page)
