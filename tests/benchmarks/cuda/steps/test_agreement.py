"""What float16 is held to where rounding alone is beyond the tolerance."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cuda.step import Context
from benchmarks.cuda.steps import agreement
from runtime.model.tolerance import Tolerance

NAMES = "tiny float32", "tiny float16"


def test_float16_beyond_the_tolerance_may_be_as_far_off_as_on_the_cpu_and_no_further(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context({"tiny": model}, "cpu", None, None, True, time.monotonic() + 3600, tmp_path, {}, tf32=False)
    none = Tolerance(error=1e-9, cosine_distance=1e-12)
    monkeypatch.setattr(agreement, "tolerance_of", lambda *_: none)
    result = agreement.measure(context, lambda _: None)
    full, half = (result["trials"][name]["heads"]["label"] for name in NAMES)
    assert half["held_to"] == agreement.ON_CPU and full["held_to"] == agreement.OWN
    assert half["allowed"]["error"] == pytest.approx(3 * half["error"], rel=0.5)
    assert any("tiny float16: within 3 times float16 on the CPU" in line for line in agreement.lines(result))

    rounding = agreement._rounding

    def a_tenth(*given: object) -> object:
        found = rounding(*given)  # type: ignore[arg-type]
        return {head: replace(each, error=each.error / 10) for head, each in found.items()}

    monkeypatch.setattr(agreement, "_rounding", a_tenth)
    assert not agreement.measure(context, lambda _: None)["trials"]["tiny float16"]["equal"]


def test_rounding_that_is_not_a_number_allows_nothing() -> None:
    own = Tolerance(error=0.02, cosine_distance=1e-4)
    rounding = agreement.parity.compare(np.eye(3), np.eye(3, dtype=np.float32))
    assert agreement._widened(own, replace(rounding, error=math.nan, cosine_distance=math.nan)) == own
    assert agreement._widened(own, replace(rounding, error=0.4)).error == agreement.MOST_OFF
