"""TensorFlow before it is imported: an old version is refused, and its notices are kept off the terminal."""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys

from runtime.console.terminal import Output
from runtime.errors import PerchError

OLDEST = (2, 21)


def check_tensorflow() -> None:
    """Refuses a TensorFlow that is too old to read Perch v2's StableHLO.

    Raises:
        PerchError: it is too old; the message says how to upgrade it.
    """
    try:
        installed = importlib.metadata.version("tensorflow")
    except importlib.metadata.PackageNotFoundError:
        return  # missing, or installed under another name; importing it will show which
    if tuple(int(part) for part in re.findall(r"\d+", installed)[:2]) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise PerchError(
            f"conversion needs tensorflow {oldest} or newer, and {installed} is installed, which is too old to read "
            f"current models; run `pip install --upgrade 'tensorflow>={oldest}'`"
        )


def hush_native_log() -> None:
    """Keeps notices of TensorFlow's C++ code off the terminal, where they would bury ours.

    They go straight to file descriptor 2, before any setting takes effect. So Python's standard error moves to a copy
    of it. Set TF_CPP_MIN_LOG_LEVEL (to anything) to see the notices.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ or sys.stderr is None:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    sys.stderr = Output(os.fdopen(os.dup(2), "w", buffering=1))
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
