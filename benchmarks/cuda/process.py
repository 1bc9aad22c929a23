"""The process of a step: started, listened to, and ended when its time is over, with all processes that it started."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pickle
import queue
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import psutil

from benchmarks.cuda.step import BETWEEN, RUNNING, TRIALS, BrokenDevice, Context, Keep, Result, Step, in_words
from runtime.model import cuda
from runtime.workers.child import Child, listen, serve

AGAIN = "again"
GRACE_S = 10.0
"""How long a step may go on after its time before it is ended."""
RESTARTS = 10
WITHOUT_TF32 = 0.65
"""The share of a step's time for what it measures without TF32: float32 and float16."""


def run_step(module: str, context: Context, keep: Keep, by_tf32: bool = False) -> Result:
    """What the step in a module measured; "error" if it failed or had to be ended, beside what it had kept by then.

    If the process dies during one of the step's `Trials`, that one has failed, and a new process goes on. So it does
    if the process dies between two of them, unless it had measured nothing. With `by_tf32` there is one process
    without TF32, and on a GPU another with it.
    """
    if not by_tf32:
        return _run_pass(module, context, keep)
    if not context.on_gpu:
        return _run_pass(module, replace(context, tf32=False), keep)
    without = replace(context, tf32=False, until=time.monotonic() + WITHOUT_TF32 * context.left())
    first = _run_pass(module, without, keep)
    error = first.pop("error", None)
    second = _run_pass(module, replace(context, tf32=True, begun=first), keep)
    return second if error is None else {**second, "error": f"without TF32: {error}"}


def _run_pass(module: str, context: Context, keep: Keep) -> Result:
    result: Result = dict(context.begun)
    for _ in range(1 + RESTARTS):
        before = len(result.get(TRIALS, {}))
        result, died = _run_once(module, replace(context, begun=result), keep)
        during = result.pop(RUNNING, None)
        if died is None and not result.pop(AGAIN, False):
            return result
        if died is not None and during is not None:
            result[TRIALS] = {**result.get(TRIALS, {}), during: {"error": died}}
        elif died is not None:
            if len(result.get(TRIALS, {})) == before:
                return {**result, "error": died}
            result[BETWEEN] = [*result.get(BETWEEN, ()), {"error": died}]
        keep(result)
        if context.left() <= 0:
            return {**result, "error": "its time was over before it was through"}
    return {**result, "error": f"its process ended {RESTARTS + 1} times"}


def _run_once(module: str, context: Context, keep: Keep) -> tuple[Result, str | None]:
    """What one process found, and how it died or why it had to be ended; None if it went to its end."""
    inbox: queue.SimpleQueue[tuple[Child, Any]] = queue.SimpleQueue()
    kept: Result = dict(context.begun)
    child = Child("benchmarks.cuda.process", (module, context), inbox)
    try:
        while True:
            wait_s = min(context.silent_s, context.left() + GRACE_S)
            try:
                _, message = inbox.get(timeout=max(0.0, wait_s))
            except queue.Empty:
                late = wait_s < context.silent_s
                why = "it did not end in its time" if late else f"it said nothing for {wait_s:.0f} s"
                return kept, f"{why}, so its process was ended"
            if message is None:
                return kept, f"its process {child.last_words()}"
            over, kept = message
            if over:
                return kept, None
            keep(kept)
    finally:
        _end_all(child)


def _end_all(child: Child) -> None:
    """Ends a step's process and the processes that it started, which would disturb the next step."""
    started = []
    with contextlib.suppress(psutil.Error):  # it is dead
        started = psutil.Process(child.pid).children(recursive=True)
    child.stop()
    for process in started:
        with contextlib.suppress(psutil.Error):
            process.kill()
    if sys.platform != "win32":  # after a step that died by itself, what it started has another parent
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: only dead ones are left
            os.killpg(child.pid, signal.SIGKILL)


def main() -> None:
    """The process of a step: receives its module and context, sends what it finds."""
    if sys.platform != "win32":
        os.setpgid(0, 0)  # with all that it will start
    receive, send = serve()
    module, context = pickle.load(receive)
    threading.Thread(target=listen, args=(receive, lambda _: None), daemon=True).start()
    if context.tf32 is False and context.on_gpu:
        cuda.forbid_tf32()
    elif context.tf32:
        os.environ.pop(cuda.TF32_OVERRIDE, None)  # whoever called may have set it
    latest: Result = dict(context.begun)

    def keep(found: Result) -> None:
        nonlocal latest
        latest = _plain(found)
        send((False, latest))

    try:
        step: Step = importlib.import_module(module)
        result = _plain(step.measure(context, keep))
    except BrokenDevice:
        result = {**latest, AGAIN: True}
    except Exception as error:  # onnxruntime has a class of its own for each status
        result = {**{key: value for key, value in latest.items() if key != RUNNING}, "error": in_words(error)}
    send((True, result))


def _plain(found: Mapping[str, Any]) -> Result:
    """What JSON can hold, and the parent can write: NumPy's numbers become Python's, all else text."""
    return dict(
        json.loads(json.dumps(found, default=lambda value: value.item() if hasattr(value, "item") else str(value)))
    )
