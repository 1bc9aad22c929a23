"""The process of a step: started, listened to, and ended when its time is over, with all processes that it started."""

from __future__ import annotations

import contextlib
import importlib
import pickle
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import psutil

from benchmarks.cuda.step import RUNNING, TRIALS, Context, Keep, Result, Step, in_words
from runtime.workers.child import Child, listen, serve

SILENT_S = 90.0
"""How long a step may keep nothing: a search for the fastest convolutions takes half a minute a shape."""
GRACE_S = 10.0
"""How long a step may go on after its time before it is ended."""
RESTARTS = 3


def run_step(module: str, context: Context, keep: Keep) -> Result:
    """What the step in a module measured; "error" if it failed or had to be ended, beside what it had kept by then.

    If the process dies during one of the step's `Trials`, that one has failed, and a new process goes on.
    """
    result: Result = {}
    for _ in range(1 + RESTARTS):
        result = _run_once(module, replace(context, begun=result), keep)
        if RUNNING not in result:
            break
        during, error = result.pop(RUNNING), result.pop("error")
        result[TRIALS] = {**result.get(TRIALS, {}), during: {"error": error}}
        keep(result)
        if context.left() <= 0:
            return {**result, "error": f"it ran out of time during {during}"}
    return result


def _run_once(module: str, context: Context, keep: Keep) -> Result:
    inbox: queue.SimpleQueue[tuple[Child, Any]] = queue.SimpleQueue()
    kept: Result = dict(context.begun)
    child = Child("benchmarks.cuda.process", (module, context), inbox)
    try:
        while True:
            wait_s = min(SILENT_S, context.left() + GRACE_S)
            try:
                _, message = inbox.get(timeout=max(0.0, wait_s))
            except queue.Empty:
                why = "it did not end in its time" if wait_s < SILENT_S else f"it said nothing for {SILENT_S:.0f} s"
                return {**kept, "error": f"{why}, so its process was ended"}
            if message is None:
                return {**kept, "error": f"its process {child.last_words()}"}
            over, kept = message
            if over:
                return kept
            keep(kept)
    finally:
        _end_all(child)


def _end_all(child: Child) -> None:
    """Ends a step's process and the processes that it started, which would disturb the next step."""
    started = psutil.Process().children(recursive=True)
    child.stop()
    for process in started:
        with contextlib.suppress(psutil.Error):
            process.kill()


def main() -> None:
    """The process of a step: receives its module and context, sends what it finds."""
    receive, send = serve()
    module, context = pickle.load(receive)
    threading.Thread(target=listen, args=(receive, lambda _: None), daemon=True).start()
    latest: Result = {}

    def keep(found: Result) -> None:
        nonlocal latest
        latest = dict(found)
        send((False, latest))

    started = time.monotonic()
    try:
        step: Step = importlib.import_module(module)
        result: Mapping[str, Any] = step.measure(context, keep)
    except Exception as error:  # onnxruntime has a class of its own for each status
        result = {**{key: value for key, value in latest.items() if key != RUNNING}, "error": in_words(error)}
    send((True, {**result, "took_s": round(time.monotonic() - started, 2)}))
