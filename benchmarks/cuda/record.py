"""The JSON of `perch-bench cuda`: written again after every bit that was measured, filled by several calls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.cuda.step import BETWEEN, RUNNING, TRIALS, Result
from benchmarks.measuring.figures import write_json
from runtime.errors import InputError, reason

SAME = ("device", "card", "driver", "onnxruntime", "models", "quick", "audio", "expected_sha256")
"""What all calls that fill one file must have in common."""

OF_A_CALL = ("error", "took_s", "date", RUNNING, BETWEEN)
"""What a step's result says of one call alone."""


class Record:
    """The results of all steps by name, in a file.

    Args:
        path: the file; one that exists must agree in `SAME`. Its results are kept.
        about: what describes the measurement, with the keys `SAME` and others.

    Raises:
        InputError: the file exists and is of something else.
        OutputError: the file cannot be written.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self._path, self._about = path, dict(about)
        self.steps: dict[str, Result] = _earlier(path, about) if path.exists() else {}
        self.skipped: dict[str, str] = {}
        """Steps without a result, and why."""

    def begun(self, name: str) -> Result:
        """What an earlier call found in a step, to go on from there: without what it skipped and what failed."""
        found = self.steps.get(name, {})
        trials = {title: trial for title, trial in found.get(TRIALS, {}).items() if _succeeded(trial)}
        other = {key: value for key, value in found.items() if key not in (*OF_A_CALL, TRIALS)}
        return {**other, TRIALS: trials} if trials else {}

    def keep(self, name: str, result: Result) -> None:
        """Writes what a step has found so far."""
        self.steps[name] = result
        self.write()

    def write(self) -> None:
        """Writes the file."""
        skipped = {name: why for name, why in self.skipped.items() if name not in self.steps}
        write_json(self._path, "cuda", {**self._about, "skipped": skipped, "steps": self.steps})


def _succeeded(trial: Result) -> bool:
    """Whether a trial has a result, if it is of several points for one of them at least."""
    points = trial.get("points", [trial])
    return "error" not in trial and "skipped" not in trial and any("error" not in point for point in points)


def _earlier(path: Path, about: Mapping[str, Any]) -> dict[str, Result]:
    """The results in a file."""
    try:
        found = json.loads(path.read_text())
        if found["command"] != "cuda" or not isinstance(found["steps"], dict):
            raise ValueError("it is of another command")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({reason(error)}); name another file") from None
    except (ValueError, LookupError, TypeError):
        raise InputError(f"{path} holds no figures of `perch-bench cuda`; name another file") from None
    for key in SAME:
        if found.get(key) != json.loads(json.dumps(about[key])):
            raise InputError(
                f"{path} was measured with another {key} ({_short(found.get(key))}, not {_short(about[key])}), and one "
                "file holds one measurement; name another file"
            )
    return found["steps"]


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)[:200]
