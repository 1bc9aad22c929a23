"""Whether the device works at all: the card, what is installed, whether a graph can be loaded there and is computed
rightly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.cuda import card
from benchmarks.cuda.step import Context, Keep, Result
from runtime.doctor import versions
from runtime.model import cuda
from runtime.model.golden import compare, golden_batch
from runtime.model.session import Session


def measure(context: Context, keep: Keep) -> Result:
    """`problem` is why the device cannot be used; None if it can. `golden` is how far each file's outputs are off there
    without TF32.
    """
    if context.on_gpu:
        cuda.forbid_tf32()
    result: Result = {"installed": versions(), "card": {"name": card.name(context.device)}}
    if context.on_gpu:
        result["card"] |= card.described(context.device)
        result["state"] = dict(card.described(context.device, card.STATE))
    keep(result)
    result["problem"] = cuda.problem(context.device) if context.on_gpu else None
    with cuda.loading():
        result["free_bytes"] = cuda.free_bytes(context.device) if context.on_gpu else None
    keep(result)
    if result["problem"] is None:
        result["golden"] = {name: _golden(path, context.device) for name, path in context.models.items()}
    return result


def _golden(path: Path, device: str) -> Result:
    """How far a file's outputs for the golden window are off on the device, the worst first."""
    session = Session(path, device)
    artifact = session.artifact
    found = session.run(golden_batch(artifact.window_samples, 1), tuple(artifact.heads), 1)
    return {each.head: {**asdict(each), "share": each.share, "text": str(each)} for each in compare(artifact, found)}


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """The card and its state, a line each, and what prevents its use."""
    for section in ("card", "state"):
        if section in result:
            yield ", ".join(f"{key} {value}" for key, value in result[section].items())
    if result.get("problem"):
        yield f"it cannot be used: {result['problem']}"
    for name, heads in result.get("golden", {}).items():
        worst = next(iter(heads.values()), None)
        wrong = "" if worst is None or worst["share"] <= 1 else "WRONG: "
        yield f"{name}: {wrong}at worst, {worst['text']}" if worst else f"{name} has no golden window"
