"""Errors a user meets. Each message is one line: what, where, what to do."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

IN_ONNXRUNTIME = re.compile(r"/\S+\.(?:cc|h):\d+ .*?\) (?=[A-Z])")
"""The place in ONNX Runtime's source that its messages begin with."""


class PerchError(Exception):
    """Base of all errors that this project raises on purpose."""


class InputError(PerchError, ValueError):
    """Something the user gave cannot be used."""


class ArtifactError(InputError):
    """The `.onnx` file is missing, corrupt, or was not made by `perch-convert`."""


class DeviceError(PerchError, RuntimeError):
    """The execution provider that was asked for cannot be had here."""


class RecordingError(PerchError):
    """A recording cannot be read, or not to its end."""


def reason(error: Exception) -> str:
    """What the system said, without the path, which stands beside it."""
    return str(getattr(error, "strerror", None) or error).lower()


def first_line(error: Exception) -> str:
    """The first line of a library's message, at most 300 characters."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return IN_ONNXRUNTIME.sub("", line)[:300]


def repeated(names: Sequence[str]) -> list[str]:
    """The names that are there more than once, in their order."""
    return [name for name, count in Counter(names).items() if count > 1]


def some(names: Sequence[str], shown: int = 5) -> str:
    """The first few of these, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
