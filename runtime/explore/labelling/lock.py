"""A lock on a file that processes share, also those of other people on a shared disk."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from runtime.errors import OutputError, reason

PATIENCE_S, AGAIN_S = 10.0, 0.01
"""How long another process may hold the lock (a line is written in milliseconds), and how often it is tried."""
if sys.platform == "win32":  # untried: nobody has run the page on Windows yet
    import msvcrt

    FAR = 2**30
    """Windows forbids others to read what is locked, so what is locked is a byte after the end of any label file."""

    def _try_to_lock(file: int) -> None:
        os.lseek(file, FAR, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

    def _unlock(file: int) -> None:
        os.lseek(file, FAR, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _try_to_lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


@contextlib.contextmanager
def opened_and_locked(path: Path, more_flags: int = 0) -> Iterator[int]:
    """A file, open to be read and appended to, that nobody else holds in this way.

    Raises:
        OSError: it cannot be opened.
        OutputError: somebody else holds it for longer than `PATIENCE_S`.
    """
    file = _open(path, more_flags)
    end = time.monotonic() + PATIENCE_S
    try:
        while True:
            try:
                _try_to_lock(file)
            except (BlockingIOError, PermissionError):  # the second one on Windows
                if time.monotonic() > end:
                    raise OutputError(
                        f"another program holds {path} for {PATIENCE_S:g} s already; close that program"
                    ) from None
                time.sleep(AGAIN_S)
                continue
            except OSError as error:
                raise OutputError(
                    f"cannot lock {path} ({reason(error)}), as on some network disks; keep the label file (--labels) "
                    "on a disk of this computer"
                ) from None
            if _is_at(path, file):
                break
            replacement = _open(path, more_flags)  # an editor has put another file in its place
            os.close(file)  # this closes the lock as well
            file = replacement
        yield file
        _unlock(file)
    finally:
        os.close(file)


def _open(path: Path, more_flags: int) -> int:
    return os.open(path, os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0) | more_flags, 0o666)


def _is_at(path: Path, file: int) -> bool:
    """Whether the open file is still the one of this name."""
    return os.path.samestat(os.stat(path), os.fstat(file))
