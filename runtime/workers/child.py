"""A child process that exchanges pickled messages with its parent on its standard streams: both sides of it.

It is a plain program that imports nothing of its caller: Python's `multiprocessing` would import the caller's main
module again, which fails in a script without a `__main__` guard, in a notebook cell and in a program on standard input.
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
"""What a child sends first; anything before it was printed while Python started."""
END_S = 10.0
"""How long a process may take to end after its last message."""


class Child:
    """A child process as its parent sees it, and the thread that listens to it.

    Args:
        module: the module whose `main()` it runs.
        first: the first message it gets.
        inbox: where its messages go, as (this, message), and at the end of its output (this, None).
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
        self.silent_since = time.monotonic()
        """When its last message came, or when it was last asked for one."""
        self.ready = False
        """Whether it has said that it is ready."""
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
        self.pid = self._process.pid
        self._first_sent = threading.Event()
        self._thread = threading.Thread(target=self._listen, args=(first,), daemon=True)
        self._thread.start()

    def ask(self, message: object) -> None:
        """Sends a message that wants an answer, for which it may take its time from now on."""
        self.silent_since = time.monotonic()
        self.send(message)

    def send(self, message: object) -> None:
        """Sends a message; if the process is dead, the thread that listens to it notices."""
        self._first_sent.wait()
        self._send(message)

    def _send(self, message: object) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()

    def give_up_on(self, silent_s: float) -> None:
        """Kills the process because it was silent for `silent_s` seconds."""
        self._silent_s, self.silent_since = silent_s, time.monotonic()
        self._process.kill()

    def stop(self) -> None:
        """Kills the process, which holds nothing worth keeping, and waits for its end."""
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
            return f"did not respond for {self._silent_s:g} s"
        if not ended:
            return "sent something that is not a message"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return f"{how} ({lines[-1][:200]})" if lines else how

    def _listen(self, first: object) -> None:
        """Sends the first messages to the process, then passes on the messages that it sends."""
        try:
            try:
                self._send(_import_path())
                self._send(first)
            finally:
                self._first_sent.set()
            self._skip_to_greeting()
            while True:
                message = pickle.load(self._process.stdout)  # type: ignore[arg-type]
                self.silent_since = time.monotonic()
                self._inbox.put((self, message))
        except Exception:  # the end of the stream, or no pickle, which can raise anything
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_S)  # so that it has an exit code
            self._inbox.put((self, None))

    def _skip_to_greeting(self) -> None:
        """Skips what libraries print while Python starts."""
        assert self._process.stdout is not None
        tail = b""
        while tail != GREETING:
            byte = self._process.stdout.read(1)
            if not byte:
                raise EOFError
            tail = (tail + byte)[-len(GREETING) :]


def run(module: str) -> NoReturn:
    """Runs a module's `main()` as all that a child process does; its threads end with it.

    Python's own way to exit would wait for the thread that listens, and abort.
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
    """Sets a child process up: returns the stream of its parent's messages, to be unpickled, and a function that sends.

    From now on standard output is for messages alone, and what libraries print goes to standard error.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches parent and children; the parent decides
    with contextlib.suppress(OSError):  # out of memory, kill a child rather than the parent, which holds the rows
        Path("/proc/self/oom_score_adj").write_text("500")
    stream = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    stream.write(GREETING)

    def send(message: object) -> None:
        pickle.dump(message, stream, protocol=pickle.HIGHEST_PROTOCOL)
        stream.flush()

    return sys.stdin.buffer, send


def listen(receive: BinaryIO, take: Callable[[Any], object]) -> None:
    """Passes on the parent's messages, in a thread of the child.

    When the parent ends, in whatever way, this process ends too, whatever it is doing.
    """
    try:
        while True:
            take(pickle.load(receive))
    except Exception:  # the end of standard input, or a message cut short
        os._exit(1)


def _import_path() -> list[str]:
    """Where a child imports from: this package's own folder first, then wherever its parent does."""
    paths = [str(Path(__file__).absolute().parent.parent.parent)]
    for entry in sys.path:
        with contextlib.suppress(OSError):  # a relative path, and the working folder is gone
            paths.append(os.path.abspath(entry))
    return paths
