"""What a step of `perch-bench cuda` is given and gives.

A step is a module with two functions. `measure` takes a `Context`, measures, and returns what it found as JSON holds
it. `lines` turns that into lines for the terminal. Each step runs in a process of its own (see `process`), so that a
crash or a hang costs that step alone, and memory of the device is free again after it.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from runtime.errors import PerchError
from runtime.model import cuda_calls
from runtime.model.messages import message_of

Result = dict[str, Any]
Keep = Callable[[Result], object]
"""Takes all that a step has found so far; it is written to the JSON at once."""
RUNNING, TRIALS, BETWEEN = "running", "trials", "between trials"
"""Keys of a result: the trial that is under way, all trials, and deaths of the process that no trial had caused."""


def figure(value: float | None) -> float:
    """A figure of a result, infinite where it was not finite: JSON holds null for that."""
    return value if value is not None and math.isfinite(value) else math.inf


class BrokenDevice(BaseException):
    """After an error the device computes nothing more for this process: a new one has to go on."""


@dataclass(frozen=True)
class Context:
    """What a step is given; it can be pickled."""

    models: Mapping[str, Path]
    """The files by name."""
    device: str
    """"cpu" or "cuda:N"."""
    audio: Path | None
    """Recordings to use; None if the step has to make its own."""
    expected: Path | None
    """Outputs that were computed elsewhere (see `kit.expected`); None if there are none."""
    quick: bool
    """Whether to measure as little as shows that everything works."""
    until: float
    """When the step must be over, by the monotonic clock. It starts nothing that would end later."""
    scratch: Path
    """A folder for files that later steps may use, too. It is removed in the end."""
    done: Mapping[str, Any]
    """The results of earlier steps by name; each may be `{"error": sentence}`, or lack what time did not allow."""
    tf32: bool | None = None
    """Whether TF32 is allowed in this process: libraries can only be told before they are loaded, so that a step which
    measures with and without it has a process for each. None: nothing is said, and what the step starts decides."""
    silent_s: float = 45.0
    """How long the step may keep nothing before its process counts as hung."""
    begun: Mapping[str, Any] = field(default_factory=dict)
    """What this step found in an earlier process; empty in the first. `Trials` goes on from there."""

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device != "cpu"

    @property
    def last(self) -> bool:
        """Whether no other process follows this one, unless it dies."""
        return self.tf32 is not False or not self.on_gpu

    def left(self) -> float:
        """Seconds until the step must be over."""
        return self.until - time.monotonic()


class Step(Protocol):
    """A module that measures one thing."""

    __name__: str

    def measure(self, context: Context, keep: Keep) -> Result:
        """Measures; what is kept on the way stays if the step fails later."""

    def lines(self, result: Mapping[str, Any]) -> Iterator[str]:
        """The lines for the terminal of a result that may lack anything."""


def attempt(work: Callable[[], Result]) -> Result:
    """What a measurement gives; `{"error": sentence}` if it fails, in whatever way."""
    try:
        return work()
    except Exception as error:  # onnxruntime has a class of its own for each status
        return {"error": in_words(error)}


def in_words(error: Exception) -> str:
    """An error as a sentence; unforeseen ones with their class."""
    said = message_of(error)
    return said if isinstance(error, PerchError) else f"{type(error).__name__}: {said}"


class Trials:
    """Measurements of a step by name, each kept as soon as it is there, under the key "trials".

    One that failed is not tried again, nor is one during which the process died: a step that is started anew goes on
    with the others.
    """

    def __init__(self, context: Context, keep: Keep, other: Result | None = None) -> None:
        self.found: dict[str, Result] = dict(context.begun.get(TRIALS, {}))
        self._context, self._keep = context, keep
        begun = {key: value for key, value in context.begun.items() if key not in (TRIALS, RUNNING)}
        self.other: Result = begun | (other or {})
        """What else the step has found, in an earlier process, too."""

    def measure(self, name: str, work: Callable[[], Result], needs_s: float = 0.0, reserve_s: float = 0.0) -> Result:
        """The result of a measurement, which is made unless it is there; `{"skipped": sentence}` if it does not fit
        into the time that is left without `reserve_s`, which is kept for others."""
        if name not in self.found:
            if self._context.left() - reserve_s < needs_s:
                self.found[name] = {"skipped": f"no time: it needs about {needs_s:.0f} s"}
            else:
                self._keep({**self.result(), RUNNING: name})
                self.found[name] = attempt(work)
            self._keep(self.result())
            if self._context.on_gpu and "error" in json.dumps(self.found[name], default=str) and _is_broken():
                raise BrokenDevice
        return self.found[name]

    def result(self) -> Result:
        """All that the step has found."""
        return {**self.other, TRIALS: dict(self.found)}


def _is_broken() -> bool:
    """Whether CUDA has an error that stays: it then computes nothing more for this process."""
    code = cuda_calls.call("cudaDeviceSynchronize") or 0
    return code in (214, 220) or code >= 700  # errors of memory, of a link, and of kernels
