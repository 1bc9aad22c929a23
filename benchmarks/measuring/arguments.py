"""Types of arguments that several commands take."""

from __future__ import annotations

import argparse
import re

UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def number(text: str) -> int:
    """`12`: a whole number of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value


def numbers(text: str) -> tuple[int, ...]:
    """`1,2,4`: whole numbers of at least 1, returned in ascending order without duplicates."""
    try:
        values = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        values = (0,)
    if values[0] < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers of at least 1; write 1,2,4")
    return values


def memory_size(text: str) -> int:
    """`4GB`, `3.5GiB`, `800MB` or a plain number of bytes."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]I?B)?", text.strip().upper())
    if match is None or not float(match.group(1)):
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount of memory; write 4GB or 800MB")
    return int(float(match.group(1)) * UNITS[match.group(2) or ""])
