"""What several of the commands take."""

from __future__ import annotations

import argparse


def numbers(text: str) -> tuple[int, ...]:
    """`1,2,4`, each once and in order."""
    try:
        found = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        found = (0,)
    if found[0] < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers from 1 on; write 1,2,4")
    return found
