"""Values that users give: checked, and read from the text of a command line."""

from __future__ import annotations

import operator
import os
import re
from argparse import ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runtime.errors import InputError

LONGEST_S = 366 * 86_400.0
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def at_least_one(name: str, value: object) -> int:
    """The argument of this name, which counts something.

    Raises:
        InputError: it is no whole number, or less than 1.
    """
    try:
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise InputError(f"{name} is {value!r}, but must be a whole number, at least 1") from None
    if count < 1:
        raise InputError(f"{name} is {count}, but must be at least 1")
    return count


def number(name: str, value: object) -> float:
    """The argument of this name, any number.

    Raises:
        InputError: it is no number.
    """
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InputError(f"{name} is {value!r}, but must be a number") from None


def true_or_false(name: str, value: object) -> bool:
    """The argument of this name, a yes or no.

    Raises:
        InputError: it is neither True nor False.
    """
    if not isinstance(value, bool):
        raise InputError(f"{name} is {value!r}, but must be True or False")
    return value


def positive_seconds(name: str, value: object) -> float:
    """The argument of this name, a length of time.

    Raises:
        InputError: it is no number above 0, or more than a year.
    """
    length = number(name, value)
    if not 0 < length <= LONGEST_S:
        raise InputError(f"{name} is {value}, but must be more than 0 seconds and at most a year")
    return length


def one_of(name: str, value: object, choices: Sequence[str | None]) -> None:
    """Checks the argument of this name, which has a closed set of values.

    Raises:
        InputError: it is none of them.
    """
    if value not in choices:
        allowed = [repr(choice) for choice in choices]
        listed = f"{', '.join(allowed[:-1])} or {allowed[-1]}" if len(allowed) > 1 else allowed[0]
        raise InputError(f"{name} is {value!r}, but must be {listed}")


def names_of(name: str, value: Any) -> tuple[str, ...]:
    """The argument of this name: a name or several, each once.

    Raises:
        InputError: it is something else.
    """
    try:
        names = (value,) if isinstance(value, str) else tuple(dict.fromkeys(value))
    except TypeError:  # no sequence, or one of lists
        names = (None,)
    if not all(isinstance(each, str) for each in names):
        raise InputError(f"{name} is {value!r}, but must be a name or a list of names")
    return names


def parse_seconds(text: str) -> float:
    """`85m`, `1.5h`, `300s` or `300` in seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)([smh]?)", text.strip())
    if match is None:
        raise ArgumentTypeError(f"{text!r} is no time; write 85m, 1.5h or 300s")
    return float(match.group(1)) * UNITS[match.group(2)]


def parse_count(text: str) -> int:
    """`2` as a number."""
    try:
        return int(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no number, such as 2; write it, or name another option next") from None


def parse_numbers(text: str) -> tuple[float, ...]:
    """`1,2,1` as numbers."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ArgumentTypeError(f"{text!r} are no numbers; write them like 1,2,1") from None


def parse_names(text: str) -> tuple[str, ...]:
    """`label,embedding` as names."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def parse_model(text: str) -> tuple[str, Path]:
    """`v1=perch.onnx` or `perch.onnx` as a name and a file; a file may itself have such a name."""
    name, equals, path = text.partition("=")
    if equals and "/" not in name and not os.path.exists(text):
        return name, Path(path)
    return Path(text).stem, Path(text)
