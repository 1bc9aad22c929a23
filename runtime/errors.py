"""The errors that users see. Each message is one line: what is wrong, where, and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


class PerchError(Exception):
    """Base of the errors that a caller may want to catch."""


class InputError(PerchError, ValueError):
    """Something that was asked for or given cannot be used."""


class ArtifactError(InputError):
    """The `.onnx` file is missing, corrupt, or was not made by `perch-convert`."""


class DeviceError(PerchError, RuntimeError):
    """The device that was asked for cannot be used here, or it computes wrongly."""


class OutputError(PerchError, OSError):
    """A file cannot be written: the disk is full, or its folder is missing or does not allow it."""


class RecordingError(PerchError):
    """A recording cannot be read, or not to its end."""


def reason(error: Exception) -> str:
    """What the system says is wrong, without the path, which messages name themselves."""
    return str(getattr(error, "strerror", None) or error).lower()


def first_line(error: Exception) -> str:
    """The first line of a library's message, or the error's class if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def repeated(names: Sequence[str]) -> list[str]:
    """The names that occur more than once, in their order."""
    return [name for name, count in Counter(names).items() if count > 1]


def counted(number: int, noun: str) -> str:
    """A number of things: `1 unit`, `2,000 units`, `3 classes`."""
    plural = "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{'' if number == 1 else plural}"


def some(names: Sequence[str], shown: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
