"""A deadline that is too short on purpose: is the submission complete, and what did the deadline cost it.

A full run of some soundscapes is the truth. They are then scored again under a deadline that leaves time for about half
of them. A submission is complete if it has every row and every class, each with a finite number.
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
from benchmarks.deadline.lost_score import after_deadline, average_roc_auc, highest_rows
from runtime import Soundscapes
from runtime.explore.metrics import macro_roc_auc
from runtime.rows.block import Columns
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
class ShortDeadlineResult:
    """The submission of a run under a deadline.

    `deadline_s` and `elapsed_s` count from the call and include writing. `scored`, `interpolated` and `filled` are
    shares of all rows. `error` is the greatest difference from the rows that such a run must give (see
    `after_deadline`), over the range of the full run's scores. `average_roc_auc` is averaged over orders of the
    soundscapes. These three are NaN if the submission is not `complete`.
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
        """Seconds from the deadline to the end; 0 if it ended in time."""
        return max(0.0, self.elapsed_s - self.deadline_s)

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        return asdict(self) | {"late_s": self.late_s}


class ShortDeadline:
    """Some soundscapes, the scores of a full run, and a deadline that leaves time for about half of them.

    Args:
        perch: what scores them; it does the full run at once.
        paths: the soundscapes, which should differ from one another.
    """

    def __init__(self, perch: PerchOnnx, paths: Sequence[Path]) -> None:
        self._perch, self._paths = perch, paths
        self._target = perch.scratch / "short_deadline.csv"
        full = perch.run(paths, sink=self._target)
        self._full = read_submission(self._target)
        self.full_s = full.timing.elapsed_s
        self.deadline_s = half_time_s(full, max(perch.start_ups))

    def run(self, on_deadline: Literal["fill", "interpolate"]) -> ShortDeadlineResult:
        """Runs perch-onnx under the deadline."""
        started = time.monotonic()
        result = self._perch.run(self._paths, sink=None, deadline_s=self.deadline_s, on_deadline=on_deadline)
        result.to_submission(self._target)
        return self._result(time.monotonic() - started, result.status)

    def run_notebook(self, way: TensorFlow) -> ShortDeadlineResult:
        """Runs the notebook, already warm, with the deadline as its TERMINATE_TIME."""
        started = time.monotonic()
        scores = notebook.score(self._paths, way.infer, way.columns, self.deadline_s)
        notebook.write_submission(self._target, self._paths, scores, way.columns)
        elapsed_s = time.monotonic() - started
        terminated = (scores == notebook.TERMINATED).all(axis=1)
        return self._result(elapsed_s, np.where(terminated, "filled", np.str_("scored")))

    def _result(self, elapsed_s: float, status: NDArray[np.str_]) -> ShortDeadlineResult:
        full, written = self._full.scores, read_submission(self._target)
        complete = written.same_rows_and_classes(self._full) and bool(np.isfinite(written.scores).all())
        error = roc_auc = average = float("nan")
        if complete:
            error = float(np.abs(written.scores - after_deadline(full, status)).max() / np.ptp(full))
            roc_auc = macro_roc_auc(written.scores, highest_rows(full))
            average = average_roc_auc(full, status)
        shares = {name: float((status == name).mean()) for name in ("scored", "interpolated", "filled")}
        return ShortDeadlineResult(
            self.deadline_s, elapsed_s, complete, **shares, error=error, roc_auc=roc_auc, average_roc_auc=average
        )


def half_time_s(full: Soundscapes, start_up_s: float) -> float:
    """A deadline that leaves time for start-up, half of the scoring, and the time that a run keeps back for writing."""
    timing = full.timing
    scoring_s = timing.windows / timing.windows_per_s
    scores = Columns({"label": (len(full.classes["label"]),)}, full.classes)
    kept_back_s = writing_s(scores, len(full) / 2)
    return float((start_up_s + scoring_s / 2 + kept_back_s) / (1 - RESERVE))


def read_submission(path: Path) -> Submission:
    """Reads a submission back."""
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        reader = csv.reader(file)
        _, *classes = next(reader)
        rows = [(row[0], np.array(row[1:]).astype(np.float32)) for row in reader]
    return Submission(tuple(row_id for row_id, _ in rows), tuple(classes), np.stack([scores for _, scores in rows]))
