"""Runs of perch-run as a user starts it, whose rows are held against those of an undisturbed one."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks.cuda.recordings import by_format, enough
from benchmarks.cuda.step import Context, Result
from benchmarks.cuda.steps.agreement import tolerance_of
from benchmarks.cuda.steps.precisions import precisions
from benchmarks.throughput.workers import measured_outputs
from convert.proof import parity
from runtime.model.artifact import Artifact, read_artifact

GPU_WINDOWS, CPU_WINDOWS = 6000, 120
"""Enough to be killed in the middle."""
LARGE, CPU_LARGE = 256, 4
"""Windows in a batch: so many that a full card has no room for them."""
DECODERS, CPU_WORKERS = 4, 2
MOST_S, MOST_TEXT = 60.0, 2000


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code and what it said."""

    code: int
    output: str
    errors: str
    late: bool = False
    """Whether it was killed because it took too long."""

    def said(self, most: int = MOST_TEXT) -> str:
        """Its last errors; before them, where that is so, that it was killed."""
        errors = self.errors.strip()[-most:]
        return f"killed: it had not ended after {MOST_S:.0f} s\n{errors}".strip() if self.late else errors

    def in_a_line(self) -> str:
        """Its exit code and the end of what it said, for the message of an error."""
        return f"ended with code {self.code}: {' '.join(self.said(500).split())}"

    def as_json(self) -> Result:
        return {"code": self.code, "errors": self.said()}


class Runs:
    """Runs of a step's first model over recordings of its own or of the user."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.name, self.model = next(iter(context.models.items()))
        self.artifact: Artifact = read_artifact(self.model)
        self.precision = precisions(context, self.name)[0]
        self.output = measured_outputs(self.artifact)[-1]
        self.windows = GPU_WINDOWS if context.on_gpu else CPU_WINDOWS
        self.batch = LARGE if context.on_gpu else CPU_LARGE
        self._folder = context.scratch / "faults"
        self._folder.mkdir(exist_ok=True)
        self.reference = self.target("undisturbed")
        """The rows that others are compared with, once there are some."""

    @property
    def row_bytes(self) -> int:
        """What a row's values take."""
        return 4 * math.prod(self.artifact.heads[self.output].shape)

    @cached_property
    def _recordings(self) -> Path:
        originals = by_format(["wav"], self.context.audio, self.context.scratch / "recordings", 1)["wav"]
        enough(originals, self.windows, self.artifact, self._folder / "recordings")
        return self._folder / "recordings"

    def target(self, name: str) -> Path:
        """A file for rows, which is not there: a step that was started anew had other names."""
        return self._folder / (f"{name}.npz" if name == "undisturbed" else f"{name}-{os.getpid()}.npz")

    def start(self, target: Path, *more: object) -> subprocess.Popen[str]:
        """Starts a run on the step's device; `more` are options, which rule over the usual ones."""
        words = [sys.executable, "-m", "runtime", self._recordings, "--model", self.model, "-o", target]
        words += ["--device", self.context.device, "--outputs", self.output, "--batch-size", self.batch]
        words += ["--workers", DECODERS if self.context.on_gpu else CPU_WORKERS, *more]
        return subprocess.Popen(
            [str(word) for word in words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def ended(self, process: subprocess.Popen[str]) -> Ended:
        """Waits for a run's end; one that takes too long is killed."""
        late = False
        try:
            output, errors = process.communicate(timeout=MOST_S)
        except subprocess.TimeoutExpired:
            late = True
            process.kill()
            output, errors = process.communicate()
        return Ended(process.returncode, output, errors, late)

    def judged(self, ended: Ended, target: Path) -> Result:
        """How a run ended; it has `passed` if it did so without a failure and its rows agree with the reference."""
        found = ended.as_json()
        if ended.code != 0 or not self.reference.exists():
            return {**found, "passed": False}
        rows = self._compared(target)
        return {**found, "rows": rows, "passed": rows["agree"]}

    def _compared(self, target: Path) -> Result:
        """Rows against the reference: the same bits, or values within the tolerance of a conversion.

        Runs on a GPU need not give the same bits: which kernel computes a batch depends on its size and on free memory.
        """
        with np.load(self.reference) as theirs, np.load(target) as ours:
            if any(not np.array_equal(theirs[name], ours[name]) for name in ("row_ids", "status")):
                return {"agree": False, "same_bits": False, "problem": "they are other rows"}
            expected, actual = theirs[self.output], ours[self.output]
        found = parity.compare(expected, actual)
        failures = found.failures(tolerance_of(self.artifact, self.output, self.precision))
        same_bits = expected.tobytes() == actual.tobytes()
        return {"agree": not failures, "same_bits": same_bits, **asdict(found), "failures": failures}
