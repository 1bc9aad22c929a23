"""A command's standard streams: whatever they are connected to, no text is lost, harmful, or the end of a run.

Names of files and classes, and what a damaged file says, may hold anything; characters that steer a terminal or turn
the order of letters are shown by their numbers. A stream that is closed, full, or read by nobody any more takes what it
is given and drops it; a run goes on, and its exit code stays.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TextIO

from runtime.errors import reason
from runtime.files import utf8
from runtime.log import log
from runtime.version import __version__

Main = Callable[[Sequence[str]], int]
STEERING = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\ufeff\U000e0000-\U000e007f"
)
"""Control characters (all but tab and newline), marks and overrides of direction, separators of lines, and tags."""
STEERS = re.compile(f"[{STEERING}]")
STEERS_OR_BREAKS = re.compile(f"[\t\n{STEERING}]")


def printable(text: object) -> str:
    """Text on one line, in which characters that steer a terminal stand as `\\x1b`, and bytes of a name as `\\xff`."""
    return STEERS_OR_BREAKS.sub(_escaped, utf8(str(text)))


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def complain(name: str, text: object) -> None:
    """Says in a line, on standard error, what the command of this name has to say."""
    print(f"{name}: {printable(text)}", file=sys.stderr, flush=True)


class Complaints(logging.Handler):
    """What a run logs, said as the command of this name says things, and nowhere else."""

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
    """A stream for people to read, over one of Python's (None where that is closed).

    `bare` is the same without care for what steers a terminal, for progress bars.
    """

    def __init__(self, stream: TextIO | None, care: bool = True) -> None:
        self._stream = stream
        self._care = care
        self.problem: OSError | ValueError | None = None
        """Why what was written did not arrive."""
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
        known = shown.encode(self.encoding, "backslashreplace").decode(self.encoding)
        self._try(lambda stream: stream.write(known))
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
    """Sends what a stream still holds to nowhere, or Python would try to write it at its end, and fail then."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def streams(name: str) -> Iterator[None]:
    """Lets the command of this name print to anything."""
    for descriptor in range(3):  # else the next file that is opened takes the place of a stream that is closed
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
            complain(name, f"what was to be printed is lost ({reason(out.problem)})")
        sys.stderr.flush()
        sys.stdout = before[0]
        if sys.stderr is err:  # else another stands for one that was hushed
            sys.stderr = before[1]


class Command(Protocol):
    """A command's `main()`: its arguments, those of the process if None, and its exit code."""

    def __call__(self, args: Sequence[str] | None = None) -> int: ...


def command(name: str) -> Callable[[Main], Command]:
    """Makes a command's `main()` of what takes its arguments and returns its exit code.

    What the system refuses unforeseen, such as a disk that is full, is said in a line; then the exit code is 2.
    """

    def made(main: Main) -> Command:
        def run(args: Sequence[str] | None = None) -> int:
            arguments = sys.argv[1:] if args is None else list(args)
            with streams(name):
                if (problem := _unusable(arguments)) is not None:
                    complain(name, problem)
                    return 2
                try:
                    return main(arguments)
                except OSError as error:
                    complain(name, f"{error.filename or 'the system'}: {reason(error)}")
                    return 2

        return run

    return made


def add_version(parser: argparse._ActionsContainer) -> None:
    """Has a command say which version it is."""
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {__version__}", help="say which version this is"
    )


def _unusable(arguments: Sequence[str]) -> str | None:
    """What keeps a command from running at all."""
    for argument in arguments:
        if "\0" in argument:
            return f"no file can be called {argument!r}, which holds a NUL"
    try:
        os.getcwd()
    except OSError as error:
        return f"the folder that this was started in is gone ({reason(error)}); change to one that is there"
    return None
