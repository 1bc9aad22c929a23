"""Children of runs, forked from a process that has imported what they import.

Python's start and the imports cost 0.4 s of a core, in each of a thousand workers.
The rest is what a child of a run does: it is a process of its own, a child of the test's, with the pipes, environment
and working folder that it is given. Where a test changes what Python imports, children are started as in any run.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib
import os
import pickle
import platform
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn

from runtime.workers.child import ONE_THREAD, PROGRAM

MODULES = [f"runtime.workers.{name}" for name in ("worker", "decoder", "scorer", "headers", "outlines")]
MODULES += [f"benchmarks.throughput.{name}" for name in ("workers", "full_run")]
PROGRAMS = [PROGRAM.format(module) for module in MODULES]
CLONE = {"x86_64": 56, "aarch64": 220}.get(platform.machine()) if sys.platform == "linux" else None
"""The number of the system call that forks; elsewhere children are started as in any run."""
CLONE_PARENT = 0x8000
"""Makes the new process a sibling of the one that forks: a child of the test's process."""
MOST_BYTES, MOST_DESCRIPTORS = 2**17, 16


class _Origin:
    """The process that forks, and the way to ask it."""

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._imports = _imports(os.environ)
        self._socket, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            program = f"import sys; sys.path[:] = {sys.path!r}; import {__name__} as it; it.serve({its.fileno()})"
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", program],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **ONE_THREAD},
                pass_fds=[its.fileno()],
            )

    def suits(self, program: str, env: Mapping[str, str]) -> bool:
        """Whether a process that it forks is one that is started now."""
        return program in PROGRAMS and _imports(env) == self._imports

    def fork(self, program: str, env: dict[str, str], descriptors: dict[int, int]) -> int:
        """The id of a new process that runs a program with these descriptors, by the numbers that they get."""
        here = os.open(".", os.O_PATH)
        try:
            with self._asking:
                asked = pickle.dumps((program, env, list(descriptors)))
                socket.send_fds(self._socket, [asked], [*descriptors.values(), here])
                if not (answer := self._socket.recv(MOST_BYTES)):
                    raise ConnectionError("the process that forks has ended")
                if int(answer) < 0:  # as an id, -1 would be killed as all processes of this user
                    raise OSError("no process can be forked")
                return int(answer)
        finally:
            os.close(here)

    def stop(self) -> None:
        self._process.kill()
        self._socket.close()
        self._process.wait()


class WarmPopen(subprocess.Popen[bytes]):
    """`subprocess.Popen`, but a child of a run is forked."""

    origin: _Origin | None = None
    programs: ClassVar[dict[int, str]] = {}
    """What forked children run, by their ids: their command line is that of the process that forked."""

    @classmethod
    def begin(cls) -> None:
        cls.origin = _Origin() if CLONE else None

    @classmethod
    def end(cls) -> None:
        if cls.origin:
            cls.origin.stop()
        cls.origin = None

    def _execute_child(self, args: list[str], *rest: Any) -> None:
        if self.origin is None or not self.origin.suits(args[-1], rest[5]):
            return super()._execute_child(args, *rest)  # type: ignore[misc, no-any-return]
        given, env, pipes = rest[3], rest[5], rest[9:15]
        stdin, _, _, stdout, _, stderr = pipes
        descriptors = {0: stdin, 1: stdout, 2: stderr, **{each: each for each in given}}
        self.pid = self.origin.fork(args[-1], env, descriptors)
        self.programs[self.pid] = args[-1]
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]
        return None


def _imports(env: Mapping[str, str]) -> tuple[list[str], str | None]:
    """What decides what a new process imports."""
    return list(sys.path), env.get("PYTHONPATH")


def serve(descriptor: int) -> None:
    """Forks for whoever asks, until nobody can."""
    for module in MODULES:
        importlib.import_module(module)
    libc, python = ctypes.PyDLL(None), ctypes.pythonapi
    with socket.socket(fileno=descriptor) as asked:
        while True:
            data, descriptors, *_ = socket.recv_fds(asked, MOST_BYTES, MOST_DESCRIPTORS)
            if not data:
                return
            python.PyOS_BeforeFork()
            pid = libc.syscall(CLONE, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
            if pid == 0:
                python.PyOS_AfterFork_Child()
                asked.close()
                program, env, numbers = pickle.loads(data)
                _become(program, env, numbers, descriptors)
            python.PyOS_AfterFork_Parent()
            for each in descriptors:
                os.close(each)
            asked.send(str(pid).encode())


def _become(program: str, env: dict[str, str], numbers: list[int], descriptors: list[int]) -> NoReturn:
    """Runs a program with these descriptors under those numbers, in the folder that is the last descriptor."""
    *_, here = descriptors
    os.fchdir(here)
    moved = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, max(numbers) + 1) for each in descriptors[:-1]]
    for each in descriptors:
        os.close(each)
    for each, number in zip(moved, numbers, strict=True):
        os.dup2(each, number)
        os.close(each)
    os.environ.clear()
    os.environ.update(env)
    exec(program, {"__name__": "__main__"})
    raise AssertionError("a child of a run never returns")
