"""What goes wrong with cards, provoked: a full one, a run that is killed, two runs at once, a card that is not there.

On a CPU all but the full card is tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import onnxruntime

from benchmarks.cuda.step import Context, Keep, Result, Trials
from benchmarks.cuda.steps.filler import filled
from benchmarks.cuda.steps.runs import Ended, Runs
from benchmarks.measuring.usage import MIB, alive, children
from runtime.errors import PerchError
from runtime.model import cuda, cuda_calls
from runtime.model.cuda_options import PROVIDER
from runtime.model.session import choose_device
from runtime.workers.setup import WINDOW_BYTES

SMALL = 16
"""Windows of a batch for which a full card has room."""
ENDS_S, MOST_S = 10.0, 60.0
"""How long processes and memory of a killed run may stay, and how long it may take to begin."""
SPARE = 64 * MIB
"""Free memory of a card may differ by this much for reasons of its own."""
TRIES = 3
MORE_ROOM, LESS_ROOM = 1.6, 0.6
"""How the room on a full card is changed for the next try: after a run that failed, and after one that had enough."""


def measure(context: Context, keep: Keep) -> Result:
    """`passed` says of each fault whether it ended as it should."""
    trials, runs = Trials(context, keep), Runs(context)
    first = trials.measure("undisturbed", partial(undisturbed, runs))
    run_s = 0.0 if context.quick else first.get("seconds", 0.0)
    compared: Mapping[str, tuple[Callable[[Runs], Result], float]] = {
        "full card": (full_card, 1.5),
        "killed": (killed, 2.0),
        "two at once": (two_at_once, 1.5),
    }
    for name, (provoke, share) in compared.items():
        if "seconds" in first:
            trials.measure(name, partial(provoke, runs), share * run_s)
        else:
            trials.measure(name, lambda: {"skipped": "the undisturbed run gave no rows to compare with"})
    trials.measure("auto", partial(auto, runs))
    trials.measure("beyond the last card", partial(beyond_the_last, runs), 0.5 * run_s)
    return trials.result()


def undisturbed(runs: Runs) -> Result:
    """The run that the others are held against."""
    target, started = runs.target("first"), time.monotonic()
    ended = runs.ended(runs.start(target))
    if ended.code != 0:
        raise PerchError(f"perch-run {ended.in_a_line()}")
    target.rename(runs.reference)
    seconds = time.monotonic() - started
    return {**ended.as_json(), "model": runs.name, "batch": runs.batch, "seconds": seconds}


def full_card(runs: Runs) -> Result:
    """A run with room for a small batch alone: its batch is halved until it fits, and it says so."""
    context, tries = runs.context, []
    if not context.on_gpu:
        return {"skipped": "it needs a GPU, whose memory another process fills"}
    leave = _room(runs)
    for number in range(TRIES):
        started, target = time.monotonic(), runs.target(f"full{number}")
        with filled(context.device, leave) as free:
            judged = runs.judged(runs.ended(runs.start(target)), target)
        halved = judged["errors"].count("memory ran out")
        tries.append({**judged, "free_bytes": free, "halved": halved, "passed": judged["passed"] and halved > 0})
        if tries[-1]["passed"] or context.left() < time.monotonic() - started:
            break
        leave = round(leave * (LESS_ROOM if judged["passed"] else MORE_ROOM))
    return {**tries[-1], "tries": tries}


def _room(runs: Runs) -> int:
    """Bytes that a process needs for itself, the weights and a small batch."""
    measured = runs.context.done.get("memory", {}).get("trials", {}).values()
    small = [each for each in measured if (each.get("model"), each.get("batch")) == (runs.name, SMALL)]
    needs = [each["bytes"] for each in small if each["precision"] == runs.precision]
    guess = 2**30 + 3 * runs.model.stat().st_size + SMALL * WINDOW_BYTES
    return round(1.2 * needs[0]) if needs else guess


def killed(runs: Runs) -> Result:
    """A run that is killed with -9 in the middle leaves no process and no memory, and can be resumed.

    Raises:
        PerchError: it ended by itself, or a quarter of its rows was not there in time.
    """
    before, target = _free(runs.context), runs.target("killed")
    spool, process = target.with_name(f"{target.name}.partial"), runs.start(target)
    quarter = runs.windows * runs.row_bytes / 4
    there = _holds(lambda: process.poll() is not None or _size(spool) > quarter, MOST_S, 0.002)
    over, processes, during = process.poll() is not None, children(process.pid), _free(runs.context)
    process.kill()
    output, errors = process.communicate()
    found = Ended(process.returncode, output, errors or "")
    if over or found.code >= 0:
        raise PerchError(f"before it could be killed, the run {found.in_a_line()}")
    if not there:
        raise PerchError(f"a quarter of the rows was not there after {MOST_S:.0f} s; the run {found.in_a_line()}")
    since = time.monotonic()
    ended = _holds(lambda: not any(map(alive, processes)), ENDS_S)
    ended_s = time.monotonic() - since
    given_back = _holds(lambda: before is None or (_free(runs.context) or 0) >= before - SPARE, ENDS_S)
    after = _free(runs.context)
    resumed = runs.judged(runs.ended(runs.start(target, "--resume")), target)
    return {
        "processes": len(processes),
        "ended_s": ended_s if ended else None,
        "used_bytes": None if before is None or during is None else before - during,
        "kept_bytes": None if before is None or after is None else before - after,
        "resumed": resumed,
        "passed": bool(processes) and ended and given_back and resumed["passed"],
    }


def two_at_once(runs: Runs) -> Result:
    """Two runs on one card give the rows of one."""
    targets = [runs.target(f"at-once-{number}") for number in range(2)]
    processes = [runs.start(target) for target in targets]
    judged = [runs.judged(runs.ended(each), target) for each, target in zip(processes, targets, strict=True)]
    return {"runs": judged, "passed": all(run["passed"] for run in judged)}


def auto(runs: Runs) -> Result:
    """The device of a run that names none: the first card, or the CPU where there is none that this build can use."""
    chosen, cards = choose_device("auto"), cuda.gpus()
    expected = "cuda:0" if runs.context.on_gpu or (cards and _uses_cards()) else "cpu"
    return {"chosen": chosen, "cards": cards, "passed": chosen == expected}


def beyond_the_last(runs: Runs) -> Result:
    """A card that is not there is one clear sentence, below those that any run of the model says."""
    device, target = f"cuda:{max(1, len(cuda.gpus()))}", runs.target("beyond")
    ended = runs.ended(runs.start(target, "--device", device))
    *others, last = ended.errors.strip().splitlines() or [""]
    clear = all(line.startswith("perch-run: ") for line in others)
    why = "cannot be used: " if _uses_cards() else "needs onnxruntime-gpu"
    clear = clear and last.startswith(f"perch-run: --device {device} {why}")
    return {**ended.as_json(), "device": device, "passed": ended.code == 2 and clear and not target.exists()}


def _uses_cards() -> bool:
    """Whether this build of ONNX Runtime can use cards at all."""
    return PROVIDER in onnxruntime.get_available_providers()


def _free(context: Context) -> int | None:
    """Free memory of the card; None on a CPU."""
    if not context.on_gpu:
        return None
    with cuda.loading():
        return cuda_calls.free_bytes(context.device)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _holds(condition: Callable[[], bool], seconds: float, every_s: float = 0.05) -> bool:
    """Waits until a condition holds; False if it does not within `seconds`."""
    end = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < end:
        time.sleep(every_s)
    return holds


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """A line for each fault."""
    for name, found in result.get("trials", {}).items():
        if "passed" in found:
            details = "; ".join(_details(found))
            yield f"{name}: {'as it should be' if found['passed'] else 'NOT AS IT SHOULD BE'} ({details})"


def _details(found: Mapping[str, Any]) -> Iterator[str]:
    """What a fault showed, in words."""
    if "halved" in found:
        yield f"batch halved {found['halved']} times with {found['free_bytes'] / MIB:.0f} MiB free"
    if "processes" in found:
        within = "some did not end" if found["ended_s"] is None else f"ended within {found['ended_s']:.2f} s"
        yield f"{found['processes']} processes {within}"
    if found.get("kept_bytes") is not None:
        yield f"{found['kept_bytes'] / MIB:.0f} of {(found['used_bytes'] or 0) / MIB:.0f} MiB not given back"
    if "chosen" in found:
        yield found["chosen"]
    for run in (found, *found.get("runs", ()), *([found["resumed"]] if "resumed" in found else [])):
        if "rows" in run:
            same = "the same bits" if run["rows"]["same_bits"] else f"error {run['rows'].get('error', 1):.1e}"
            yield f"rows: {same}"
        if run.get("errors"):
            yield str(run["errors"])
