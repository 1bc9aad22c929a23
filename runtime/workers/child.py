"""A child process that speaks pickles on its standard streams, as its parent sees it.

It is a plain program, whose every import is this project's own: Python's `multiprocessing` would import the caller's
main module again, which fails in a script without a `__main__` guard, in a notebook cell and in a program on standard
input.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

# The caller's import path comes first on standard input.
PROGRAM = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); from runtime.workers.child import run; run({!r})"
)
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
GREETING = b"\x00perch-onnx child\x00"
"""What a child says first, so that its messages can be told from what Python's start-up may print."""


END_S = 10.0
"""How long a process that says no more may take to end."""


class Child:
    """A process, and the thread that listens to it.

    Args:
        module: whose `main()` it runs.
        first: the first message it gets.
        inbox: where what it says goes, as (this, message); (this, None) when it says no more.
        descriptors: open files that it inherits, under the same numbers.

    Raises:
        OSError: no process can be started.
    """

    def __init__(
        self,
        module: str,
        first: object,
        inbox: queue.SimpleQueue[tuple[Any, Any]],
        descriptors: Sequence[int] = (),
    ) -> None:
        self.heard = time.monotonic()
        """When it said something last, or was asked for something."""
        self.ready = False
        """Whether it is done with its start."""
        self._inbox = inbox
        self._silent_s: float | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", PROGRAM.format(module)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env={**os.environ, **ONE_THREAD},
                pass_fds=descriptors,
            )
        except OSError:
            self._errors.close()
            raise
        self._introduced = threading.Event()
        self._thread = threading.Thread(target=self._talk, args=(first,), daemon=True)
        self._thread.start()

    def ask(self, message: object) -> None:
        """Sends a message that wants an answer: from now on it is waited for."""
        self.heard = time.monotonic()
        self.send(message)

    def send(self, message: object) -> None:
        """Sends a message, after the first; a dead process is noticed by the one who listens."""
        self._introduced.wait()
        self._send(message)

    def _send(self, message: object) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()

    def give_up_on(self, silent_s: float) -> None:
        """Kills a process that said nothing for so long."""
        self._silent_s, self.heard = silent_s, time.monotonic()
        self._process.kill()

    def stop(self) -> None:
        """Ends the process at once; it holds nothing that is not sent."""
        self._process.kill()
        self._process.wait()
        self._thread.join()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        self._errors.close()

    def last_words(self) -> str:
        """Why the process ended: its exit code and its last line on standard error."""
        ended = self._process.poll() is not None
        self._process.kill()
        code = self._process.wait()
        if self._silent_s is not None:
            return f"said nothing for {self._silent_s:g} s"
        if not ended:
            return "sent what is no message"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return f"{how} ({lines[-1][:200]})" if lines else how

    def _talk(self, first: object) -> None:
        """Sends what the process starts with, then passes on what it says."""
        try:
            try:
                self._send(_import_path())
                self._send(first)
            finally:
                self._introduced.set()
            self._skip_to_greeting()
            while True:
                message = pickle.load(self._process.stdout)  # type: ignore[arg-type]
                self.heard = time.monotonic()
                self._inbox.put((self, message))
        except Exception:  # the end, or nonsense, of which unpickling can make any exception
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_S)  # its exit code comes after its last word
            self._inbox.put((self, None))

    def _skip_to_greeting(self) -> None:
        """What libraries print while Python starts comes before it."""
        assert self._process.stdout is not None
        tail = b""
        while tail != GREETING:
            byte = self._process.stdout.read(1)
            if not byte:
                raise EOFError
            tail = (tail + byte)[-len(GREETING) :]


def run(module: str) -> NoReturn:
    """The whole of a child: its module's `main()`, and the end of all its threads with it.

    Python's own end would wait for the thread that listens, and abort.
    """
    code = 1
    try:
        importlib.import_module(module).main()
        code = 0
    except BaseException:
        traceback.print_exc()
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code)


def serve() -> tuple[BinaryIO, Callable[[object], None]]:
    """What a child's `main()` begins with: a stream of messages to unpickle, and how to answer.

    Standard output is for messages alone from now on: what libraries print goes to standard error.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    with contextlib.suppress(OSError):  # where memory runs out a child shall go, not the parent, which holds the rows
        Path("/proc/self/oom_score_adj").write_text("500")
    stream = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    stream.write(GREETING)

    def send(message: object) -> None:
        pickle.dump(message, stream, protocol=pickle.HIGHEST_PROTOCOL)
        stream.flush()

    return sys.stdin.buffer, send


def listen(receive: BinaryIO, take: Callable[[Any], object]) -> None:
    """What a child's listening thread does: it passes messages on.

    When the parent is gone, however it went, so is this process, whatever it is doing.
    """
    try:
        while True:
            take(pickle.load(receive))
    except Exception:  # the end of standard input, or a message cut short
        os._exit(1)


def _import_path() -> list[str]:
    """Where a worker imports from: this package's own folder before all else, then as its parent does."""
    paths = [str(Path(__file__).absolute().parent.parent.parent)]
    for entry in sys.path:
        with contextlib.suppress(OSError):  # relative to a working folder that is gone
            paths.append(os.path.abspath(entry))
    return paths
