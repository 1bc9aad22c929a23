"""One point of the speed of a card: a file in a precision, with some options, at a batch."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.cuda.step import Context, Result, attempt
from benchmarks.cuda.steps.clock import first_s, seconds
from benchmarks.cuda.steps.precisions import Precision, file_for, options_for
from benchmarks.measuring.timing import figure, take_turns
from benchmarks.throughput.workers import measured_outputs
from convert.proof import parity
from convert.proof.synthetic import windows as synthetic
from runtime.cores import usable_cores
from runtime.errors import DeviceError
from runtime.model import cuda_calls
from runtime.model.artifact import read_artifact
from runtime.model.binding import Binding
from runtime.model.cuda_options import CudaOptions
from runtime.model.session import Session

SEED, DISTINCT = 1600, 8
"""Windows are soundscapes, not zeros, which can be faster; larger batches repeat them."""
ROUNDS, ROUND_S, QUICK_ROUND_S = 3, 0.12, 0.01
Pair = tuple[str, Precision]
"""A file by name, and a precision."""


class Points:
    """Measures points. Sessions are kept until `forget`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._sessions: dict[tuple[Pair, CudaOptions], Session] = {}
        self._batches: dict[tuple[int, int, int], NDArray[np.float32]] = {}
        self._lasting_s = QUICK_ROUND_S if context.quick else ROUND_S
        samples = {read_artifact(path).window_samples for path in context.models.values()}
        self._runtime = cuda_calls.library() if context.on_gpu else None
        self._windows = {each: synthetic(SEED, DISTINCT, each) for each in samples}

    def measure(self, pairs: Mapping[Pair, CudaOptions], batch: int) -> dict[Pair, Result]:
        """The points of several files and precisions at one batch, in turns; `{"error": sentence}` for one that failed.

        `windows_per_s` is without copies between host and device, `with_copies` with them. `off` says how far the
        outputs are from those of strict float32 in the options of a run; of the CPU if there are none of the device.
        """
        bindings: dict[Pair, Binding] = {}
        points = {
            pair: attempt(partial(self._prepare, pair, options, batch, bindings)) for pair, options in pairs.items()
        }
        turns = {pair: partial(self._turn, points[pair], binding, batch) for pair, binding in bindings.items()}
        rounds = take_turns(turns, 1 if self._context.quick else ROUNDS, lambda _: None) if turns else {}
        for pair, values in rounds.items():
            if "error" not in points[pair]:
                rates: Result = {"windows_per_s": figure(values)}
                points[pair] |= rates | attempt(partial(self._finish, pair, bindings[pair], batch))
        return {pair: {"error": point["error"]} if "error" in point else point for pair, point in points.items()}

    def _turn(self, point: Result, binding: Binding, batch: int) -> float:
        """The rate in one round; a failure is noted in the point and fails no other."""
        failed = {"windows_per_s": math.nan}
        found = failed if "error" in point else attempt(lambda: {"windows_per_s": self._rate(binding.run_only, batch)})
        point.update({"error": found["error"]} if "error" in found else {})
        return float(found.get("windows_per_s", math.nan))

    def _prepare(self, pair: Pair, options: CudaOptions, batch: int, bindings: dict[Pair, Binding]) -> Result:
        """Loads, binds and warms up."""
        model, precision = pair
        options = options_for(precision, options)
        file_for(self._context, model, precision)  # so that making it does not count as loading
        load_s = first_s(lambda: self._session(pair, options))
        session, given = self._session(pair, options), self._batch(pair[0], batch)
        binding = session.binding(batch, measured_outputs(session.artifact))
        first = first_s(lambda: binding(given))
        binding(given)  # a CUDA graph is captured in the second call
        if precision == "float32" and options == CudaOptions():
            self._keep_expected(model, session, batch)
        bindings[pair] = binding
        about = {"model": model, "precision": precision, "batch": batch, "options": asdict(options)}
        return {**about, "load_s": load_s, "first_s": first}

    def _finish(self, pair: Pair, binding: Binding, batch: int) -> Result:
        """The rate with copies, and how far the outputs are off for windows other than those that were timed."""
        name = pair[0]
        copies = self._rate(partial(binding, self._batch(name, batch)), batch)
        values = binding(self._batch(name, batch, shift=1))
        if not self._expected(name).exists():
            on_cpu = Session(self._context.models[name], "cpu", usable_cores())
            self._keep_expected(name, on_cpu, DISTINCT if on_cpu.artifact.free_batch else 1)
        with np.load(self._expected(name)) as expected:
            heads = zip(expected.files, values, strict=True)
            off = {head: parity.compare(_rows(expected[head], batch, 1), value).error for head, value in heads}
        return {"with_copies": copies, "off": off}

    def _rate(self, call: Callable[[], object], batch: int) -> float:
        """Windows/s of a call, after which the card is waited for, though the call should have done so."""

        def run() -> None:
            call()
            if self._runtime is not None and self._runtime.cudaDeviceSynchronize():
                raise DeviceError("the card failed while it was timed")

        return batch / seconds(run, self._lasting_s)

    def forget(self) -> None:
        """Gives the memory of all sessions back."""
        self._sessions.clear()
        gc.collect()

    def _session(self, pair: Pair, options: CudaOptions) -> Session:
        if (pair, options) not in self._sessions:
            path = file_for(self._context, *pair)
            self._sessions[pair, options] = Session(path, self._context.device, usable_cores(), options)
        return self._sessions[pair, options]

    def _batch(self, name: str, batch: int, shift: int = 0) -> NDArray[np.float32]:
        """A batch in memory that is pinned, as that of a run."""
        samples = read_artifact(self._context.models[name]).window_samples
        key = samples, batch, shift
        if key not in self._batches:
            self._batches[key] = _rows(self._windows[samples], batch, shift)
            if self._context.on_gpu:
                cuda_calls.pin(self._batches[key])
        return self._batches[key]

    def _expected(self, name: str) -> Path:
        return self._context.scratch / f"{name}.outputs.npz"

    def _keep_expected(self, name: str, session: Session, batch: int) -> None:
        """Keeps the outputs with which those of all points of a file are compared, unless they are there."""
        if not self._expected(name).exists():
            windows = self._windows[session.artifact.window_samples]
            partly = self._expected(name).with_suffix(".partial.npz")
            np.savez(partly, **session.run(windows, measured_outputs(session.artifact), batch))  # type: ignore[arg-type]
            partly.rename(self._expected(name))


def _rows(distinct: NDArray[np.float32], batch: int, shift: int) -> NDArray[np.float32]:
    """So many rows, those that differ again and again, from one of them on."""
    return np.resize(np.roll(distinct, -shift, axis=0), (batch, *distinct.shape[1:]))
