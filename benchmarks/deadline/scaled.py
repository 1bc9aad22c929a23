"""Too little time on purpose: is what is written complete, and what is it worth.

A full run of some soundscapes is the truth. Then they are scored again under a deadline in which about half of them can
be. A submission is complete if it has every row and every class, each with a finite number.

What a submission is worth is its macro ROC-AUC, which the competition is judged by. It needs labels, which soundscapes
made on the spot do not have, and an untrained model would not find; so a class is said to be there in the rows in which
the full run scores it highest, one of twenty, about as often as a species is heard in a season's soundscapes. The full
run then has 1 by construction, constant numbers 0.5, and what is missing to 1 was lost to the deadline and to
nothing else. Classes that the model does not know, whose scores are constant, are left out.
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

from benchmarks import notebook
from benchmarks.deadline.contestants import PerchOnnx, TensorFlow
from benchmarks.metrics import macro_roc_auc
from runtime import Soundscapes
from runtime.run import RESERVE
from runtime.scoring import CSV_S

PRESENT = 0.05
"""Share of the rows in which a class is said to be there."""


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
    """What came of a deadline. Shares are of all rows; `deadline_s` and `elapsed_s` count from the call."""

    deadline_s: float
    elapsed_s: float
    complete: bool
    scored: float
    interpolated: float
    filled: float
    macro_roc_auc: float

    @property
    def late_s(self) -> float:
        """By how much it ended after the deadline; 0 if in time."""
        return max(0.0, self.elapsed_s - self.deadline_s)

    def as_json(self) -> dict[str, Any]:
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
        full = perch.run(paths, self._target)
        self._full = read_submission(self._target)
        self._truth = highest(self._full.scores)
        self.full_s = float(full.timing["elapsed_s"])
        self.deadline_s = half_time_s(full, len(self._full.classes))

    def run(self, on_deadline: Literal["fill", "interpolate"]) -> Outcome:
        """perch-onnx under the deadline."""
        result = self._perch.run(self._paths, self._target, deadline_s=self.deadline_s, on_deadline=on_deadline)
        shares = {status: count / len(result) for status, count in result.counts.items()}
        return self._outcome(float(result.timing["elapsed_s"]), shares)

    def run_notebook(self, way: TensorFlow) -> Outcome:
        """The notebook with the deadline as TERMINATE_TIME; it has loaded and compiled before."""
        started = time.monotonic()
        scores = notebook.score(self._paths, way.infer, way.columns, self.deadline_s)
        notebook.write_submission(self._target, self._paths, scores, way.columns)
        elapsed_s = time.monotonic() - started
        filled = float((scores == notebook.TERMINATED).all(axis=1).mean())
        return self._outcome(elapsed_s, {"scored": 1 - filled, "filled": filled})

    def _outcome(self, elapsed_s: float, shares: dict[str, float]) -> Outcome:
        written = read_submission(self._target)
        complete = written.same_rows_and_classes(self._full) and bool(np.isfinite(written.scores).all())
        return Outcome(
            deadline_s=self.deadline_s,
            elapsed_s=elapsed_s,
            complete=complete,
            scored=shares.get("scored", 0.0),
            interpolated=shares.get("interpolated", 0.0),
            filled=shares.get("filled", 0.0),
            macro_roc_auc=macro_roc_auc(written.scores, self._truth) if complete else float("nan"),
        )


def half_time_s(full: Soundscapes, classes: int) -> float:
    """A deadline in which start-up, half the scoring, and what a run keeps back for writing fit."""
    timing = full.timing
    scoring_s = timing["windows"] / timing["windows_per_s"]
    kept_back_s = CSV_S * classes * len(full) / 2
    return float((timing["start_up_s"] + scoring_s / 2 + kept_back_s) / (1 - RESERVE))


def highest(scores: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The rows in which each class scores highest, one of twenty: `bool [rows, classes]`.

    Fewer where scores are equal, and none of a class whose scores are constant.
    """
    count = min(max(1, round(PRESENT * len(scores))), len(scores) - 1)
    return np.asarray(scores > np.partition(scores, -count - 1, axis=0)[-count - 1])


def read_submission(path: Path) -> Submission:
    """Reads a submission back."""
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        reader = csv.reader(file)
        _, *classes = next(reader)
        rows = [(row[0], np.array(row[1:]).astype(np.float32)) for row in reader]
    return Submission(tuple(row_id for row_id, _ in rows), tuple(classes), np.stack([scores for _, scores in rows]))
