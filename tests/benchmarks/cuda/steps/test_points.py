"""What the outputs of a point are compared with, and what its times hold."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.cuda.step import Context
from benchmarks.cuda.steps import points
from benchmarks.cuda.steps.clock import first_s
from benchmarks.cuda.steps.points import Points
from runtime.model.cuda_options import CudaOptions


def test_float16_is_compared_with_float32_even_if_that_has_no_point(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bool] = []

    def timed(run: Callable[[], object]) -> float:
        made.append((tmp_path / "tiny.float16.onnx").exists())
        return first_s(run)

    monkeypatch.setattr(points, "first_s", timed)
    context = Context({"tiny": model}, "cpu", None, None, True, time.monotonic() + 3600, tmp_path, {}, tf32=False)
    half = Points(context).measure({("tiny", "float16"): CudaOptions()}, 2)["tiny", "float16"]
    full = Points(context).measure({("tiny", "float32"): CudaOptions()}, 2)["tiny", "float32"]
    assert full["off"]["label"] < 1e-5 < half["off"]["label"]
    assert all(made)  # before the clock started
