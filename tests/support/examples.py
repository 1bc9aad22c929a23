"""Runs the examples of a Markdown page in order, and says which of them do not do what the page shows.

- `sh`, `bash`: run in bash; the first command that fails fails the block.
- `console`: commands behind `$ ` and what they print. Words are compared, figures are not, and `...` stands for
  anything. A command that fails is followed by `$ echo $?`, whose figure is compared.
- `python`: executed; all blocks of a page share their names.
- `pycon`: a doctest, whose results are compared exactly; `...` stands for anything.
- `json`, `toml`: parsed.

Any other block is marked right before it with `<!-- skip: next "needs R" -->`; a comment
`<!-- invisible-code-block: python` holds what only the test needs.
"""

from __future__ import annotations

import doctest
import itertools
import json
import os
import re
import signal
import subprocess
import tomllib
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from unittest import SkipTest

from sybil import Document, Example, Region, Sybil
from sybil.evaluators.doctest import DocTest, OutputChecker
from sybil.evaluators.python import PythonEvaluator
from sybil.example import SybilFailure
from sybil.parsers.abstract.lexers import LexerCollection
from sybil.parsers.markdown import SkipParser
from sybil.parsers.markdown.lexers import DirectiveInHTMLCommentLexer, RawFencedCodeBlockLexer

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FIGURE = re.compile(r"\b[0-9a-f]{12,}\b|\d+(?:[.,]\d+)*(?:e[-+]?\d+)?")
"""A number, or a fingerprint."""
ELLIPSIS = re.compile(r"(?:^| )\.\.\.(?: |$)|\.\.\.")
"""What stands for anything, also for nothing between two words."""
END = "-- end of command, status"
PATIENCE_S = 300
"""How long a block of commands may take before it counts as hanging."""


def failures(page: Path) -> list[str]:
    """Runs a page's examples in the current folder; what those that fail should have done, and what they did."""
    document = Sybil([_Skips(), _Blocks()]).parse(page)
    document.namespace["__name__"] = "__main__"
    found = []
    for example in document.examples():
        try:
            example.evaluate()
        except SkipTest:
            continue
        except SybilFailure as failure:
            found.append(f"{page}, line {example.line}:\n{failure.result}")
    if document.evaluators:
        found.append(f"{page}: no block follows the last skip")
    return found


class _Skips(SkipParser):
    """Sybil's own directive, but each skips one block, with a reason that says what is needed to run it."""

    def __call__(self, document: Document) -> Iterable[Region]:
        for region in super().__call__(document):
            action, reason = region.parsed
            if action != "next" or not _holds(reason or ""):
                region.evaluator = self._unreasoned
            yield region

    def _unreasoned(self, example: Example) -> str:
        """Skips all the same: what was to be skipped may take an hour."""
        stated, example.parsed = example.parsed, ("next", '"a failure"')
        self.skipper.evaluate_skip_example(example)
        return f'not `skip: next "needs ..."` with what is needed: {stated}'


def _holds(reason: str) -> bool:
    """Whether a reason says what is needed; if that is minutes, by which make target, test or other page it is run."""
    if not re.fullmatch(r'"needs [^"]+"', reason):
        return False
    if not reason.startswith('"needs minutes'):
        return True
    rules = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = [target in rules for target in re.findall(r"make ([\w-]+)", reason)]
    named += [(ROOT / path).exists() for path in re.findall(r"(?:docs|tests)/[\w/.-]*\w", reason)]
    return bool(named) and all(named)


class _Blocks:
    """All fenced blocks, whatever their language, and those in comments."""

    lexers = LexerCollection(
        [
            RawFencedCodeBlockLexer(re.compile(r"[ \t]*(?P<language>[^\s]*)[^\n]*\n")),
            DirectiveInHTMLCommentLexer(
                "invisible-code-block", r"\w+", mapping={"arguments": "language", "source": "source"}
            ),
        ]
    )

    def __call__(self, document: Document) -> Iterable[Region]:
        for region in self.lexers(document):
            region.parsed = region.lexemes["source"]
            region.evaluator = EVALUATORS.get(region.lexemes["language"], _unknown)
            yield region


def _unknown(example: Example) -> str:
    return f"nothing runs a block of {example.region.lexemes['language']!r}, and it is not marked"


def _python(example: Example) -> str | None:
    try:
        PythonEvaluator()(example)
    except Exception:
        return traceback.format_exc()
    return None


def _pycon(example: Example) -> str:
    """A doctest."""
    examples = doctest.DocTestParser().get_examples(example.parsed)
    out = [] if examples else ["no >>> in it"]
    test = DocTest(examples, example.namespace, "the page", example.path, example.line, None)
    runner = doctest.DocTestRunner(OutputChecker(), verbose=False, optionflags=doctest.ELLIPSIS)
    runner.run(test, out=out.append, clear_globs=False)
    return "".join(out)


def _shell(example: Example) -> str | None:
    """A script, up to the first command that fails."""
    trap = f"trap 'echo \"exit status $? at line $(({example.line - 1} + LINENO)): $BASH_COMMAND\" >&2' ERR"
    code, printed = _bash(f"set -euE -o pipefail; {trap}\n{example.parsed}")
    return f"exit status {code}\n{printed}" if code else None


def _bash(script: str) -> tuple[int, str]:
    """Runs a script; returns its exit status and all that it printed, in the order of printing."""
    command = ["bash", "-c", script]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            printed, _ = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with its children, which hold the pipe
            printed = f"killed after {PATIENCE_S} s; it had printed:\n{process.communicate()[0]}"
    return process.returncode, printed


@dataclass
class _Command:
    """A command of a console block, and what is shown of its output; `line` counts in the page."""

    line: int
    source: str
    shown: str = ""

    @property
    def asks_status(self) -> bool:
        return self.source.strip() == "echo $?"


def _console(example: Example) -> str:
    """Commands of one shell, with their output."""
    commands = list(_commands(example))
    mark = f'\nset -- $?; echo; echo "{END} $1"; (exit $1)\n'
    _, printed = _bash("set -u -o pipefail\n" + "".join(command.source + mark for command in commands))
    # What is printed, a status, what is printed next, ... and what stands behind the last status.
    pieces = re.split(rf"\n{END} (\d+)\n", printed)
    done = list(zip(pieces[:-1:2], map(int, pieces[1::2])))
    if not commands or len(done) < len(commands):
        return f"the shell ended after {len(done)} of {len(commands)} commands:\n{pieces[-1]}"
    following = [*commands[1:], None]
    return "\n".join(
        itertools.chain.from_iterable(
            _differences(command, got, 0 if after and after.asks_status else status)
            for command, after, (got, status) in zip(commands, following, done, strict=True)
        )
    )


def _commands(example: Example) -> Iterator[_Command]:
    command = None
    for line, text in enumerate(example.parsed.splitlines(), example.line + 1):
        if text.startswith("$ "):
            if command:
                yield command
            command = _Command(line, text[2:])
        elif command and not command.shown and command.source.endswith("\\"):
            command.source += "\n" + text.removeprefix("> ")
        elif command:
            command.shown += text + "\n"
    if command:
        yield command


def _differences(command: _Command, got: str, status: int) -> Iterator[str]:
    """What a command did otherwise than shown."""
    where = f"line {command.line}: $ {command.source}\n"
    if status:
        yield f"{where}exit status {status}\n{got}"
    shown, printed = command.shown, got
    if not command.asks_status:
        shown, printed = FIGURE.sub("0", shown), FIGURE.sub("0", printed)
    parts = ELLIPSIS.split(" ".join(shown.split()))
    if not re.fullmatch(".*".join(map(re.escape, parts)), " ".join(printed.split())):
        yield f"{where}Expected:\n{indent(command.shown, '    ')}Got:\n{indent(got, '    ')}"


def _parsed_by(parse: Callable[[str], object]) -> Callable[[Example], str | None]:
    def evaluate(example: Example) -> str | None:
        try:
            parse(example.parsed)
        except ValueError as error:
            return str(error)
        return None

    return evaluate


EVALUATORS: dict[str, Callable[[Example], str | None]] = {
    "bash": _shell,
    "console": _console,
    "json": _parsed_by(json.loads),
    "pycon": _pycon,
    "python": _python,
    "sh": _shell,
    "toml": _parsed_by(tomllib.loads),
}
