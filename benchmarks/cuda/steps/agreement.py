"""Whether the device gives what the CPU gives: each precision against float32 on the CPU, all heads, several batches.

The measures are those of `perch-bench parity`, with float32 on the CPU in TensorFlow's place: error (greatest absolute
difference over the head's range), greatest `1 - cosine`, and windows with the same top class. The tolerance is that of
the file's golden window. A file without one is held to that of a conversion; in TF32, which keeps as many bits as
float16, to that of float16.

Random weights can amplify the rounding of float16 beyond that. So float16 and TF32 that are beyond the tolerance may
also be some times as far off as float16 is on the CPU, where nothing is wrong but the rounding.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cuda.kit.expected import Expected
from benchmarks.cuda.step import Context, Keep, Result, Trials, attempt, figure
from benchmarks.cuda.steps.precisions import Precision, file_for, options_for, precisions
from convert.proof import parity
from convert.proof.parity import HeadParity
from convert.proof.synthetic import windows as synthetic
from runtime.cores import usable_cores
from runtime.errors import InputError
from runtime.model import golden
from runtime.model.artifact import Artifact, read_artifact
from runtime.model.session import Session
from runtime.model.tolerance import FLOAT16, Tolerance

SEED = 1500
WINDOWS, QUICK_WINDOWS = 24, 4
BATCHES, QUICK_BATCHES = (1, 2 * WINDOWS), (1, 3, 2 * QUICK_WINDOWS)
"""A batch above the number of windows holds them several times: where a window stands must not matter."""
CPU_BATCH = 4
NEEDS_S = 4.0
TIMES, MOST_OFF = 3.0, 0.5
"""How far float16 and TF32 may be off: so many times float16 on the CPU, but no more of a head's range."""
OWN, ON_CPU = "the tolerance", f"{TIMES:.0f} times float16 on the CPU"
"""What a precision was held to."""
Windows = NDArray[np.float32]
Outputs = Mapping[str, NDArray[np.float32]]


def measure(context: Context, keep: Keep) -> Result:
    """The comparisons by file and precision."""
    trials = Trials(context, keep)
    for name in context.models:
        _compare_all(context, name, trials)
    return trials.result()


def _compare_all(context: Context, name: str, trials: Trials) -> None:
    """One file in all precisions, and with what was computed elsewhere."""
    for precision in precisions(context, name):
        trials.measure(f"{name} {precision}", partial(_compare, context, name, precision), NEEDS_S)
    if context.expected is not None and not context.tf32:
        trials.measure(f"{name} elsewhere", partial(_elsewhere, context, name, context.expected), NEEDS_S)


def _compare(context: Context, name: str, precision: Precision) -> Result:
    """A precision on the device against float32 on this machine's CPU."""
    samples = read_artifact(context.models[name]).window_samples
    windows = synthetic(SEED, QUICK_WINDOWS if context.quick else WINDOWS, samples)
    on_cpu = _on_cpu(context, name, windows)
    found: dict[str, list[HeadParity]] = {}
    for values in _on_device(context, name, precision, windows):
        for head, value in values.items():
            expected = np.resize(on_cpu[head], (len(value), *on_cpu[head].shape[1:]))
            found.setdefault(head, []).append(_compared(expected, value, len(windows)))
    compared = {head: parity.worst(each) for head, each in found.items()}
    judged = _judged(name, context, precision, compared)
    if judged["equal"] or precision == "float32":
        return judged
    yardstick = attempt(lambda: _rounding(context, name, windows, on_cpu))
    if "error" in yardstick:
        return {**judged, "no_yardstick": yardstick["error"]}
    return _judged(name, context, precision, compared, yardstick)


def _rounding(context: Context, name: str, windows: Windows, on_cpu: Outputs) -> dict[str, HeadParity]:
    """How far float16 is off on the CPU.

    Raises:
        InputError: there is no float32 of this file to tell.
    """
    path = file_for(context, name, "float16")
    if path == context.models[name]:
        raise InputError("the file is in float16, so there is no float32 to compare float16 on the CPU with")
    session = Session(path, "cpu", usable_cores())
    values = session.run(windows, tuple(session.artifact.heads), CPU_BATCH)
    return {head: parity.compare(on_cpu[head], value) for head, value in values.items()}


def _elsewhere(context: Context, name: str, path: Path) -> Result:
    """Strict float32 on the device against what another machine computed."""
    artifact = read_artifact(context.models[name])
    expected = Expected(path)
    outputs = expected.outputs(name, artifact.artifact_sha256)
    if not outputs:
        return {"skipped": "nothing of this file was computed elsewhere"}
    session = Session(context.models[name], context.device, usable_cores())
    given = session.run(expected.windows, tuple(outputs), min(12, len(expected.windows)))
    compared = {head: parity.compare(value, given[head]) for head, value in outputs.items()}
    return _judged(name, context, "float16" if artifact.options.get("precision") == "float16" else "float32", compared)


def _compared(expected: Windows, actual: Windows, windows: int) -> HeadParity:
    """The worst of each so many rows: the top class is counted once for each window."""
    parts = range(0, len(actual), windows)
    return parity.worst([parity.compare(expected[at : at + windows], actual[at : at + windows]) for at in parts])


def _on_cpu(context: Context, name: str, windows: Windows) -> Outputs:
    """float32 on the CPU, computed once; of a file in float16, what the CPU makes of it."""
    kept = context.scratch / f"{name}.cpu.npz"
    if not kept.exists():
        session = Session(context.models[name], "cpu", usable_cores())
        partly = kept.with_suffix(".partial.npz")
        np.savez(partly, **session.run(windows, tuple(session.artifact.heads), CPU_BATCH))  # type: ignore[arg-type]
        partly.rename(kept)
    with np.load(kept) as arrays:
        return {head: arrays[head] for head in arrays.files}


def _on_device(context: Context, name: str, precision: Precision, windows: Windows) -> Iterator[Outputs]:
    """Outputs of the windows in batches of each size; a batch with more rows than windows repeats them."""
    path = file_for(context, name, precision)
    session = Session(path, context.device, usable_cores(), options_for(precision))
    heads = tuple(session.artifact.heads)
    for batch in QUICK_BATCHES if context.quick else BATCHES:
        if batch > 1 and not session.artifact.free_batch:
            break
        if batch > len(windows):
            given = np.resize(windows, (batch, windows.shape[1]))
            yield dict(zip(heads, session.binding(batch, heads)(given), strict=True))
        else:
            yield session.run(windows, heads, batch)
    del session
    gc.collect()


def _judged(
    name: str,
    context: Context,
    precision: Precision,
    compared: Mapping[str, HeadParity],
    rounding: Mapping[str, HeadParity] | None = None,
) -> Result:
    """Each head by its tolerance, which is widened to what rounding on the CPU explains."""
    artifact = read_artifact(context.models[name])
    heads: Result = {}
    for head, each in compared.items():
        own = tolerance_of(artifact, head, precision)
        tolerance = own if rounding is None else _widened(own, rounding[head])
        judged = {"failures": each.failures(tolerance), "share": each.share(tolerance)}
        allowed = {"allowed": asdict(tolerance), "held_to": OWN if tolerance == own else ON_CPU}
        heads[head] = {**asdict(each), **judged, **allowed}
    return {"heads": heads, "equal": not any(each["failures"] for each in heads.values())}


def _widened(own: Tolerance, rounding: HeadParity) -> Tolerance:
    """A tolerance, or what is allowed beside float16 on the CPU if that is larger; NaN allows nothing."""
    error, cosine = (min(TIMES * each, MOST_OFF) for each in (rounding.error, rounding.cosine_distance))
    return replace(own, error=max(own.error, error), cosine_distance=max(own.cosine_distance, cosine))


def tolerance_of(artifact: Artifact, head: str, precision: Precision) -> Tolerance:
    """How far a head may be from float32 on the CPU."""
    if head in artifact.golden:
        return golden.tolerance(artifact, head, tf32=precision != "float32")
    if precision != "float32":
        return FLOAT16
    return parity.tolerance(head, native=artifact.family == "perch_v2")


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """A line for each file and precision with its worst head, and one for each head that is beyond its tolerance."""
    for name, each in result.get("trials", {}).items():
        if not each.get("heads"):
            continue
        heads = each["heads"]
        worst = max(heads, key=lambda head: figure(heads[head]["share"]))
        held_to = ON_CPU if any(found["held_to"] == ON_CPU for found in heads.values()) else OWN
        verdict = f"within {held_to}" if each["equal"] else f"BEYOND {held_to.upper()}"
        yield f"{name}: {verdict}; worst is {_measures(worst, heads[worst])}"
        yield from (f"  {_measures(head, found)}" for head, found in heads.items() if found["failures"])
        if "no_yardstick" in each:
            yield f"  rounding alone may explain it: {each['no_yardstick']}"


def _measures(head: str, found: Mapping[str, Any]) -> str:
    equal = f"top class equal in {found['top1_equal']} of {found['windows']}"
    error, cosine = figure(found["error"]), figure(found["cosine_distance"])
    return f"{head}: error {error:.1e}, 1 - cosine {cosine:.1e}, {equal}"
