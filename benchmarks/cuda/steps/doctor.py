"""Whether the device works at all: the card, what is installed, and what it makes of each file's golden window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from benchmarks.cuda import card
from benchmarks.cuda.step import Context, Keep, Result, Trials
from runtime.cores import usable_cores
from runtime.doctor import versions
from runtime.model import cuda, cuda_calls, golden
from runtime.model.session import Session

NEEDS_S = 1.0


def measure(context: Context, keep: Keep) -> Result:
    """`problem` is why the device cannot be used; None if it can. It is missing until that is known."""
    result: Result = {"installed": versions(), "card": {"name": card.name(context.device)}}
    if context.on_gpu:
        described = card.described(context.device)
        result["card"] |= {field: described[field] for field in card.FIELDS if field in described}
        result["state"] = {field: described[field] for field in card.STATE if field in described}
    keep(result)
    result["problem"] = None
    if context.on_gpu:
        cuda.forbid_tf32()  # as a run does
        result["problem"] = cuda.problem(context.device)
        if result["problem"] is not None:
            return result
        result["free_bytes"] = cuda_calls.free_bytes(context.device)
    trials = Trials(context, keep, result)
    for name in context.models:
        trials.measure(f"golden {name}", partial(_golden, context, name), NEEDS_S)
    return trials.result()


def _golden(context: Context, name: str) -> Result:
    """How far each head is off, of what is allowed."""
    session = Session(context.models[name], context.device, usable_cores())
    artifact = session.artifact
    if not artifact.golden:
        return {"skipped": "the file has no golden window"}
    found = golden.compare(artifact, session.golden_rows(list(artifact.heads), 2))
    heads = {each.head: {**vars(each.deviation), "share": each.share} for each in found}
    return {"heads": heads, "right": found[0].share <= 1, "worst": str(found[0])}


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """The card and its state, a line each, and what prevents its use."""
    for section in ("card", "state"):
        if result.get(section):
            yield ", ".join(f"{key} {value}" for key, value in result[section].items())
    if result.get("problem"):
        yield f"it cannot be used: {result['problem']}"
    for name, each in result.get("trials", {}).items():
        if "worst" in each:
            yield f"{name}: {'right' if each['right'] else 'WRONG'}; at worst, {each['worst']}"
