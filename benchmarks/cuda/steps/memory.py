"""What a model needs on the card, by batch: memory in use before and after, in a fresh process for each.

On a CPU it is the process's own memory.
"""

from __future__ import annotations

import itertools
import pickle
import queue
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from benchmarks.cuda.step import Context, Keep, Result, Trials
from benchmarks.cuda.steps.precisions import Precision, file_for, variants
from benchmarks.measuring.usage import MIB, own_usage
from benchmarks.throughput.workers import measured_outputs
from runtime.errors import DeviceError, PerchError
from runtime.model import cuda, cuda_calls
from runtime.model.messages import message_of
from runtime.model.session import Session
from runtime.workers.child import Child, serve
from runtime.workers.scorer import LANES

BATCHES, QUICK_BATCHES = (16, 128, 256, 64, 32), (2, 1)
FIRST = 2
"""So many batches are measured of every file and precision before the others are."""
PARTS = {"process": "process", "weights": "weights", "first": "first batch", "lanes": f"{LANES} batches at once"}
NEEDS_S = {"cpu": 10.0, "cuda": 8.0}


def measure(context: Context, keep: Keep) -> Result:
    """A process for each batch, file and precision."""
    if context.on_gpu:
        cuda.forbid_tf32()  # in the processes that are started here, as in those of a run
    trials, pairs = Trials(context, keep), variants(context)[: 1 if context.quick else None]
    batches = QUICK_BATCHES if context.quick else BATCHES
    took: dict[int, float] = {}
    for several in (batches[:FIRST], batches[FIRST:]):
        for pair, batch in itertools.product(pairs, several):
            started = time.monotonic()
            guess_s = NEEDS_S["cuda" if context.on_gpu else "cpu"]
            needs_s = 0.0 if context.quick else max((took[size] for size in took if size <= batch), default=guess_s)
            trials.measure(f"{' '.join(pair)}, batch {batch}", partial(_in_a_process, context, pair, batch), needs_s)
            took[batch] = max(took.get(batch, 0.0), time.monotonic() - started)
    by_window = {" ".join(pair): _bytes_a_window(trials.found.values(), pair) for pair in pairs}
    return {**trials.result(), "bytes_a_window": by_window}


def _in_a_process(context: Context, pair: tuple[str, Precision], batch: int) -> Result:
    path, device = file_for(context, *pair), context.device
    inbox: queue.SimpleQueue[tuple[Child, Any]] = queue.SimpleQueue()
    before = _used(device) if context.on_gpu else 0
    child = Child("benchmarks.cuda.steps.memory", (path, device, batch), inbox)
    try:
        _, answer = inbox.get()
        if not isinstance(answer, list):
            raise answer or PerchError(f"the process {child.last_words()}")
    finally:
        child.stop()
    process, weights, first, lanes = (after - earlier for earlier, after in itertools.pairwise([before, *answer]))
    return {
        "model": pair[0],
        "precision": pair[1],
        "batch": batch,
        "bytes": answer[-1] - before,
        "process_bytes": process,
        "weights_bytes": weights,
        "first_bytes": first,
        "lanes_bytes": lanes,
    }


def main() -> None:
    """The process of one batch: sends how much memory was in use when it started, when it had loaded the model, after a
    batch, and after as many at once as a scorer computes; or the error."""
    receive, send = serve()
    path, device, batch = pickle.load(receive)
    try:
        used = [_used(device)]
        session = Session(path, device)
        used.append(_used(device))
        samples, outputs = session.artifact.window_samples, measured_outputs(session.artifact)
        windows = np.random.default_rng(0).uniform(-0.1, 0.1, (batch, samples)).astype(np.float32)
        session.run(windows, outputs, batch)
        used.append(_used(device))
        with ThreadPoolExecutor(LANES) as lanes:
            list(lanes.map(lambda _: session.run(windows, outputs, batch), range(2 * LANES)))
        send([*used, _used(device)])
    except PerchError as error:
        send(error)
    except Exception as error:  # onnxruntime has a class of its own for each status
        send(PerchError(message_of(error)))


def _used(device: str) -> int:
    """Bytes in use, which mean something only beside others: on a GPU the zero is its size. On a CPU, this process's
    greatest resident memory."""
    if device == "cpu":
        return own_usage().peak_rss
    with cuda.loading():
        free = cuda_calls.free_bytes(device)
    if free is None:
        raise DeviceError(f"CUDA does not say how much memory of {device} is free")
    return -free


def _bytes_a_window(found: Iterable[Result], pair: tuple[str, Precision]) -> float | None:
    """How much memory each further window of a batch takes: the slope of a line through all batches."""
    own = [each for each in found if (each.get("model"), each.get("precision")) == pair]
    points = [(each["batch"], each["bytes"]) for each in own]
    if len(points) < 2:
        return None
    batches, sizes = np.array(points, np.float64).T
    return float(np.polyfit(batches, sizes, 1)[0])


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """A line for each batch, and what a window takes."""
    for name, found in result.get("trials", {}).items():
        if "bytes" in found:
            parts = ", ".join(f"{words} {found[f'{part}_bytes'] / MIB:.0f}" for part, words in PARTS.items())
            yield f"{name}: {found['bytes'] / MIB:.0f} MiB ({parts})"
    for name, size in result.get("bytes_a_window", {}).items():
        if size is not None:
            yield f"{name}: {size / MIB:.1f} MiB for each further window of a batch"
