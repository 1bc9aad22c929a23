"""The end of the output of `perch-bench cuda`."""

from __future__ import annotations

from typing import Any

from benchmarks.cuda.report import conclusion

RIGHT: dict[str, Any] = {
    "doctor": {"trials": {"golden a": {"right": True, "worst": "fine"}}},
    "agreement": {"trials": {"a float32": {"equal": True}}},
    "speed": {"trials": {"batches": {"points": [{"model": "a", "precision": "tf32", "wrong": []}]}}},
    "faults": {"trials": {"killed": {"passed": True}}},
}


def test_right_results_are_not_listed() -> None:
    assert list(conclusion(RIGHT, {})) == []


def test_wrong_results_come_first_then_errors_then_what_was_skipped() -> None:
    steps: dict[str, Any] = {
        "doctor": {"trials": {"golden a": {"right": False, "worst": "'label' is off"}}},
        "agreement": {"trials": {"a float32": {"equal": False}}},
        "speed": {"trials": {"batches": {"points": [{"model": "a", "precision": "tf32", "wrong": ["label"]}]}}},
        "faults": {"trials": {"killed": {"passed": False}, "auto": {"passed": False, "error": "it died"}}},
        "memory": {"trials": {"batch 16": {"skipped": "no time"}}},
    }
    assert list(conclusion(steps, {"files": "the time was over", "speed": "the time was over"})) == [
        "wrong: 4",
        "  doctor: golden a: 'label' is off",
        "  agreement: a float32: outputs are beyond the tolerance",
        "  speed: batches: a tf32: with these options label is off",
        "  faults: killed: it did not end as it should",
        "failed: 1",
        "  faults: auto: it died",
        "skipped: 2",
        "  memory: batch 16: no time",
        "  files: the time was over",
    ]
