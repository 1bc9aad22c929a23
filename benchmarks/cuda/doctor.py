"""Whether the device works at all: the card, what is installed, whether a graph can be loaded there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.cuda import card
from benchmarks.cuda.step import Context, Keep, Result
from runtime.doctor import versions
from runtime.model import cuda


def measure(context: Context, keep: Keep) -> Result:
    """`problem` is why the device cannot be used; None if it can."""
    result: Result = {"installed": versions(), "card": {"name": card.name(context.device)}}
    if context.on_gpu:
        result["card"] |= card.described(context.device)
        result["state"] = dict(card.described(context.device, card.STATE))
    keep(result)
    result["problem"] = cuda.problem(context.device) if context.on_gpu else None
    with cuda.loading():
        result["free_bytes"] = cuda.free_bytes(context.device) if context.on_gpu else None
    return result


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """The card and its state, a line each, and what prevents its use."""
    for section in ("card", "state"):
        if section in result:
            yield ", ".join(f"{key} {value}" for key, value in result[section].items())
    if result.get("problem"):
        yield f"it cannot be used: {result['problem']}"
