"""A command's standard streams, made safe: no text can harm a terminal, and no broken stream can end a run.

Names of files and classes, and text in damaged files, may hold any characters; those that control a terminal or change
the direction of text are shown as escapes. Text for a stream that is closed, full, or read by nobody any more is
dropped; the run goes on, and its exit code stays.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, Protocol, TextIO

from runtime.console.log import log
from runtime.console.signals import Signals
from runtime.console.version import __version__
from runtime.errors import PerchError, reason
from runtime.files import utf8

Main = Callable[[Sequence[str]], int]
SHOWN = 10
"""The most lines of one kind that are printed."""
STEERING = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\ufeff\U000e0000-\U000e007f"
)
"""Control characters except tab and newline, marks and overrides of direction, line separators, and tags."""
STEERS = re.compile(f"[{STEERING}]")
STEERS_OR_BREAKS = re.compile(f"[\t\n{STEERING}]")


def printable(text: object) -> str:
    """Text on one line, in which characters that control a terminal become `\\x1b`, and bytes of a name `\\xff`."""
    return STEERS_OR_BREAKS.sub(_escaped, utf8(str(text)))


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def complain(name: str, text: object) -> None:
    """Prints one line on standard error, after the command's name."""
    print(f"{name}: {printable(text)}", file=sys.stderr, flush=True)


def complain_all(name: str, lines: Sequence[str], what: str) -> None:
    """Prints the first few lines so, and how many more there are."""
    for line in lines[:SHOWN]:
        complain(name, line)
    if len(lines) > SHOWN:
        complain(name, f"and {len(lines) - SHOWN} more {what}")


class Complaints(logging.Handler):
    """Prints what a run logs as the command's own messages, and keeps it from other handlers."""

    def __init__(self, name: str) -> None:
        super().__init__(logging.WARNING)
        self._name = name

    def emit(self, record: logging.LogRecord) -> None:
        complain(self._name, record.getMessage())

    def __enter__(self) -> None:
        log.addHandler(self)
        self._before, log.propagate = log.propagate, False

    def __exit__(self, *_: object) -> None:
        log.removeHandler(self)
        log.propagate = self._before


class Output(io.TextIOBase):
    """A safe text stream around one of Python's, which is None if it is closed.

    `bare` is the same stream without escapes, for progress bars.
    """

    def __init__(self, stream: TextIO | None, care: bool = True) -> None:
        self._stream = stream
        self._care = care
        self.problem: OSError | ValueError | None = None
        """Why text was dropped; None if all was written."""
        self.bare = Output(stream, care=False) if care else self

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._stream, "encoding", None) or "utf-8"

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            return self._stream is not None and self._stream.isatty()
        return False

    def fileno(self) -> int:
        if self._stream is None:
            raise io.UnsupportedOperation("the stream is closed")
        return self._stream.fileno()

    def write(self, text: str) -> int:
        shown = STEERS.sub(_escaped, utf8(text)) if self._care else text
        encodable = shown.encode(self.encoding, "backslashreplace").decode(self.encoding)
        self._try(lambda stream: stream.write(encodable))
        return len(text)

    def flush(self) -> None:
        self._try(lambda stream: stream.flush())

    def _try(self, work: Callable[[TextIO], object]) -> None:
        if self._stream is None:
            return
        try:
            work(self._stream)
        except (OSError, ValueError) as error:  # ValueError: it was closed
            self.problem = error
            _mute(self._stream)
            self._stream = None


def _mute(stream: TextIO) -> None:
    """Redirects a stream to nowhere: at exit Python would write what is left in its buffer, and fail."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def streams(name: str) -> Iterator[None]:
    """Makes the standard streams safe while the command of this name runs."""
    for descriptor in range(3):  # else the next file that is opened takes the number of a closed stream
        try:
            os.fstat(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDWR)
    before = sys.stdout, sys.stderr
    out, err = Output(sys.stdout), Output(sys.stderr)
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        out.flush()
        if out.problem is not None and not isinstance(out.problem, BrokenPipeError):
            complain(name, f"output was lost ({reason(out.problem)})")
        sys.stderr.flush()
        sys.stdout = before[0]
        if sys.stderr is err:  # else something replaced it in the meantime
            sys.stderr = before[1]


class Command(Protocol):
    """A command's `main()`: takes arguments, those of the process if None, and returns the exit code."""

    def __call__(self, args: Sequence[str] | None = None) -> int: ...


def command(name: str) -> Callable[[Main], Command]:
    """Decorates a function from arguments to exit code, making it a command's `main()`.

    An error of this project, or one of the system such as a full disk, is printed in one line, and the exit code is 2.
    After Ctrl-C or SIGTERM it is 130 or 143; the line is what the KeyboardInterrupt says, or "interrupted".
    """

    def made(main: Main) -> Command:
        def run(args: Sequence[str] | None = None) -> int:
            arguments = sys.argv[1:] if args is None else list(args)
            with streams(name), Signals() as signals:
                if (problem := _unusable(arguments)) is not None:
                    complain(name, problem)
                    return 2
                try:
                    return main(arguments)
                except KeyboardInterrupt as interrupt:
                    complain(name, str(interrupt) or "interrupted")
                    return signals.code or 130
                except Exception as error:
                    if signals.received:  # libraries turn an interruption into errors of their own
                        complain(name, "interrupted")
                        return signals.code
                    if not isinstance(error, (PerchError, OSError)):
                        raise
                    complain(name, _said(error))
                    return 2

        return run

    return made


def _said(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, PerchError):
        return f"{error.filename or 'the system'}: {reason(error)}"
    return str(error)


class Parser(argparse.ArgumentParser):
    """A command's parser, which takes no abbreviations of options.

    Its errors are one line: a page of usage above it hides what is wrong.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=Paragraphs, **settings)

    def error(self, message: str) -> NoReturn:
        """Prints what is wrong and ends with exit code 2."""
        complain(self.prog, f"{message}; `{self.prog} --help` explains the options")
        sys.exit(2)


class Subparser(Parser):
    """The parser of a command's command. It refuses unknown options itself, so that the error names its own help."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed, unknown


class Paragraphs(argparse.HelpFormatter):
    """Wraps a description and an epilog to the terminal, paragraph by paragraph. An indented line stays one.

    A command that is too long is broken as a shell takes it.
    """

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = re.sub(r"(?<=\S)\n(?=\S)", " ", text.strip()).splitlines()
        return "\n".join(self._wrapped(line, width) for line in lines)

    def _wrapped(self, line: str, width: int) -> str:
        margin = line.removesuffix(line.lstrip())
        if not (margin and line.lstrip().startswith(f"{self._prog.split()[0]} ")):
            return textwrap.fill(line, width, subsequent_indent=margin, break_on_hyphens=False)
        command = re.sub(r"( -\S+) (?!-)", "\\1\xa0", line)  # an option stays with its value
        pieces = textwrap.wrap(command, width - 2, subsequent_indent=f"{margin}        ", break_on_hyphens=False)
        return " \\\n".join(pieces).replace("\xa0", " ")


def add_version(parser: argparse._ActionsContainer) -> None:
    """Adds the option --version."""
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {__version__}", help="print the version and exit"
    )


def _unusable(arguments: Sequence[str]) -> str | None:
    """Why a command cannot run at all; None if it can."""
    for argument in arguments:
        if "\0" in argument:
            return f"no file can be called {argument!r}, which holds a NUL"
    try:
        os.getcwd()
    except OSError as error:
        return f"the working folder is gone ({reason(error)}); change to another one"
    return None
