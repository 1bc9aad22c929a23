"""One point of the speed of a card: a file in a precision, with some options, at a batch."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cuda.clock import first_s, seconds
from benchmarks.cuda.precisions import Precision, file_for, options_for
from benchmarks.cuda.step import Context, Result, attempt
from benchmarks.measuring.timing import figure, take_turns
from benchmarks.throughput.workers import measured_outputs
from convert.proof import parity
from convert.proof.synthetic import windows as synthetic
from runtime.cores import usable_cores
from runtime.errors import DeviceError
from runtime.model import cuda
from runtime.model.artifact import read_artifact
from runtime.model.binding import Binding
from runtime.model.cuda import CudaOptions
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
        self._lasting_s = QUICK_ROUND_S if context.quick else ROUND_S
        samples = {read_artifact(path).window_samples for path in context.models.values()}
        self._runtime = cuda.library() if context.on_gpu else None
        self._windows = {each: synthetic(SEED, DISTINCT, each) for each in samples}

    def measure(self, pairs: Mapping[Pair, CudaOptions], batch: int) -> dict[Pair, Result]:
        """The points of several files and precisions at one batch, in turns; `{"error": sentence}` for one that failed.

        `windows_per_s` is without copies between host and device, `with_copies` with them. `off` says how far the
        outputs are from those of the file's first point, which is of strict float32 in the options of a run.
        """
        bindings: dict[Pair, Binding] = {}
        points = {
            pair: attempt(partial(self._prepare, pair, options, batch, bindings)) for pair, options in pairs.items()
        }
        turns = {pair: partial(self._rate, binding.run_only, batch) for pair, binding in bindings.items()}
        rounds = take_turns(turns, 1 if self._context.quick else ROUNDS, lambda _: None) if turns else {}
        for pair, values in rounds.items():
            copies = self._rate(partial(bindings[pair], self._batch(pair, batch)), batch)
            points[pair] |= {"windows_per_s": figure(values), "with_copies": copies}
        return points

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

    def _prepare(self, pair: Pair, options: CudaOptions, batch: int, bindings: dict[Pair, Binding]) -> Result:
        """Loads, binds, warms up, and compares the outputs."""
        model, precision = pair
        options = options_for(precision, options)
        load_s = first_s(lambda: self._session(pair, options))
        session = self._session(pair, options)
        outputs = measured_outputs(session.artifact)
        binding = session.binding(batch, outputs)
        given = self._batch(pair, batch)
        first = first_s(lambda: binding(given))
        values = dict(zip(outputs, binding(given), strict=True))
        off = self._off(pair, values)
        bindings[pair] = binding
        return {
            "model": model,
            "precision": precision,
            "batch": batch,
            "options": asdict(options),
            "load_s": load_s,
            "first_s": first,
            "off": off,
        }

    def _session(self, pair: Pair, options: CudaOptions) -> Session:
        if (pair, options) not in self._sessions:
            path = file_for(self._context, *pair)
            self._sessions[pair, options] = Session(path, self._context.device, usable_cores(), options)
        return self._sessions[pair, options]

    def _batch(self, pair: Pair, batch: int) -> NDArray[np.float32]:
        windows = self._windows[read_artifact(self._context.models[pair[0]]).window_samples]
        return np.resize(windows, (batch, windows.shape[1]))

    def _off(self, pair: Pair, values: Mapping[str, NDArray[np.float32]]) -> dict[str, float]:
        """The error of each output, relative to the range of the outputs of the file's first point."""
        kept = self._context.scratch / f"{pair[0]}.outputs.npz"
        if not kept.exists():
            _save(kept, {name: value[:DISTINCT] for name, value in values.items()})
        with np.load(kept) as expected:
            return {name: _error(expected[name], value) for name, value in values.items() if name in expected.files}


def _error(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> float:
    """Of all rows; a batch that is larger than the windows that differ repeats them."""
    rows = np.resize(expected, (len(actual), *expected.shape[1:])) if len(actual) > len(expected) else expected
    return parity.compare(rows[: len(actual)], actual).error


def _save(path: Path, values: Mapping[str, Any]) -> None:
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **values)
    partial.rename(path)
