"""What commands print: nothing that steers a terminal, no error where it cannot be printed. How signals end them."""

from __future__ import annotations

import argparse
import importlib
import io
import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks.cli
import convert.cli
import runtime.cli
import runtime.explore.cli
from runtime.console.terminal import Output, Parser, command, complain, printable, streams
from runtime.errors import PerchError

MAINS = (benchmarks.cli.main, convert.cli.main, runtime.cli.main, runtime.explore.cli.main)
PROGRAM = """
import sys
from runtime.console.terminal import command, complain
@command("perch-test")
def main(args):
    print("größe 鳥", args[0])
    complain("perch-test", "größe 鳥")
    return 3
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größe 鳥 🐦 \N{ZERO WIDTH JOINER}e\u0301", None),
        ("a\x1b[31mred\x07", r"a\x1b[31mred\x07"),
        ("one\ntwo\r\tthree", r"one\ntwo\r\tthree"),
        ("\u202egpj.exe\u2066\u200f", r"\u202egpj.exe\u2066\u200f"),
        ("\x9b31m\x7f\u2028\ufeff\U000e0041", r"\x9b31m\x7f\u2028\ufeff\U000e0041"),
        (os.fsdecode(b"not \xff utf8"), r"not \xff utf8"),
    ],
)
def test_text_is_shown_on_one_line_as_it_is(text: str, shown: str | None) -> None:
    assert printable(text) == (text if shown is None else shown)


@pytest.mark.parametrize("module", ["benchmarks.cli", "convert.cli", "runtime.explore.cli", "runtime.request.parser"])
def test_help_fits_the_terminal_and_its_examples_are_commands(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    parser = importlib.import_module(module).make_parser()
    subcommands = [each.choices.values() for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    for each in itertools.chain([parser], *subcommands):
        said = each.format_help()
        assert [line for line in said.splitlines() if len(line) > 80] == []
        examples = re.findall(rf"^  {parser.prog} (.*)$", said.replace("\\\n", ""), flags=re.M)
        assert examples or (subcommands and each is parser)
        for example in examples:
            parser.parse_args(shlex.split(example))


def test_help_keeps_paragraphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "32")
    parser = Parser(prog="perch-x", description="One paragraph,\nof two lines.\n\nAnother.\n", add_help=False)
    parser.epilog = "example:\n  perch-x --input a.csv --output b.csv\n      what it is good for, in words"
    assert (
        parser.format_help().split("\n\n", 1)[1]
        == """\
One paragraph, of two lines.

Another.

example:
  perch-x --input a.csv \\
          --output b.csv
      what it is good for, in
      words
"""
    )


def test_what_is_printed_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with streams("perch-test"):
        print("one\ntwo\tthree \x1b[2J\u202e")
        complain("perch-test", "a\nb\x1b]0;c")
    printed = capsys.readouterr()
    assert printed.out == "one\ntwo\tthree \\x1b[2J\\u202e\n"
    assert printed.err == "perch-test: a\\nb\\x1b]0;c\n"


def test_any_encoding_takes_any_text() -> None:
    for encoding, expected in (("cp1252", b"\xfc \\u9ce5 \\xff"), ("ascii", b"\\xfc \\u9ce5 \\xff")):
        held = io.BytesIO()
        output = Output(io.TextIOWrapper(held, encoding=encoding))
        print("ü 鳥 \udcff", end="", file=output)
        output.flush()
        assert held.getvalue() == expected


def test_a_bar_steers_the_terminal() -> None:
    held = io.StringIO()
    print("\r\x1b[A", end="", file=Output(held).bare)
    assert held.getvalue() == "\r\x1b[A"


def test_streams_that_are_closed_take_what_they_get() -> None:
    gone = io.StringIO()
    gone.close()
    for stream in (None, gone):
        output = Output(stream)
        print("nothing", file=output, flush=True)
        assert not output.isatty()


@pytest.mark.parametrize(
    ("redirected", "out", "error"),
    [
        (
            ">/dev/full",
            "",
            "perch-test: größe 鳥\nperch-test: output was lost (no space left on device)\n",
        ),
        (">&-", "", "perch-test: größe 鳥\n"),
        ("2>/dev/full", "größe 鳥 x\n", ""),
        ("2>&-", "größe 鳥 x\n", ""),
        (">&- 2>&- <&-", "", ""),
    ],
)
def test_exit_codes_stay_whatever_streams_do(redirected: str, out: str, error: str) -> None:
    shell = ["sh", "-c", f'exec "$0" -c "$1" x {redirected}', sys.executable, PROGRAM]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(shell, capture_output=True, env=environment, timeout=120)
    assert (done.returncode, done.stdout.decode(), done.stderr.decode()) == (3, out, error)


@pytest.mark.parametrize("main", MAINS)
def test_every_command_refuses_a_nul_and_a_folder_that_is_gone(
    main: object, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["plot", "a\0b"]) == 2  # type: ignore[operator]
    assert "no file can be called 'a\\x00b'" in capsys.readouterr().err
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(["plot"]) == 2  # type: ignore[operator]
    (line,) = capsys.readouterr().err.splitlines()
    assert "the working folder is gone" in line


def test_what_the_system_refuses_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    @command("perch-test")
    def main(args: object) -> int:
        raise OSError(28, "No space left on device", "out\x1b.csv")

    assert main([]) == 2
    assert capsys.readouterr().err == "perch-test: out\\x1b.csv: no space left on device\n"


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 143)])
def test_a_signal_ends_a_command_and_what_comes_after_sigterm_does_not_stop_the_cleaning_up(
    capsys: pytest.CaptureFixture[str], number: str, code: int
) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    cleaned = []

    @command("perch-test")
    def main(args: object) -> int:
        try:
            signal.raise_signal(getattr(signal, number))
        finally:
            signal.raise_signal(signal.SIGTERM)
            cleaned.append(number)
        return 0

    assert main([]) == code
    assert cleaned == [number]
    assert capsys.readouterr().err == "perch-test: interrupted\n"
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


@pytest.mark.parametrize("error", [PerchError("it is no model"), OSError("no model"), RuntimeError("no model")])
def test_an_interruption_that_a_library_turned_into_an_error_is_one(
    capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    @command("perch-test")
    def main(args: object) -> int:
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise error from None
        return 0

    assert main([]) == 143
    assert capsys.readouterr().err == "perch-test: interrupted\n"


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    @command("perch-test")
    def main(args: object) -> int:
        signal.raise_signal(signal.SIGHUP)
        return 0

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert main([]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("main", MAINS)
def test_what_is_told_of_arguments_steers_no_terminal(main: object, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--model", "\x1b[31mx", "\x1b[2J", "--unknown\x1b[31m"])  # type: ignore[operator]
    assert stopped.value.code == 2
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
