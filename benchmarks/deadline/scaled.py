"""Too little time on purpose: is what is written complete, and what is it worth.

A full run of some soundscapes is the truth. Then they are scored again under a deadline in which about half of them can
be. A submission is complete if it has every row and every class, each with a finite number.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.baseline import notebook
from benchmarks.deadline.contestants import PerchOnnx, TensorFlow
from benchmarks.deadline.worth import average_roc_auc, cut_short, highest
from runtime import Soundscapes
from runtime.explore.metrics import macro_roc_auc
from runtime.rows.deadline import writing_s
from runtime.run import RESERVE


@dataclass(frozen=True)
class Submission:
    """A CSV as it was read back: the names of rows and columns, and `float32 [rows, classes]`."""

    row_ids: tuple[str, ...]
    classes: tuple[str, ...]
    scores: NDArray[np.float32]

    def same_rows_and_classes(self, other: Submission) -> bool:
        """Whether both have the same rows and columns, in the same order."""
        return (self.row_ids, self.classes) == (other.row_ids, other.classes)


@dataclass(frozen=True)
class Outcome:
    """What came of a deadline.

    `deadline_s` and `elapsed_s` count from the call, writing included. `scored`, `interpolated` and `filled` are shares
    of all rows. `error` is the greatest difference, over the range of the full run's scores, from what the full run
    says the rows must hold; `average_roc_auc` is over orders of the soundscapes. All three are NaN if it is not
    `complete`.
    """

    deadline_s: float
    elapsed_s: float
    complete: bool
    scored: float
    interpolated: float
    filled: float
    error: float
    roc_auc: float
    average_roc_auc: float

    @property
    def late_s(self) -> float:
        """By how much it ended after the deadline; 0 if in time."""
        return max(0.0, self.elapsed_s - self.deadline_s)

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self) | {"late_s": self.late_s}


class Scarcity:
    """Some soundscapes, the truth about them, and a deadline in which about half of them can be scored.

    Args:
        perch: what scores them; it runs once, without a deadline.
        paths: the soundscapes, which should differ from one another.
    """

    def __init__(self, perch: PerchOnnx, paths: Sequence[Path]) -> None:
        self._perch, self._paths = perch, paths
        self._target = perch.scratch / "scaled.csv"
        full = perch.run(paths, sink=self._target)
        self._full = read_submission(self._target)
        self.full_s = full.timing.elapsed_s
        self.deadline_s = half_time_s(full, max(perch.start_ups))

    def run(self, on_deadline: Literal["fill", "interpolate"]) -> Outcome:
        """perch-onnx under the deadline."""
        started = time.monotonic()
        result = self._perch.run(self._paths, sink=None, deadline_s=self.deadline_s, on_deadline=on_deadline)
        result.to_submission(self._target)
        return self._outcome(time.monotonic() - started, result.status)

    def run_notebook(self, way: TensorFlow) -> Outcome:
        """The notebook with the deadline as TERMINATE_TIME; it has loaded and compiled before."""
        started = time.monotonic()
        scores = notebook.score(self._paths, way.infer, way.columns, self.deadline_s)
        notebook.write_submission(self._target, self._paths, scores, way.columns)
        elapsed_s = time.monotonic() - started
        return self._outcome(
            elapsed_s, np.where((scores == notebook.TERMINATED).all(axis=1), "filled", np.str_("scored"))
        )

    def _outcome(self, elapsed_s: float, status: NDArray[np.str_]) -> Outcome:
        full, written = self._full.scores, read_submission(self._target)
        complete = written.same_rows_and_classes(self._full) and bool(np.isfinite(written.scores).all())
        error = roc_auc = average = float("nan")
        if complete:
            error = float(np.abs(written.scores - cut_short(full, status)).max() / np.ptp(full))
            roc_auc = macro_roc_auc(written.scores, highest(full))
            average = average_roc_auc(full, status)
        shares = {name: float((status == name).mean()) for name in ("scored", "interpolated", "filled")}
        return Outcome(
            self.deadline_s, elapsed_s, complete, **shares, error=error, roc_auc=roc_auc, average_roc_auc=average
        )


def half_time_s(full: Soundscapes, start_up_s: float) -> float:
    """A deadline in which start-up, half the scoring, and what a run keeps back for writing fit."""
    timing = full.timing
    scoring_s = timing.windows / timing.windows_per_s
    kept_back_s = writing_s(full.columns, len(full) / 2)
    return float((start_up_s + scoring_s / 2 + kept_back_s) / (1 - RESERVE))


def read_submission(path: Path) -> Submission:
    """Reads a submission back."""
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        reader = csv.reader(file)
        _, *classes = next(reader)
        rows = [(row[0], np.array(row[1:]).astype(np.float32)) for row in reader]
    return Submission(tuple(row_id for row_id, _ in rows), tuple(classes), np.stack([scores for _, scores in rows]))
